// The files of NVIDIA ModelOpt's Hugging Face export (0.47). `quant_algo` says what a linear is, compared
// whole. config.json and hf_quant_config.json repeat each other and neither holds everything: both are read
// and must agree. `config_groups` looks like another dialect's and is wrong for some algorithms: it is never
// read. Facts: modelopt/torch/export/{unified_export_hf,quant_utils,convert_hf_config}.py.

#include <memory>
#include <sstream>

#include "mortise/sdk/byte_codes.h"
#include "mortise/sdk/companions.h"
#include "mortise/sdk/float8.h"
#include "mortise/sdk/float_groups.h"
#include "mortise/sdk/listed.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// One module, the names of its tensors and what else its spec depends on. Stacks of experts are kept as
// [expert][column][row].
struct Site {
    const Checkpoint& checkpoint;
    const mortise_module& m;
    uint64_t group = 0;                        // columns that share a scale, where they do
    bool calibrated = false;                   // the checkpoint holds scales of inputs
    std::vector<uint64_t> block = {128, 128};  // rows and columns that share a scale
    ModuleNames names = names_on_disk(checkpoint, m);
    bool bare = names.stem.back() == '_';

    std::string beside(const std::string& leaf) const { return names.stem + leaf; }
    std::string scale() const { return beside("weight_scale"); }
    std::vector<int64_t> shape() const {  // of the scales
        const auto tensor = checkpoint.tensor(scale());
        return tensor ? tensor->shape : std::vector<int64_t>();
    }
};

Spec float8_of(const Site& s, uint64_t block_rows, uint64_t block_columns) {
    Spec spec = float8({s.m.experts, s.m.rows, s.m.columns, s.bare ? 0 : block_rows, block_columns},
                       s.names.weight, s.scale());
    mortise_shape* shapes = spec.find(MORTISE_ROLE_SCALE)->shapes;
    if (block_rows != 0 && !s.bare) std::swap(shapes[0], shapes[1]);  // the first is written
    return spec;
}
Spec rows8(const Site& s) { return float8_of(s, 1, 0); }
Spec blocks8(const Site& s) { return float8_of(s, s.block[0], s.block[1]); }
// One scale; or, under the same name, one per row of a weight that was quantized along an axis.
Spec tensor8(const Site& s) { return float8_of(s, s.shape().size() == 1 && s.shape()[0] > 1 ? 1 : 0, 0); }
Spec int8(const Site& s) { return int8_rows(s.m.rows, s.m.columns, s.names.weight, s.scale()); }
Spec int4(const Site& s) { return int4_row_pairs(s.m.rows, s.m.columns, s.group, s.names.weight, s.scale()); }
Spec small_floats(const Site& s, uint32_t bits, bool exponents) {
    FloatGroups form{s.m.experts, s.m.rows, s.m.columns, s.group, bits, exponents};
    Spec spec = float_groups(form, s.names.weight, s.scale());
    if (uint32_t* dtypes = spec.find(MORTISE_ROLE_SCALE)->dtypes; exponents) std::swap(dtypes[0], dtypes[1]);
    return spec;
}
Spec nvfp4(const Site& s) {
    Spec spec = small_floats(s, 4, false);
    add_global_scale(spec, s.beside("weight_scale_2"), false);
    return spec;
}
Spec mxfp4(const Site& s) { return small_floats(s, 4, true); }
Spec mxfp8(const Site& s) { return small_floats(s, 8, true); }
void static8(Spec& spec, const Site& s) { add_float8_input(spec, s.beside("input_scale")); }
void static_int8(Spec& spec, const Site& s) { add_int8_input(spec, s.beside("input_scale")); }
void as_they_are(Spec& spec, const Site& s) {
    add_number(spec, MORTISE_ROLE_UNUSED, s.beside("input_scale")).drop_rule = str("weight_only");
}
void tokens(Spec& spec, const Site&) { spec->activation = float8_tokens(); }
void float4(Spec& spec, const Site& s) { add_float4_inputs(spec, s.beside("input_scale"), false); }
template <uint32_t bits>
void micro(Spec& spec, const Site&) {
    spec->activation = microscaled_inputs(bits, MORTISE_EXPONENT_CEIL);
    spec->activation_ties = bits == 4 ? 1 : 0;
}
// Without calibration, which is optional here, the scale comes from the data.
void perhaps_static(Spec& spec, const Site& s) {
    if (s.calibrated) return static8(spec, s);
    spec->activation = float8_tokens();
    spec->activation.granularity = MORTISE_ACTIVATION_TENSOR;
}
void static_and_cast(Spec& spec, const Site& s) {
    static8(spec, s);
    add_cast(spec, MORTISE_ENCODING_E4M3, s.beside("weight_scale_2"));
}
// The exporter leaves the names of the quantizer's buffers in the file.
void float4_and_low_rank(Spec& spec, const Site& s) {
    float4(spec, s);
    const bool renamed = s.checkpoint.has(s.beside("svdquant_lora_a"));
    const std::string prefix = renamed ? "svdquant_lora_" : "weight_quantizer._svdquant_lora_";
    add_low_rank(spec, s.checkpoint, s.beside(prefix + "a"), s.beside(prefix + "b"));
}

