// Writing a dialect: derive from SchemeWriter, say for each module what would be written: a spec (names,
// dtypes, layouts) and the recipe that computes it from floats. What the source holds already is not computed
// again: the host keeps codes and scales wherever the spec can say the same weights, and proves it.
//
//     void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
//         Spec spec = float8_rows(m.rows, m.columns, name_of(m) + ".weight", name_of(m) + ".weight_scale");
//         keep_bias(spec, m, current);
//         write(target, std::move(spec), symmetric_recipe(MORTISE_ENCODING_F32, 448, -448,
//         448).zero_scale(1));
//     }
//
// A writer is made from the source checkpoint and the user's options; its constructor must read every option
// (Options refuses the ones that nobody asked for). One thread.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mortise/sdk/cache.h"
#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/json_text.h"
#include "mortise/sdk/options.h"
#include "mortise/sdk/quant.h"
#include "mortise/sdk/recipes.h"

namespace mortise::sdk {

// Effect: words for the linears that read what this one reads: q, k and v of an attention, gate and up of a
// feed-forward; "" for the others. For Recipe::share().
inline std::string input_group(const std::string& name) {
    const size_t dot = name.rfind('.');
    const std::string leaf = name.substr(dot + 1), owner = name.substr(0, dot);
    if (leaf == "q_proj" || leaf == "k_proj" || leaf == "v_proj") return owner + ".qkv";
    return leaf == "gate_proj" || leaf == "up_proj" ? owner + ".gate_up" : "";
}

// The KV cache of one attention, as it is in the source and as it is to be written.
struct CacheTarget {
    std::string attention;
    const mortise_cache_answer& current;
    mortise_cache_answer& target;
};

class SchemeWriter {
  public:
    explicit SchemeWriter(const Checkpoint& source) : source_(source) {}
    virtual ~SchemeWriter() = default;
    // Effect: fills `target`, usually by write() or write_plain(). What it points to lives until the next
    // call.
    virtual void target(const mortise_module& module, const mortise_spec& current,
                        mortise_target& target) = 0;
    // Effect: JSON text of the quantization_config member; "" = none. A writer whose dialect repeats it in
    // another member of config.json names that one: static constexpr std::string_view config_copy.
    virtual std::string config() { return {}; }
    // Effect: fills `target` with the numbers of an attention's KV cache, by keep_cache() or leave_cache().
    // After the last target().
    virtual void cache(const CacheTarget& cache) {
        leave_cache(cache, "the dialect says nothing of a cache");
    }
    // Effect: name and JSON text of files beside config.json. After config().
    virtual JsonMembers files() { return {}; }

