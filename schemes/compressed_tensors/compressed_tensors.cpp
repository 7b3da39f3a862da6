// Reads what llm-compressor writes through the library compressed-tensors: integers and small floats in all
// of its formats, groups of modules that differ, rotated inputs. Files that are wholly 8-bit floats with a
// scale per row are another scheme's. Facts as compressed-tensors 0.13 to 0.19 write and read; formulas from
// its quantization/lifecycle and compressors.

#include "mortise/sdk/codings.h"
#include "mortise/sdk/int_rows.h"
#include "mortise/sdk/rotations.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Widths that do not divide 32 are one dense stream since 0.17; before, no field crossed a word.
bool packs_in_lanes(const std::string& version) {
    if (version.rfind("0.", 0) != 0) return false;
    const std::string minor = version.substr(2, version.find('.', 2) - 2);
    return !minor.empty() && minor.size() < 5 && minor.find_first_not_of("0123456789") == std::string::npos &&
           std::stoi(minor) < 17;
}

constexpr std::initializer_list<const char*> formats = {
    "dense",          "int-quantized",   "float-quantized",      "naive-quantized",
    "pack-quantized", "mxfp8-quantized", "mxfp4-pack-quantized", "nvfp4-pack-quantized"};

// How a module is coded and where its tensors lie: what is read, and what is written.
struct Module {
    const Checkpoint& checkpoint;  // companions that older files hold are looked up here
    const mortise_module& abi;
    std::string name;
    std::string format;
    const Coding& weights;
    bool in_lanes = false;  // fields never cross words
};

Spec integers(const Module& m, const Grid& grid, bool packed) {
    const Coding& w = m.weights;
    Spec spec = int_rows({.bits = static_cast<uint32_t>(w.bits),
                          .symmetric = w.symmetric,
                          .packed = packed,
                          .in_lanes = m.in_lanes,
                          .grid = grid,
                          .ordered = w.order == "group",
                          .codes = m.name + (packed ? ".weight_packed" : ".weight"),
                          .scale = m.name + ".weight_scale",
                          .zeros = m.name + ".weight_zero_point",
                          .order = m.name + ".weight_g_idx"},
                         m.checkpoint, m.abi);
    if (!packed) return spec;
    spec.field(MORTISE_ROLE_SHAPE, m.name + ".weight_shape", {MORTISE_DTYPE_I64}, {shape_of({2})}).columns =
        2;
    return spec;
}

// The global scale is 448 * 6 / amax here: it divides.
Spec small_floats(const Module& m, bool exponents) {
    Spec spec =
        float_groups({.rows = m.abi.rows,
                      .columns = m.abi.columns,
                      .group = static_cast<uint64_t>(m.weights.group_size),
                      .bits = static_cast<uint32_t>(m.weights.bits),
                      .exponents = exponents},
                     m.name + (m.weights.bits == 4 ? ".weight_packed" : ".weight"), m.name + ".weight_scale");
    if (!exponents) add_global_scale(spec, m.name + ".weight_global_scale", true);
    return spec;
}

Spec float8_weights(const Module& m, const Grid& grid) {
    Spec spec = detail::float8_codes(1, m.abi.rows, m.abi.columns, m.name + ".weight");
    add_grid_scale(spec, m.checkpoint, m.abi, m.name + ".weight_scale", grid).flags = float8_scale;
    return spec;
}

Spec weights_of(const Module& m) {
    if (m.abi.experts != 1)
        throw Unsupported({.what = "stacked experts are not supported", .subject = m.name});
    const Coding& w = m.weights;
    const bool naive = m.format == "naive-quantized", ints = w.type == "int" && w.bits >= 1 && w.bits <= 8;
    const Grid grid = grid_of(w, m.abi);
    if (w.dynamic) unsupported("weights cannot be quantized from their data", w, m.name);
    if (m.format == "dense")
        unsupported("floats to be quantized as they run", w, m.name, "save it with save_compressed=True");
    if (ints && (naive || m.format == "int-quantized" || m.format == "pack-quantized"))
        return integers(m, grid, m.format == "pack-quantized");
    if (w.is("float", 8, w.strategy) && (naive || m.format == "float-quantized"))
        return float8_weights(m, grid);
    if (m.format == "nvfp4-pack-quantized" && w.is("float", 4, "tensor_group") && grid.columns == 16)
        return small_floats(m, false);
    if (m.format == "mxfp4-pack-quantized" && w.is("float", 4, "group") && grid.columns == 32)
        return small_floats(m, true);
    if (m.format == "mxfp8-quantized" && w.is("float", 8, "group") && grid.columns == 32)
        return small_floats(m, true);
    unsupported("there are no such weights in the format '" + m.format + "'", w, m.name);
}

