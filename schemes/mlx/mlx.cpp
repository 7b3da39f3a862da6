// Weights as MLX keeps them: a dense stream of codes along the columns in 32-bit words, one scale per row and
// group. "affine" has unsigned integers and float addends called "biases"; "mxfp4", "mxfp8" and "nvfp4" have
// small floats and scales of 8 bits, without a scale for the whole tensor. Embeddings are coded like linears.
// Facts: mlx.core.quantize and mlx_lm.utils.load_model of MLX 0.32.

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

struct Mode {
    const char* name;
    int64_t group, bits;   // of a module that does not say
    uint32_t code, scale;  // MORTISE_ENCODING_*
};
constexpr Mode modes[] = {
    {"affine", 64, 4, MORTISE_ENCODING_UNSIGNED, MORTISE_ENCODING_AS_DTYPE},
    {"mxfp4", 32, 4, MORTISE_ENCODING_E2M1, MORTISE_ENCODING_E8M0},
    {"mxfp8", 32, 8, MORTISE_ENCODING_E4M3, MORTISE_ENCODING_E8M0},
    {"nvfp4", 16, 4, MORTISE_ENCODING_E2M1, MORTISE_ENCODING_E4M3},
};

struct Settings {
    const Mode* mode = modes;
    uint64_t group = 64;
    uint32_t bits = 4;
    bool affine() const { return mode == modes; }

    // Effect: what `from` says. What it leaves out is the mode's own, never that of the whole checkpoint: so
    // the library reads an override.
    static Settings read(const Config& from) {
        const std::string name = from.one_of("mode", {"affine", "mxfp4", "mxfp8", "nvfp4"}, "affine");
        Settings out;
        while (out.mode->name != name) ++out.mode;
        const auto group = from.get<int64_t>("group_size", out.mode->group);
        const auto bits = from.get<int64_t>("bits", out.mode->bits);
        from.refuse_if_set("quantize_input");
        const bool known = out.affine() ? bits >= 2 && bits <= 8 && bits != 7 && group > 0
                                        : bits == out.mode->bits && group == out.mode->group;
        if (!known)
            throw Unsupported({.what = "mode '" + name + "' has no such codes",
                               .expected = out.affine()
                                               ? "2, 3, 4, 5, 6 or 8 bits in groups"
                                               : std::to_string(out.mode->bits) + " bits in groups of " +
                                                     std::to_string(out.mode->group),
                               .found = std::to_string(bits) + " bits in groups of " + std::to_string(group),
                               .node = from.node()});
        out.group = static_cast<uint64_t>(group);
        out.bits = static_cast<uint32_t>(bits);
        return out;
    }
};

// Effect: the two values say the same; the order of members does not count.
bool same(const Config& a, const Config& b) {
    if (a.kind() != b.kind()) return false;
    if (a.is_bool()) return a.as<bool>() == b.as<bool>();
    if (a.is_number()) return a.as<double>() == b.as<double>();
    if (a.is_string()) return a.as<std::string>() == b.as<std::string>();
    if (a.size() != b.size()) return false;
    for (uint64_t i = 0; i < a.size(); ++i)
        if (!same(a.at(i), a.is_object() ? b[a.key(i)] : b.at(i))) return false;
    return true;
}