  protected:
    static std::string name_of(const mortise_module& module) { return std::string(view(module.canonical)); }
    // Effect: the dtype in which a float field of the source is stored; `otherwise` when it is no plain
    // float.
    uint32_t source_dtype(const mortise_spec& current, uint32_t role, uint32_t otherwise) const {
        for (uint32_t f = 0; f < current.n_fields; ++f) {
            if (current.fields[f].role != role) continue;
            const auto tensor = source_.tensor(view(current.fields[f].tensor));
            if (tensor && is_float(tensor->dtype)) return tensor->dtype;
            const uint32_t encoding = current.fields[f].encoding;
            if (encoding >= MORTISE_ENCODING_F16 && encoding <= MORTISE_ENCODING_F32)
                return dtype_of(encoding);
        }
        return otherwise;
    }
    // Errors: Unsupported when `spec` has a stored scale of inputs and the source has none: that would have
    // to be calibrated.
    static void need_calibration(Spec& spec, const mortise_spec& current, const mortise_module& module) {
        for (const uint32_t role : {MORTISE_ROLE_INPUT_SCALE, MORTISE_ROLE_INPUT_SCALE2}) {
            bool stored = spec.find(role) == nullptr;
            for (uint32_t f = 0; f < current.n_fields; ++f) stored |= current.fields[f].role == role;
            if (!stored)
                throw Unsupported({.what = "the scale of inputs must be calibrated, and the source has none",
                                   .subject = name_of(module),
                                   .fix = "choose a form whose inputs are floats or scaled from the data"});
        }
    }
    static bool is_plain(const mortise_spec& current) {
        return current.encoding >= MORTISE_ENCODING_F16 && current.encoding <= MORTISE_ENCODING_F32;
    }
    // Effect: what is written has one dtype, not a list of accepted ones.
    static void store_as(mortise_field& field, uint32_t dtype) {
        field.n_dtypes = 1;
        field.dtypes[0] = dtype;
    }
    // Effect: the scale is stored in the dtype that it is computed in; one of codes of the same kind, which
    // may be kept, in the dtype that the source has.
    void store_scale(Spec& spec, const mortise_spec& current, const Recipe& recipe) const {
        const uint32_t computed = dtype_of(recipe.quantizer.compute);
        const bool same = current.encoding == spec->encoding;
        store_as(*spec.find(MORTISE_ROLE_SCALE),
                 same ? source_dtype(current, MORTISE_ROLE_SCALE, computed) : computed);
    }
    // Effect: the floats beside the codes (bias, input vector, low-rank term) have the source's dtypes.
    void store_as_source(Spec& spec, const mortise_spec& current) const {
        for (const uint32_t role :
             {MORTISE_ROLE_BIAS, MORTISE_ROLE_PRE_SCALE, MORTISE_ROLE_LOW_RANK_A, MORTISE_ROLE_LOW_RANK_B})
            if (mortise_field* field = spec.find(role))
                store_as(*field, source_dtype(current, role, MORTISE_DTYPE_F32));
    }
    // Effect: the source's bias under the module's name, in the dtype it has.
    void keep_bias(Spec& spec, const mortise_module& module, const mortise_spec& current) const {
        if (module.has_bias == 0) return;
        for (uint32_t f = 0; f < current.n_fields && module.experts > 1; ++f) {
            const mortise_field& own = current.fields[f];  // of a stack: its shape as it is
            if (own.role != MORTISE_ROLE_BIAS) continue;
            const bool dotted = view(spec.find(MORTISE_ROLE_CODES)->tensor).ends_with(".weight");
            mortise_field& bias = spec.field(
                MORTISE_ROLE_BIAS, name_of(module) + (dotted ? ".bias" : "_bias"), {}, {own.shapes[0]});
            bias.experts = own.experts;
            bias.rows = own.rows;
            bias.columns = own.columns;
            bias.layout = own.layout;
            bias.flags = MORTISE_FIELD_FINITE;
            return store_as(bias, source_dtype(current, MORTISE_ROLE_BIAS, MORTISE_DTYPE_F32));
        }
        mortise_field& bias = add_bias(spec, name_of(module) + ".bias", module.rows);
        store_as(bias, source_dtype(current, MORTISE_ROLE_BIAS, MORTISE_DTYPE_F32));
    }
    void write(mortise_target& target, Spec spec, const Recipe& recipe) {
        spec_ = std::move(spec);
        target.quantizer = recipe.quantizer;
        if (MORTISE_HAS(&target, mortise_target, recipe)) {
            target.recipe = recipe.fine;
            target.recipe.shared = spec_.keep(recipe.together);
        }
        target.spec = &spec_.abi();
    }
    // Effect: does the architecture name a stack for this expert, or for all of them?
    static bool is_stacked(const mortise_module& module) {
        return MORTISE_HAS(&module, mortise_module, stack) && module.stack.size != 0;
    }
    // Effect: what was written is slice `index` of tensors that modules make together: experts that the
    // source keeps one by one.
    static void stack(mortise_target& target, uint64_t index) {
        if (!MORTISE_HAS(&target, mortise_target, slice))
            throw Unsupported({.what = "this host cannot stack experts",
                               .fix = "take a newer one, or stack them in the source"});
        target.slice = index + 1;
    }
    // Effect: a float weight of `dtype`.
    void write_plain(const mortise_module& module, const mortise_spec& current, mortise_target& target,
                     uint32_t dtype, std::string reason) {
        // A stack of experts under the module's own name, whose companions follow an underscore, stays there.
        const std::string name = name_of(module);
        bool bare = false;
        for (uint32_t f = 0; f < current.n_fields && module.experts > 1; ++f) {
            const std::string_view tensor = view(current.fields[f].tensor);
            if (current.fields[f].role == MORTISE_ROLE_CODES)
                bare = tensor == name || tensor.starts_with(name + "_");
        }
        Spec spec = plain(module.experts, module.rows, module.columns, name + (bare ? "" : ".weight"), dtype,
                          module.transposed != 0);
        keep_bias(spec, module, current);
        target.plain = 1;
        target.reason = spec.keep(std::move(reason));
        store_as(*spec.find(MORTISE_ROLE_CODES), dtype);
        write(target, std::move(spec), symmetric_recipe(encoding_of(dtype), 0, 0, 0));
    }
    // Effect: a float weight of the dtype that the source has, BF16 if its weights are coded.
    void keep_plain(const mortise_module& module, const mortise_spec& current, mortise_target& target,
                    std::string reason) {
        write_plain(module, current, target,
                    is_plain(current) ? dtype_of(current.encoding) : uint32_t{MORTISE_DTYPE_BF16},
                    std::move(reason));
    }
    // Effect: nothing of the cache is written, and this is why.
    void leave_cache(const CacheTarget& cache, std::string why) {
        cache.target.rule = cache_.keep(std::move(why));
    }
    enum class Place { beside_attention, beside_projections };
    // Effect: the cache stays coded as it is, and its numbers lie beside the attention ("k_scale", [1] or
    // [heads,1,1]), or beside its projections ("k_proj.k_scale", F32 []) without q and zero points; what has
    // no name there is left out. own: the source is in this dialect, and they stay as they are. False:
    // nothing is written, since there is more than one scale of keys.
    bool keep_cache(const CacheTarget& cache, Place place, bool own) {
        const mortise_cache_answer& current = cache.current;
        const bool split = place == Place::beside_projections;
        if (split && !own && (current.per_head != 0 || has_zero_points(current)))
            return leave_cache(cache, "the dialect has no scales per head and no zero points"), false;
        cache_ = Spec(1, 1, 1);
        letters_.clear();
        for (uint32_t f = 0; f < current.n_fields; ++f) {
            mortise_field as = current.fields[f];
            const std::string name = own ? std::string(view(as.tensor))
                                         : cache_name_at(cache.attention, current.letters[f], split, as);
            if (name.empty()) continue;
            mortise_field& field = cache_.field(as.role, name, {}, {});
            as.tensor = field.tensor;
            field = as;
            letters_.push_back(current.letters[f]);
        }
        cache.target.encoding = current.encoding;
        cache.target.bits = current.bits;
        cache.target.per_head = current.per_head;
        cache.target.affine = current.affine;
        cache.target.scale_divisor = current.scale_divisor;
        cache.target.n_fields = cache_.abi().n_fields;
        cache.target.fields = cache_.abi().fields;
        cache.target.letters = letters_.data();
        leave_cache(cache, "the dialect has no name for it");
        return true;
    }
    const Checkpoint& source() const { return source_; }
    // Effect: the source quantizes, by its config or, where the container says it of each tensor, in some of
    // them: what it has as floats was left out on purpose.
    bool source_is_coded() {
        if (coded_) return *coded_;
        bool coded = false;
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            coded |= static_cast<bool>(source_.config()[key]);
        if (!source_.name_space().empty())
            source_.each_below("", [&](const mortise_tensor& tensor) { coded |= !is_float(tensor.dtype); });
        coded_ = coded;
        return coded;
    }