struct Algorithm {
    const char* name;     // as `quant_algo`, in any case
    const char* configs;  // the same as `quant_cfg` or `recipe`
    Spec (*weights)(const Site&);
    void (*inputs)(Spec&, const Site&);
    Recipe (*recipe)() = nullptr;  // of export/quant_utils.py and qtensor/*.py; null: is not written
    uint64_t group = 0;            // where the config does not say; 0: as the scales say
    bool pre_scale = false;        // a vector may multiply the inputs, where it was not folded away
};
// "wo" is weights only: the exporter's model leaves inputs alone, though vLLM quantizes them by block.
constexpr Algorithm algorithms[] = {
    {"FP8", "FP8_DEFAULT_CFG", tensor8, static8, float8_recipe},
    {"FP8_PER_CHANNEL_PER_TOKEN", "FP8_PER_CHANNEL_PER_TOKEN_CFG", rows8, tokens, float8_recipe},
    {"fp8_pb_wo", "FP8_2D_BLOCKWISE_WEIGHT_ONLY_CFG FP8_BLOCK_CFG", blocks8, as_they_are, float8_recipe},
    {"NVFP4", "NVFP4_DEFAULT_CFG NVFP4_FOUR_OVER_SIX_CFG", nvfp4, float4, float4_recipe, 16},
    {"NVFP4_AWQ", "NVFP4_AWQ_LITE_CFG NVFP4_AWQ_CLIP_CFG NVFP4_AWQ_FULL_CFG", nvfp4, float4, float4_recipe,
     16, true},
    {"NVFP4_SVD", "NVFP4_SVDQUANT_DEFAULT_CFG", nvfp4, float4_and_low_rank, nullptr, 16, true},
    {"W4A16_NVFP4", "W4A16_NVFP4_CFG", nvfp4, as_they_are, float4_recipe, 16},
    {"W4A8_NVFP4_FP8", "W4A8_NVFP4_FP8_CFG", nvfp4, static8, nullptr, 32},
    {"W4A16_AWQ", "INT4_AWQ_CFG INT4_BLOCKWISE_WEIGHT_ONLY_CFG", int4, as_they_are, int4_recipe, 0, true},
    {"W4A8_AWQ", "W4A8_AWQ_BETA_CFG", int4, static_and_cast, nullptr, 0, true},
    {"W8A16", "INT8_WEIGHT_ONLY_CFG", int8, as_they_are},
    {"W8A8_SQ_PER_CHANNEL", "INT8_SMOOTHQUANT_CFG INT8_DEFAULT_CFG", int8, static_int8, nullptr, 0, true},
    {"MXFP8", "MXFP8_DEFAULT_CFG", mxfp8, micro<8>, float8_powers_recipe, 32},
    {"mxfp4", "MXFP4_DEFAULT_CFG", mxfp4, micro<4>, nullptr, 32},
    {"W4A8_MXFP4_FP8", "W4A8_MXFP4_FP8_CFG", mxfp4, perhaps_static, nullptr, 32},
    {"MIXED_PRECISION", "MIXED_PRECISION", nullptr, nullptr},
};

