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
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/quant.h"
#include "mortise/sdk/recipes.h"

namespace mortise::sdk {

// The options behind the dialect's name: "g64" and "compute=f32" of "dialect:g64:compute=f32".
class Options {
  public:
    Options(const mortise_option* options, uint64_t count) {
        for (uint64_t i = 0; i < count; ++i)
            left_[std::string(view(options[i].key))] = std::string(view(options[i].value));
    }
    // Effect: the value of "key=value"; "" when it is not given.
    std::string take(const std::string& key) {
        const auto found = left_.find(key);
        if (found == left_.end()) return {};
        std::string value = found->second;
        left_.erase(found);
        return value;
    }
    // Effect: true iff the bare word is given.
    bool take_flag(const std::string& word) {
        const auto found = left_.find(word);
        if (found == left_.end() || !found->second.empty()) return false;
        left_.erase(found);
        return true;
    }
    // Effect: the number N of a bare word "<prefix>N", or `otherwise`.
    uint64_t take_number(char prefix, uint64_t otherwise) {
        for (auto at = left_.begin(); at != left_.end(); ++at) {
            const std::string& word = at->first;
            if (word.size() < 2 || word.size() > 8 || word[0] != prefix || !at->second.empty()) continue;
            if (word.find_first_not_of("0123456789", 1) != std::string::npos) continue;
            otherwise = std::stoull(word.substr(1));
            left_.erase(at);
            break;
        }
        return otherwise;
    }
    // Effect: the dtype of "key=bf16", f16 or f32; 0 when it is not given. Errors: another word.
    uint32_t take_dtype(const std::string& key) {
        const std::string word = take(key);
        if (word.empty()) return 0;
        if (word == "bf16") return MORTISE_DTYPE_BF16;
        if (word == "f16") return MORTISE_DTYPE_F16;
        if (word == "f32") return MORTISE_DTYPE_F32;
        throw Refused({.what = "unknown value of the option '" + key + "'",
                       .expected = "bf16, f16 or f32",
                       .found = word});
    }
    // Errors: Refused, naming an option that nobody took. `known` says what there is.
    void finish(const std::string& known) const {
        if (left_.empty()) return;
        const auto& [key, value] = *left_.begin();
        throw Refused({.what = "unknown option '" + key + (value.empty() ? "'" : "=" + value + "'"),
                       .expected = known});
    }

  private:
    std::map<std::string, std::string> left_;
};

// Effect: 8-bit floats: scale = f32(amax) / 448, code = f32(weight / scale), scale 1 for zeros
// (Model-Optimizer, export/quant_utils.py); with "compute=" among the options all in that dtype, its epsilon
// for zeros (llm-compressor, observers/min_max.py).
inline Recipe float8_recipe(Options& options) {
    const uint32_t dtype = options.take_dtype("compute");
    if (dtype != 0) return symmetric_recipe(encoding_of(dtype), 448, -448, 448);
    return float8_recipe();
}

// Effect: words for the linears that read what this one reads: q, k and v of an attention, gate and up of a
// feed-forward; "" for the others. For Recipe::share().
inline std::string input_group(const std::string& name) {
    const size_t dot = name.rfind('.');
    const std::string leaf = name.substr(dot + 1), owner = name.substr(0, dot);
    if (leaf == "q_proj" || leaf == "k_proj" || leaf == "v_proj") return owner + ".qkv";
    return leaf == "gate_proj" || leaf == "up_proj" ? owner + ".gate_up" : "";
}

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
            const std::string name = dotted ? name_of(module) + ".bias" : std::string(view(own.tensor));
            mortise_field& bias = spec.field(MORTISE_ROLE_BIAS, name, {}, {own.shapes[0]});
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
    const Checkpoint& source() const { return source_; }
    // Effect: the source's own config quantizes it, so that what it has as floats was left out on purpose.
    bool source_is_coded() const {
        bool coded = !source_.name_space().empty();
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            coded = coded || static_cast<bool>(source_.config()[key]);
        return coded;
    }

  private:
    Checkpoint source_;
    Spec spec_;
};

// What a dialect can code besides separate linears.
struct Reach {
    bool heads = false, embeddings = false, stacks = false;  // stacks: all experts in one tensor
};