  private:
    // Effect: the name of a number, and its dtype and shape there; "" = it has none.
    static std::string cache_name_at(const std::string& attention, char letter, bool split,
                                     mortise_field& as) {
        const bool zero = as.role == MORTISE_ROLE_ZERO_POINT, bias = as.role == MORTISE_ROLE_ADDEND;
        if (letter == 'p' || (split ? zero || letter == 'q' : bias)) return {};
        if (!bias)
            as.shapes[0] = as.rows > 1 ? shape_of({as.rows, 1, 1}) : split ? shape_of({}) : shape_of({1});
        if (!bias && split) as.dtypes[0] = MORTISE_DTYPE_F32;
        const std::string owner = split ? "." + lower(std::string(1, letter)) + "_proj" : "";
        return attention + owner + "." + cache_number(letter, as.role);
    }

    Checkpoint source_;
    std::optional<bool> coded_;  // source_is_coded()
    Spec spec_, cache_{1, 1, 1};
    std::string letters_;  // of the cache's numbers
};

// Effect: the columns that share a scale in the source's coded modules; 0 = none is coded, or all share one.
inline uint64_t column_group_of(const mortise_spec& spec) {
    for (uint32_t l = spec.n_levels; l-- > 0;)
        if (spec.levels[l].column_group > 0 && spec.levels[l].flat == 0) return spec.levels[l].column_group;
    return 0;
}

// Effect: what most modules have, the earliest of equals. Requires: at least one.
template <class Settings>
Settings most_common(const std::vector<std::pair<std::string, Settings>>& of) {
    const Settings* best = nullptr;
    std::ptrdiff_t most = 0;
    for (const auto& [name, settings] : of) {
        const std::ptrdiff_t count = std::count_if(
            of.begin(), of.end(), [&s = settings](const auto& other) { return other.second == s; });
        if (count <= most) continue;
        best = &settings;
        most = count;
    }
    return *best;
}

namespace detail {

template <class Writer>
struct WriterThunks {
    static mortise_status open(const mortise_checkpoint* source, const mortise_option* options,
                               uint64_t count, void** out) {
        return guard([&] {
            Options given(options, count);
            *out = static_cast<SchemeWriter*>(new Writer(Checkpoint(source), given));
        });
    }
    static void close(void* writer) { delete static_cast<SchemeWriter*>(writer); }
    static mortise_status target(void* writer, const mortise_module* module, const mortise_spec* current,
                                 mortise_target* out) {
        return guard([&] { static_cast<SchemeWriter*>(writer)->target(*module, *current, *out); });
    }
    static mortise_status config(void* writer, mortise_text_visitor emit, void* context) {
        return guard([&] { emit(context, str(static_cast<SchemeWriter*>(writer)->config())); });
    }
    static mortise_status cache(void* writer, mortise_str attention, const mortise_cache_answer* current,
                                mortise_cache_answer* out) {
        return guard([&] {
            static_cast<SchemeWriter*>(writer)->cache({std::string(view(attention)), *current, *out});
        });
    }
    static mortise_status files(void* writer, mortise_file_visitor emit, void* context) {
        return guard([&] {
            for (const auto& [name, text] : static_cast<SchemeWriter*>(writer)->files())
                emit(context, str(name), str(text));
        });
    }
    static void fill(mortise_scheme_v1& table) {
        table.open_writer = open;
        table.close_writer = close;
        table.target = target;
        table.write_config = config;
        table.target_cache = cache;
        table.write_files = files;
        if constexpr (requires { Writer::config_copy; }) table.config_copy = str(Writer::config_copy);
    }
};

}  // namespace detail

}  // namespace mortise::sdk