// Effect: codes, scales and addends under the names of one module, or of a stack of them.
Spec grouped(uint64_t experts, uint64_t rows, uint64_t columns, const Settings& s, const std::string& name) {
    const auto shape = [&](uint64_t inner) {
        return experts > 1 ? shape_of({experts, rows, inner}) : shape_of({rows, inner});
    };
    Spec spec(experts, rows, columns);
    spec.codes(name + ".weight", s.mode->code, s.bits, {MORTISE_DTYPE_U32}, {shape(columns * s.bits / 32)})
        .flags = s.affine() ? 0u : uint32_t{MORTISE_FIELD_FINITE};
    const mortise_shape groups = shape(columns / s.group);
    mortise_field& scale =
        s.affine()
            ? spec.level(MORTISE_ROLE_SCALE, name + ".scales", 1, s.group, float_dtypes, {groups})
            : spec.level(MORTISE_ROLE_SCALE, name + ".scales", 1, s.group, {MORTISE_DTYPE_U8}, {groups});
    scale.encoding = s.mode->scale;
    scale.experts = experts;
    scale.flags = MORTISE_FIELD_FINITE;
    if (!s.affine()) return spec;
    mortise_field& addend =
        spec.offsets(MORTISE_ROLE_ADDEND, name + ".biases", 1, s.group, float_dtypes, {groups});
    addend.experts = experts;
    addend.flags = MORTISE_FIELD_FINITE;
    return spec;
}

class Mlx : public Scheme {
  public:
    explicit Mlx(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = checkpoint.config()["quantization"];
        if (const Config copy = checkpoint.config()["quantization_config"]; copy && !same(q, copy))
            throw Refused({.what = "'quantization_config' contradicts 'quantization'",
                           .expected = "two copies of the same settings",
                           .node = copy.node()});
        settings_ = Settings::read(q);
        q.require("bits");
        q.require("group_size");
        for (uint64_t i = 0; i < q.size(); ++i) {
            const std::string key = q.key(i);
            const Config node = q.at(i);
            if (key == "bits" || key == "group_size" || key == "mode" || key == "quantize_input") continue;
            if (!node.is_object() && !node.is_bool())
                throw Unsupported({.what = "unknown setting 'quantization." + key + "'",
                                   .expected = "group_size, bits, mode, or the name of a module",
                                   .node = node.node()});
            if (node.is_object()) Settings::read(node);
            overrides_.add({MORTISE_PATTERN_EXACT, key, "quantization." + key, node, key == "lm_head"});
        }
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config c = checkpoint.config();
        if (!c["quantization"].is_object()) return not_matched("config.json has no object 'quantization'");
        if (const Config method = c["quantization_config"]["quant_method"])
            return not_matched("quantization_config has a quant_method");
        return matched(800, "config.json has 'quantization' and no quant_method");
    }

    // The scales' presence says whether; a module whose columns are not made of whole groups stays a float
    // without a word in the config.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* rule = overrides_.find(m);
        const Config node = rule != nullptr ? rule->node : Config();
        const bool skipped = node.is_bool() && !node.as<bool>();
        const auto weight = checkpoint().tensor(name + ".weight");
        const bool coded = checkpoint().has(name + ".scales") || checkpoint().has(name + ".biases") ||
                           (weight && weight->dtype == MORTISE_DTYPE_U32);
        if (!coded) {
            const bool claimed = rule != nullptr && !skipped;
            return say_plain(
                m, answer, rule != nullptr && skipped ? rule->text : "it has no scales",
                claimed ? rule->text + " says that it is quantized, and it is stored as floats" : "", node);
        }
        const Settings settings = node.is_object() ? Settings::read(node) : settings_;
        if (m.columns % settings.group != 0 || m.columns * settings.bits % 32 != 0)
            throw Refused({.what = "columns do not fit groups and words",
                           .subject = name,
                           .expected = "a multiple of " + std::to_string(settings.group),
                           .found = std::to_string(m.columns) + " columns",
                           .node = node.node()});
        Spec spec = grouped(m.experts, m.rows, m.columns, settings, name);
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        say(answer, std::move(spec), false, rule != nullptr && !skipped ? rule->text : "quantization",
            skipped ? rule->text + " says that it is left as it is, and it is quantized" : "", node);
    }
    void rules(mortise_rule_visitor visit, void* context) override { overrides_.report(visit, context); }

  private:
    Settings settings_;
    Rules overrides_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.mlx", "0.1.0", scheme_entry<Mlx>("mlx"))