Spec quantized(const Site& s, const Algorithm& by) {
    Spec spec = by.weights(s);
    if (s.bare) store_stack(spec, s.checkpoint);
    by.inputs(spec, s);
    if (by.pre_scale) add_pre_scale(spec, s.beside("pre_quant_scale"));
    if (s.m.has_bias != 0) add_bias(spec, s.names.bias, s.m.rows, s.m.experts);
    return spec;
}

// Effect: the algorithm that a text under `key` names. Errors: Unsupported, with the list.
const Algorithm* algorithm_of(const Config& named, std::string_view key) {
    const std::string name = lower(named.as<std::string>());
    std::string known;
    for (const Algorithm& each : algorithms) {
        std::istringstream names(key == "quant_algo" ? each.name : each.configs);
        for (std::string one; names >> one; known += one + " ")
            if (lower(one) == name) return &each;
    }
    throw Unsupported(
        {.what = "this algorithm is not supported", .expected = known, .found = name, .node = named.node()});
}
// Effect: the algorithm that a config names in any of its ways; null when in none.
const Algorithm* named_algorithm(const Config& config) {
    const Algorithm* out = nullptr;
    for (const char* key : {"quant_cfg", "recipe", "quant_algo"})
        if (const Config named = config[key])
            out = agreed(out, algorithm_of(named, key), "the algorithm", named);
    return out;
}
struct Setting {  // what a config says of all modules, or of one that has an algorithm of its own
    const Algorithm* algorithm = nullptr;
    uint64_t group = 0;
    bool operator==(const Setting&) const = default;
};
Listed<Setting> listed(const Config& layers) {
    Listed<Setting> out;
    for (uint64_t i = 0; i < layers.size(); ++i) {
        const Config each = layers.at(i);
        each.ignore({"pre_quant_scale", "lora_rank"});
        each.refuse_if_set("has_zero_point");
        out.add(layers.key(i),
                {algorithm_of(each.require("quant_algo"), "quant_algo"), each.get<uint64_t>("group_size", 0)},
                each);
    }
    return out;
}

class ModelOpt : public Scheme {
  public:
    explicit ModelOpt(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        Config flat = quantization_of(checkpoint);
        const Config file = checkpoint.document("hf_quant_config.json"), side = file["quantization"];
        flat.ignore({"quant_method", "quant_library", "producer", "packed_modules_mapping"});
        file.ignore({"producer"});
        if (const Config nested = flat["quantization"]) flat = nested;
        for (const Config& each : {flat, side}) {
            each["config_groups"].ignore_all();
            each.ignore({"pre_quant_scale", "lora_rank", "quant_method"});  // the tensors tell
            each.refuse_if_set("has_zero_point");
        }
        const auto both = [&](const char* what, auto&& read) {
            return agreed(read(flat), read(side), what, side);
        };
        all_.algorithm = both("the algorithm", named_algorithm);
        all_.group = both("'group_size'", [](const Config& c) { return c.get<uint64_t>("group_size", 0); });
        block_ = both("the block", [](const Config& c) { return block_size(c["weight_block_size"]); });
        cache_ = cache_named(both("the cache", cache_word), "nvfp4");
        layers_ = both("'quantized_layers'", [](const Config& c) { return listed(c["quantized_layers"]); });
        if (all_.algorithm == nullptr && !cache_.named())
            throw Refused({.what = "missing key 'quant_algo'", .node = (flat ? flat : side).node()});
        ignore_ = Rules(flat[flat["ignore"] ? "ignore" : "exclude_modules"], "ignore", wildcards);
        exclude_ = Rules(side["exclude_modules"], "exclude_modules", wildcards);
        two_lists_ = flat && side;
        checkpoint.each_below(
            "", [&](const mortise_tensor& each) { calibrated_ |= view(each.name).ends_with("input_scale"); });
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config flat = quantization_of(checkpoint), side = checkpoint.document("hf_quant_config.json");
        const Config q = flat ? flat : side,
                     library = q["quant_library"] ? q["quant_library"] : q["producer"]["name"],
                     named = q["quant_method"] ? q["quant_method"] : library;
        const std::string by = named ? lower(named.as<std::string>()) : "", reason = "it names '" + by + "'";
        for (const std::string kind : {"", "_fp8", "_fp4", "_mixed", "_mxfp8"})
            if (by == "modelopt" + kind) return matched(800, reason);
        return not_matched(reason);
    }