// A dialect that quantizes linears: embeddings, heads, stacks of experts and linears that do not fit stay
// floats, unless the dialect reaches them and the source has them coded, or the user says "head" or
// "embedding". Derive, answer linear().
class LinearWriter : public SchemeWriter {
  public:
    explicit LinearWriter(const Checkpoint& source) : SchemeWriter(source) {}
    LinearWriter(const Checkpoint& source, Reach reach, Options& options)
        : SchemeWriter(source),
          reach_(reach),
          head_(reach.heads && options.take_flag("head")),
          embedding_(reach.embeddings && options.take_flag("embedding")) {}
    void target(const mortise_module& module, const mortise_spec& current, mortise_target& target) final {
        consider(module, current);
        const std::string why = why_float(module, current);
        const bool head = module.kind == MORTISE_MODULE_HEAD;
        if (why.empty()) {
            (head ? coded_heads_ : coded_linears_).push_back(name_of(module));
            return linear(module, current, target);
        }
        if (head) heads_.push_back(name_of(module));
        if (module.kind == MORTISE_MODULE_LINEAR) linears_.push_back(name_of(module));
        keep_plain(module, current, target, why);
    }

  protected:
    virtual void linear(const mortise_module& module, const mortise_spec& current,
                        mortise_target& target) = 0;
    // Effect: looks at a module before why_plain() is asked: to take over the source's group size, say.
    virtual void consider(const mortise_module& module, const mortise_spec& current) {
        (void)module, (void)current;
    }
    // Effect: why this linear cannot be written; "" = it can.
    virtual std::string why_plain(const mortise_module& module) const {
        (void)module;
        return {};
    }
    // Modules left as floats so far, and heads that were not.
    const std::vector<std::string>& plain_heads() const { return heads_; }
    const std::vector<std::string>& plain_linears() const { return linears_; }
    std::vector<std::string> plain_modules() const {
        std::vector<std::string> all = heads_;
        all.insert(all.end(), linears_.begin(), linears_.end());
        return all;
    }
    const std::vector<std::string>& coded_heads() const { return coded_heads_; }
    // Effect: the linears left as floats, for readers that look for an entry anywhere in a name below its
    // layer: so written wherever that leaves out no coded linear, else whole.
    std::vector<std::string> plain_below_layers() const {
        std::vector<std::string> out;
        for (const std::string& name : linears_) {
            const std::string below = below_layer(name);
            const bool alone = std::ranges::none_of(coded_linears_, [&](const std::string& coded) {
                return coded.find(below) != std::string::npos;
            });
            const std::string& entry = alone ? below : name;
            if (std::ranges::find(out, entry) == out.end()) out.push_back(entry);
        }
        return out;
    }

  private:
    std::string why_float(const mortise_module& module, const mortise_spec& current) const {
        const bool coded = !is_plain(current);
        if (module.kind == MORTISE_MODULE_HEAD && !(head_ || (reach_.heads && coded)))
            return "embedding and head stay floats";
        if (module.kind == MORTISE_MODULE_EMBEDDING && !(embedding_ || (reach_.embeddings && coded)))
            return "embedding and head stay floats";
        if (module.experts != 1 && !reach_.stacks) return "stacked experts stay floats";
        if (module.kind == MORTISE_MODULE_LINEAR && !coded && has_codes())
            return "it is a float in the source";
        return why_plain(module);
    }

    // Effect: what follows the first component that is a number; the whole name where there is none.
    static std::string below_layer(const std::string& name) {
        for (size_t dot = name.find('.'); dot != std::string::npos;) {
            const size_t end = name.find('.', dot + 1);
            const bool number = end != std::string::npos && end > dot + 1 &&
                                name.find_first_not_of("0123456789", dot + 1) == end;
            if (number) return name.substr(end + 1);
            dot = end;
        }
        return name;
    }
    // Effect: true iff the source says that it is quantized: then its floats were left out on purpose.
    bool has_codes() const {
        for (const char* key : {"quantization_config", "compression_config", "quantization"})
            if (source().config()[key]) return true;
        return source().document("quant_config.json") || source().document("quantize_config.json");
    }

    Reach reach_;
    bool head_ = false, embedding_ = false;
    std::vector<std::string> heads_, linears_, coded_linears_, coded_heads_;
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
// Effect: names as a JSON list.
inline std::string json_list(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "\"" : ",\"") + name + "\"";
    return "[" + list + "]";
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
    static void fill(mortise_scheme_v1& table) {
        table.open_writer = open;
        table.close_writer = close;
        table.target = target;
        table.write_config = config;
        if constexpr (requires { Writer::config_copy; }) table.config_copy = str(Writer::config_copy);
    }
};

}  // namespace detail

}  // namespace mortise::sdk
