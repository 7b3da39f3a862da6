// Weights as MLX keeps them: a dense stream of codes along the columns in 32-bit words, one scale per row and
// group. "affine" has unsigned integers and float addends called "biases"; "mxfp4", "mxfp8" and "nvfp4" have
// small floats and scales of 8 bits, without a scale for the whole tensor. Embeddings are coded like linears.
// Facts: mlx.core.quantize and mlx_lm.utils.load_model of MLX 0.32.

#include <set>

#include "mortise/sdk/float_groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

struct Mode {
    const char* name;
    int64_t group, bits;  // of a module that does not say
    bool exponents;       // scales are powers of two
};
constexpr Mode modes[] = {
    {"affine", 64, 4, false},
    {"mxfp4", 32, 4, true},
    {"mxfp8", 32, 8, true},
    {"nvfp4", 16, 4, false},
};

struct Settings {
    const Mode* mode = modes;
    uint64_t group = 64;
    uint32_t bits = 4;
    bool affine() const { return mode == modes; }

    // Effect: the settings by these names and numbers; 0 = the mode's own. Errors: Unsupported.
    static Settings of(const std::string& mode, int64_t group, int64_t bits,
                       const mortise_node* node = nullptr) {
        Settings out;
        while (out.mode->name != mode) ++out.mode;
        const Mode& m = *out.mode;
        if (group == 0) group = m.group;
        if (bits == 0) bits = m.bits;
        const bool known = out.affine() ? bits >= 2 && bits <= 8 && bits != 7 && group > 0
                                        : bits == m.bits && group == m.group;
        if (!known)
            throw Unsupported({.what = "mode '" + mode + "' has no such codes",
                               .expected = out.affine() ? "2, 3, 4, 5, 6 or 8 bits in groups"
                                                        : std::to_string(m.bits) + " bits in groups of " +
                                                              std::to_string(m.group),
                               .found = std::to_string(bits) + " bits in groups of " + std::to_string(group),
                               .node = node});
        out.group = static_cast<uint64_t>(group);
        out.bits = static_cast<uint32_t>(bits);
        return out;
    }
    // Effect: what `from` says. What it leaves out is the mode's own, never that of the whole checkpoint: so
    // the library reads an override.
    static Settings read(const Config& from) {
        from.refuse_if_set("quantize_input");
        return of(from.one_of("mode", {"affine", "mxfp4", "mxfp8", "nvfp4"}, "affine"),
                  from.get<int64_t>("group_size", 0), from.get<int64_t>("bits", 0), from.node());
    }
    // Effect: as the producer writes them.
    std::string text() const {
        return R"({"bits":)" + std::to_string(bits) + R"(,"group_size":)" + std::to_string(group) +
               R"(,"mode":")" + mode->name + "\"}";
    }
    bool operator==(const Settings&) const = default;
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
    const std::string weight = name + ".weight", scales = name + ".scales";
    if (!s.affine()) {
        FloatGroups form{
            .experts = experts, .rows = rows, .columns = columns, .group = s.group, .bits = s.bits};
        form.exponents = s.mode->exponents;
        form.word = 32;
        Spec spec = float_groups(form, weight, scales);
        mortise_field& scale = *spec.find(MORTISE_ROLE_SCALE);
        scale.n_dtypes = 1;
        scale.dtypes[0] = MORTISE_DTYPE_U8;
        scale.flags = MORTISE_FIELD_FINITE;  // a group of zeros may have the scale 0
        return spec;
    }
    const auto shape = [&](uint64_t inner) {
        return experts > 1 ? shape_of({experts, rows, inner}) : shape_of({rows, inner});
    };
    Spec spec(experts, rows, columns);
    spec.codes(weight, MORTISE_ENCODING_UNSIGNED, s.bits, {MORTISE_DTYPE_U32},
               {shape(columns * s.bits / 32)});
    const mortise_shape groups = shape(columns / s.group);
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, s.group, float_dtypes, {groups});
    mortise_field& addend =
        spec.offsets(MORTISE_ROLE_ADDEND, name + ".biases", 1, s.group, float_dtypes, {groups});
    for (mortise_field* field : {&scale, &addend}) {
        field->experts = experts;
        field->flags = MORTISE_FIELD_FINITE;
    }
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
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows, m.experts);
        say(answer, std::move(spec), false, rule != nullptr && !skipped ? rule->text : "quantization",
            skipped ? rule->text + " says that it is left as it is, and it is quantized" : "", node);
    }
    void rules(mortise_rule_visitor visit, void* context) override { overrides_.report(visit, context); }

    // Writes every linear, head and embedding whose columns are made of whole groups. What a source quantizes
    // keeps its bits and groups unless options say otherwise; what it leaves as floats stays so.
    class Writer : public SchemeWriter {
      public:
        static constexpr std::string_view config_copy = "quantization";

        Writer(const Checkpoint& source, Options& options) : SchemeWriter(source) {
            std::string mode;
            for (const Mode& each : modes)
                if (options.take_flag(each.name)) mode = each.name;
            const auto bits = static_cast<int64_t>(options.take_number('b', 0));
            const auto group = static_cast<int64_t>(options.take_number('g', 0));
            options.finish("affine, mxfp4, mxfp8, nvfp4, b4 or other bits, g64 or another group");
            chosen_ = !mode.empty() || bits != 0 || group != 0;
            usual_ = Settings::of(mode.empty() ? "affine" : mode, group, bits);
        }
        void target(const mortise_module& module, const mortise_spec& current,
                    mortise_target& target) override {
            // Experts are stacked by projection, however the source keeps them.
            mortise_module m = module;
            const bool stacked = is_stacked(module);
            if (stacked) m.canonical = module.stack;
            fill(m, name_of(m), current, target);
            if (stacked && m.experts == 1) stack(target, m.expert);
        }
        // The settings of most modules, and an object for each of the others.
        std::string config() override {
            if (!chosen_ && !written_.empty()) usual_ = most_common(written_);
            std::string text = usual_.text();
            text.pop_back();
            std::set<std::string> said;  // the experts of a stack have one name
            for (const auto& [name, settings] : written_)
                if (settings != usual_ && said.insert(name).second)
                    text += ",\"" + name + "\":" + settings.text();
            return text + "}";
        }

      private:
        void fill(const mortise_module& m, const std::string& name, const mortise_spec& current,
                  mortise_target& target) {
            const bool floats = is_plain(current);
            if (floats && source_is_coded()) return keep_plain(m, current, target, "a float in the source");
            const Settings settings = floats || chosen_ ? usual_ : like(current);
            if (m.columns % settings.group != 0 || m.columns * settings.bits % 32 != 0)
                return keep_plain(m, current, target, "columns do not fit groups and words");
            Spec spec = grouped(m.experts, m.rows, m.columns, settings, name);
            if (settings.affine()) {
                const uint32_t dtype = floats ? dtype_of(current.encoding)
                                              : source_dtype(current, MORTISE_ROLE_SCALE, MORTISE_DTYPE_BF16);
                store_as(*spec.find(MORTISE_ROLE_SCALE), dtype);
                store_as(*spec.find(MORTISE_ROLE_ADDEND), dtype);
            }
            keep_bias(spec, m, current);
            written_.emplace_back(name, settings);
            write(target, std::move(spec), recipe(settings));
        }
        static Recipe recipe(const Settings& s) {
            if (s.affine()) return edge_recipe(static_cast<double>((1u << s.bits) - 1), 1e-7);
            const double most = s.bits == 8 ? 448 : 6;
            Recipe out = symmetric_recipe(MORTISE_ENCODING_F32, most, -most, most);
            if (s.bits == 4) out.with(MORTISE_RECIPE_TIES_TO_ZERO | MORTISE_RECIPE_PLUS_ZERO);
            return s.mode->exponents ? out.zero_scale(1).exponents(MORTISE_EXPONENT_CEIL)
                                     : out.with(MORTISE_RECIPE_KEEP_ZERO);
        }
        // Effect: the settings that hold this spec's codes as they are; the usual ones if none does.
        Settings like(const mortise_spec& current) const {
            const uint64_t group =
                current.n_levels == 0 ? 0 : current.levels[current.n_levels - 1].column_group;
            const bool integer =
                current.encoding >= MORTISE_ENCODING_UNSIGNED && current.encoding <= MORTISE_ENCODING_TWOS;
            const bool bits = current.bits >= 2 && current.bits <= 8 && current.bits != 7;
            if (integer && bits && group != 0)
                return Settings::of("affine", static_cast<int64_t>(group), current.bits);
            for (const Mode& mode : modes) {
                const uint32_t code = mode.bits == 8 ? MORTISE_ENCODING_E4M3 : MORTISE_ENCODING_E2M1;
                const bool same = &mode != modes && current.encoding == code && current.n_levels == 1;
                if (same && group == static_cast<uint64_t>(mode.group)) return Settings::of(mode.name, 0, 0);
            }
            return usual_;
        }
        bool chosen_ = false;
        Settings usual_;
        std::vector<std::pair<std::string, Settings>> written_;
    };

  private:
    Settings settings_;
    Rules overrides_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.mlx", "0.1.0", scheme_entry<Mlx>("mlx"))