    // The tensors say whether, the config says how.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const Choice is = choose(m);
        const Site site = site_of(m, is.how);
        const auto weight = checkpoint().tensor(site.names.weight);
        if (weight ? is_float(weight->dtype) : !is.chosen)
            return say_plain(m, answer, is.rule,
                             is.chosen ? is.rule + " chooses it, and it is a float" : is.note, is.node);
        const Algorithm* by = is.how.algorithm;
        if (by == nullptr || by->weights == nullptr)
            throw Refused({.what = "it has codes, and " + is.rule,
                           .subject = std::string(view(m.name)),
                           .node = is.node.node()});
        need_whole_groups(m, site.group);
        say(answer, quantized(site, *by), false, is.rule,
            is.chosen ? is.note : is.rule + " leaves it out, and it has codes", is.node);
    }
    CacheCoding cache_coding() override { return cache_; }
    void rules(mortise_rule_visitor visit, void* context) override {
        ignore_.report(visit, context);
        exclude_.report(visit, context);
        layers_.report(visit, context);
    }

    // Writes as ModelOpt's exporter does; without an option, what is in this dialect as it is and anything
    // else per channel. Scales of inputs are the source's: nothing here calibrates.
    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : LinearWriter(source, {.stacks = true}, options) {
            for (const Algorithm& each : algorithms)
                if (each.recipe && options.take_flag(each.weights == rows8 ? "fp8_pcpt" : lower(each.name)))
                    how_ = {&each, each.group};
            if (how_.algorithm && how_.algorithm->weights == int4) how_.group = options.take_number('g', 128);
            options.finish("fp8, fp8_pcpt, fp8_pb_wo, nvfp4, nvfp4_awq, w4a16_nvfp4, w4a16_awq, gN, mxfp8");
            if (how_.algorithm == nullptr && match(source).yes) own_ = std::make_unique<ModelOpt>(source);
            if (own_ != nullptr) how_ = own_->all_;
            if (how_.algorithm == nullptr && own_ == nullptr) how_.algorithm = &algorithms[1];
        }
        std::string config() override { return text(false); }
        JsonMembers files() override {
            return {
                {"hf_quant_config.json", json_object({{"producer", maker}, {"quantization", text(true)}})}};
        }
        void cache(const CacheTarget& cache) override {
            if (keep_cache(cache, Place::beside_projections, own_ != nullptr))
                kv_ = cache_name(cache.current, "NVFP4");
        }

      private:
        std::string why_plain(const mortise_module& m) const override {
            const auto weight = source().tensor(names_on_disk(source(), m).weight);
            if (own_) return weight && is_float(weight->dtype) ? "the source leaves it a float" : "";
            const auto by = how_.algorithm->weights;
            if (m.experts != 1 && by != nvfp4 && by != tensor8) return "stacked experts stay floats";
            const bool fits = how_.group == 0 || (m.columns % how_.group == 0 && m.rows % 2 == 0);
            return fits ? "" : "the group does not divide the columns, or the rows are odd";
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const Setting how = own_ != nullptr ? own_->choose(m).how : how_;
            const Site site = own_ != nullptr ? own_->site_of(m, how) : Site{source(), m, how.group};
            if (how_.algorithm->weights == nullptr)
                layers_.emplace_back(name_of(m),
                                     json_object({{"group_size", json_number(how.group)},
                                                  {"quant_algo", json_text(how.algorithm->name)}}));
            Spec spec = quantized(site, *how.algorithm);
            need_calibration(spec, current, m);
            store_as_source(spec, current);
            Recipe recipe = how.algorithm->recipe != nullptr ? how.algorithm->recipe() : float8_recipe();
            // A scale without axes leaves the quotient in the dtype of the floats.
            if (how.algorithm->weights == tensor8 && is_plain(current)) recipe.quotient(current.encoding);
            write(target, std::move(spec), recipe.share(input_group(name_of(m))));
        }
        std::string text(bool side) const {  // of config.json, or of the file beside it
            const Algorithm* by = how_.algorithm;
            const bool mixed = by && !by->weights, vectors = side && how_.group != 0 && by->pre_scale;
            return json_object(
                {{side ? "exclude_modules" : "ignore", mixed ? "" : json_list(plain_modules())},
                 {"group_size", json_number(how_.group)},
                 {side ? "kv_cache_quant_algo" : "kv_cache_scheme", side ? json_text(kv_) : cache_json(kv_)},
                 {"pre_quant_scale", vectors ? "true" : ""},
                 {"producer", side ? "" : maker},
                 {"quant_algo", json_text(by ? by->name : "")},
                 {"quant_method", side ? "" : json_text("modelopt")},
                 {"quantized_layers", layers_.empty() ? "" : json_object(layers_)},
                 {"weight_block_size", own_ ? json_numbers(own_->block_) : ""}});
        }
        static constexpr const char* maker = R"({"name":"modelopt","version":"0.47.0"})";
        Setting how_;
        std::unique_ptr<ModelOpt> own_;  // the source in this dialect, to be kept
        JsonMembers layers_;
        std::string kv_;  // name of the cache's coding
    };

  private:
    struct Choice {           // what the config says of a module
        bool chosen = false;  // it is to be quantized
        Setting how;          // or how it would be
        std::string rule, note;
        Config node;
    };
    // The group is what the config says, what the algorithm has, or what the scales show.
    Site site_of(const mortise_module& m, const Setting& how) const {
        Site site{checkpoint(), m, how.group, calibrated_};
        if (!block_.empty()) site.block = block_;
        if (site.group == 0 && how.algorithm != nullptr) site.group = how.algorithm->group;
        const auto shape = site.shape();
        if (site.group == 0 && shape.size() == 2 && shape[1] > 0)
            site.group = m.columns / static_cast<uint64_t>(shape[1]);
        return site;
    }
    Choice choose(const mortise_module& m) {
        if (all_.algorithm == nullptr) return {.rule = "only the cache is quantized"};
        if (all_.algorithm->weights == nullptr) {
            const Setting* own = layers_.find(std::string(view(m.name)));
            if (own == nullptr) return {.rule = "'quantized_layers' does not list it"};
            return {true, *own, std::string("quantized_layers: ") + own->algorithm->name, "", {}};
        }
        const Rule *ignored = ignore_.find(m), *excluded = exclude_.find(m),
                   *rule = ignored != nullptr ? ignored : excluded;
        Choice out{.how = all_,
                   .rule = rule != nullptr ? rule->text : std::string("quant_algo ") + all_.algorithm->name};
        out.chosen = rule == nullptr && m.kind != MORTISE_MODULE_EMBEDDING;
        if (rule != nullptr) out.node = rule->node;
        if (two_lists_ && (ignored == nullptr) != (excluded == nullptr))
            out.note = "only one of config.json and hf_quant_config.json has " + rule->text;
        return out;
    }
    Setting all_;
    std::vector<uint64_t> block_;
    CacheCoding cache_;
    Listed<Setting> layers_;
    Rules ignore_, exclude_;
    bool two_lists_ = false, calibrated_ = false;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.modelopt", "0.1.0", scheme_entry<ModelOpt>("modelopt"))