// What a source holds already, in this dialect's words, under the name that the library would choose or
// `wanted`.
GroupText as_it_is(const mortise_spec& spec, const std::string& name, const std::string& wanted) {
    GroupText out{.weights = weights_as_they_are(spec, name),
                  .inputs = inputs_as_they_are(spec.activation, name)};
    const Coding& w = out.weights;
    const bool exponents = w.scale_dtype == "torch.uint8", ints = w.type == "int";
    out.format = ints          ? (out.inputs ? "int-quantized" : "pack-quantized")
                 : w.bits == 4 ? (exponents ? "mxfp4-pack-quantized" : "nvfp4-pack-quantized")
                 : exponents   ? "mxfp8-quantized"
                               : "float-quantized";
    if (ints && (wanted == "int-quantized" || wanted == "pack-quantized")) out.format = wanted;
    if (!wanted.empty() && out.format != wanted)
        throw Refused({.what = "weights change in another format",
                       .subject = name,
                       .expected = wanted,
                       .found = out.format,
                       .code = code::lossy});
    return out;
}

class CompressedTensors : public Scheme {
  public:
    explicit CompressedTensors(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        check_beside_groups(q, true);
        in_lanes_ = packs_in_lanes(q.get("version", ""));
        groups_ = read_groups(q);
        for (const ModuleGroup& group : groups_.groups)
            (void)(group.node["format"] ? group.node : q).one_of("format", formats, "dense");
        rotations_.read(q["transform_config"]);
        cache_ = cache_coding_of(groups_, "kv_cache_scheme");
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = quantization_of(checkpoint);
        const std::string method = q.get("quant_method", "");
        if (method != "compressed-tensors") return not_matched("quant_method is '" + method + "'");
        const std::string why = why_not_float8_rows(q);
        return why.empty() ? not_matched("it is wholly 8-bit floats with one scale per row")
                           : matched(800, "quant_method is 'compressed-tensors', and " + why);
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const auto weight = checkpoint().tensor(name + ".weight");
        const bool coded = checkpoint().has(name + ".weight_packed") ||
                           checkpoint().has(name + ".weight_scale") || (weight && !is_float(weight->dtype));
        const auto is = groups_.decide(m, coded);
        if (is.coded && (is.group == nullptr || !is.group->weights))
            throw Refused({.what = "its weight is quantized, and no group says how",
                           .subject = name,
                           .node = is.node.node()});
        Spec spec = is.coded
                        ? weights_of({checkpoint(), m, name, is.group->format, *is.group->weights, in_lanes_})
                        : plain(checkpoint(), m);
        if (is.coded && m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        if (is.coded && is.group->inputs) add_inputs(spec, checkpoint(), name, *is.group->inputs);
        rotations_.rotate(spec, checkpoint(), m);
        say(answer, std::move(spec), !is.coded, is.rule, is.note, is.node);
    }

    CacheCoding cache_coding() override { return cache_; }
    void rules(mortise_rule_visitor visit, void* context) override {
        groups_.report(visit, context);
        rotations_.report(visit, context);
    }

    // Writes every format: the one that is asked for, by llm-compressor's arithmetic, or without a name what
    // the source holds already.
    class Writer : public SchemeWriter {
      public:
        Writer(const Checkpoint& source, Options& options)
            : SchemeWriter(source),
              own_(quantization_of(source).get("quant_method", "") == "compressed-tensors"),
              transforms_(own_ ? quantization_of(source)["transform_config"] : Config()),
              dtype_(options.take_dtype("compute")) {
            rotations_.read(transforms_);
            std::vector<GroupText> all = presets();
            if (const auto bits = static_cast<int64_t>(options.take_number('w', 0)); bits != 0) {
                all.back().weights.bits = bits;
                preset_ = all.back();
            }
            for (const GroupText& each : all)
                if (options.take_flag(each.targets[0])) preset_ = each;
            for (const GroupText& each : all)
                if (!floats_ && options.take_flag(each.format)) floats_ = each;
            format_ = floats_ ? floats_->format : "";
            if (!floats_ && !preset_ && !source_is_coded()) floats_ = all.back();
            for (std::optional<GroupText>* each : {&preset_, &floats_})
                if (*each) refine(**each, options);
            options.finish(
                "a format's name, float-tensor, float-channel, float-block, float-group, int8, nvfp4, mxfp4, "
                "mxfp8, w1 to w8; gN, channel, asym, weights (inputs as they are), compute=bf16, f16 or f32");
        }

        void target(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const bool coded = !is_plain(current), linear = m.kind == MORTISE_MODULE_LINEAR && m.experts == 1;
            std::optional<GroupText> form = preset_ ? preset_ : floats_;
            std::string why =
                form ? "embeddings, heads and stacks of experts stay floats" : "it is a float in the source";
            if (!linear) form.reset();
            if (form && form->weights.group_size > 0 &&
                m.columns % static_cast<uint64_t>(form->weights.group_size) != 0) {
                form.reset();
                why = "the group does not divide the columns";
            }
            if (coded && !preset_ && m.experts == 1) form = as_it_is(current, name_of(m), format_);
            head_ = head_ || m.kind == MORTISE_MODULE_HEAD;
            if (form) return quantized(m, current, *form, target);
            if (m.kind != MORTISE_MODULE_EMBEDDING) ignored_.push_back(name_of(m));
            keep_plain(m, current, target, why);
        }

        std::string config() override {
            // A head that is tied to floats has no tensors; the library must not look for codes.
            if (!head_ && !groups_.has("Embedding")) ignored_.emplace_back("lm_head");
            if (groups_.groups.empty() && !cache_) return {};
            return groups_text("compressed-tensors", groups_.written(), ignored_, cache_,
                               json_of(transforms_));
        }
        void cache(const CacheTarget& cache) override {
            const std::string no = why_not_in_groups(cache.current);
            if (!no.empty()) return leave_cache(cache, no);
            cache_ = cache_in_groups(cache.current);
            keep_cache(cache, Place::beside_attention, own_);
        }

      private:
        // By the names of options. Inputs are quantized from their data.
        static std::vector<GroupText> presets() {
            const auto from_data = [](Coding coding) {
                coding.dynamic = true;
                coding.local = coding.strategy == "tensor_group";
                return coding;
            };
            const char *e4m3 = "torch.float8_e4m3fn", *e8m0 = "torch.uint8";
            const Coding tensor{.type = "float", .strategy = "tensor"},
                rows{.type = "float", .strategy = "channel"}, tokens{.type = "float", .strategy = "token"},
                block{.type = "float", .strategy = "block", .block = {128, 128}},
                group{.type = "float", .strategy = "group", .group_size = 128},
                nv4{.type = "float",
                    .bits = 4,
                    .strategy = "tensor_group",
                    .group_size = 16,
                    .scale_dtype = e4m3},
                mx4{.type = "float", .bits = 4, .strategy = "group", .group_size = 32, .scale_dtype = e8m0},
                mx8{.type = "float", .strategy = "group", .group_size = 32, .scale_dtype = e8m0};
            return {{"float-quantized", rows, from_data(tokens), {"float-channel"}},
                    {"float-quantized", tensor, from_data(tensor), {"float-tensor"}},
                    {"float-quantized", block, from_data(group), {"float-block"}},
                    {"float-quantized", group, from_data(tokens), {"float-group"}},
                    {"int-quantized", {.strategy = "channel"}, from_data({.strategy = "token"}), {"int8"}},
                    {"nvfp4-pack-quantized", nv4, from_data(nv4), {"nvfp4"}},
                    {"mxfp4-pack-quantized", mx4, from_data(mx4), {"mxfp4"}},
                    {"mxfp8-quantized", mx8, from_data(mx8), {"mxfp8"}},
                    {"pack-quantized", {.bits = 4, .strategy = "group", .group_size = 128}, {}, {"w4"}}};
        }

        // Options that change a preset; where they have no place in it finish() refuses them.
        static void refine(GroupText& preset, Options& options) {
            Coding& w = preset.weights;
            if (w.strategy == "group" && w.scale_dtype.empty())
                w.group_size =
                    static_cast<int64_t>(options.take_number('g', static_cast<uint64_t>(w.group_size)));
            if (preset.format == "pack-quantized" && options.take_flag("channel")) {
                w.strategy = "channel";
                w.group_size = 0;
            }
            if (w.type == "int" && options.take_flag("asym")) w.symmetric = false;
            if (preset.inputs && options.take_flag("weights")) preset.inputs.reset();
        }

        void quantized(const mortise_module& m, const mortise_spec& current, GroupText form,
                       mortise_target& target) {
            const std::string name = name_of(m);
            const uint32_t own = is_plain(current) ? dtype_of(current.encoding) : uint32_t{MORTISE_DTYPE_F32};
            const uint32_t dtype = dtype_ != 0 ? dtype_ : own;
            const mortise_activation& now = current.activation;
            const bool fixed = now.granularity == MORTISE_ACTIVATION_TENSOR && now.dynamic == 0;
            if (form.inputs && form.inputs->strategy == "tensor" && fixed) form.inputs->dynamic = false;
            if (form.inputs && form.inputs->local && now.second_level != 2)
                throw Unsupported({.what = "inputs need a global scale that divides, and the source has none",
                                   .subject = name,
                                   .fix = "write weights only (option 'weights')"});
            Spec spec = weights_of({source(), m, name, form.format, form.weights});
            if (form.inputs) add_inputs(spec, source(), name, *form.inputs);
            store(spec, current, dtype);
            if (const mortise_field* map = field_of(current, MORTISE_ROLE_G_IDX);
                map != nullptr && spec.find(MORTISE_ROLE_G_IDX) == nullptr)
                spec.field(MORTISE_ROLE_G_IDX, name + ".weight_g_idx", {MORTISE_DTYPE_I32},
                           {shape_of({m.columns})})
                    .columns = m.columns;
            keep_bias(spec, m, current);
            if (current.rotation_block != 0) rotations_.rotate(spec, source(), m);
            groups_.add(form, name, m.kind);
            write(target, std::move(spec), recipe_of(form.weights, encoding_of(dtype), name));
        }

        // Each float in one dtype: kept scales keep theirs, computed ones have that of the arithmetic.
        void store(Spec& spec, const mortise_spec& current, uint32_t dtype) const {
            for (const auto& [role, otherwise] : {std::pair<uint32_t, uint32_t>{MORTISE_ROLE_SCALE, dtype},
                                                  {MORTISE_ROLE_INPUT_SCALE, MORTISE_DTYPE_F32}}) {
                mortise_field* field = spec.find(role);
                if (field == nullptr) continue;
                if (field->encoding == MORTISE_ENCODING_E8M0) store_as(*field, MORTISE_DTYPE_U8);
                if (field->encoding != MORTISE_ENCODING_AS_DTYPE) continue;
                const bool kept = dtype_ == 0 && !is_plain(current);
                store_as(*field, kept ? source_dtype(current, role, otherwise) : otherwise);
            }
            for (const uint32_t role : {MORTISE_ROLE_SCALE2, MORTISE_ROLE_INPUT_SCALE2})
                if (mortise_field* field = spec.find(role)) store_as(*field, MORTISE_DTYPE_F32);
        }

        static Recipe recipe_of(const Coding& w, uint32_t compute, const std::string& name) {
            if (w.type == "int") {
                const double half = static_cast<double>(1u << w.bits) / 2, steps = half * 2 - 1;
                return w.symmetric
                           ? symmetric_recipe(compute, steps / 2, -half, half - 1)
                           : asymmetric_recipe(compute, -half, half - 1, 0).with(MORTISE_RECIPE_LATE_ROUND);
            }
            const double top = w.bits == 8 ? 448 : 6;
            Recipe recipe = symmetric_recipe(compute, top, -top, top);
            if (w.strategy == "tensor_group") return recipe.second_divisor(448 * 6).share(input_group(name));
            return w.scale_dtype == "torch.uint8" ? recipe.exponents(MORTISE_EXPONENT_BUMP) : recipe;
        }

        bool own_;           // the source is in this dialect
        Config transforms_;  // of its inputs, which stay
        uint32_t dtype_;
        Rotations rotations_;
        std::optional<GroupText> preset_, floats_;  // of every linear; of those that are floats in the source
        std::string format_;                        // of those that are not; "" = the one that fits
        CodedGroups groups_;
        std::optional<Coding> cache_;
        std::vector<std::string> ignored_;
        bool head_ = false;
    };

  private:
    ModuleGroups groups_;
    Rotations rotations_;
    bool in_lanes_ = false;
    CacheCoding cache_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.compressed-tensors", "0.1.0",
               scheme_entry<CompressedTensors>("compressed_tensors"))
