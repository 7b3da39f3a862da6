// Codes as auto-round writes them. Integers in groups: "packing_format" says whether they lie along the
// columns with zero points less one, the same with zero points as they are, or along the rows with 4 bits;
// there are no column maps, and about half of the symmetric scales are negative. 8-bit floats under one scale
// per matrix, row or block, and small floats in groups, in the names that llm-compressor gives them. Facts as
// auto-round 0.16 writes and reads.

#include "mortise/sdk/float8.h"
#include "mortise/sdk/float_groups.h"
#include "mortise/sdk/int_groups.h"
#include "mortise/sdk/int_settings.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Families of codes and of inputs, without the bits and variants that may follow in the name.
constexpr std::string_view kinds[] = {"int", "fp", "mx_fp", "nv_fp"};

struct Settings {
    int64_t bits = 4, group = 128;
    bool symmetric = true;
    std::string kind = "int";
    std::vector<uint64_t> block;  // rows and columns that share a scale, instead of a group
    int64_t input_bits = 16;      // 16 and more: inputs stay floats
    int64_t input_group = 0;
    bool dynamic = true;   // input scales come from the data
    bool ceiling = false;  // the exponent of an input scale is rounded up

    void read(const Config& from) {
        bits = from.get<int64_t>("bits", bits);
        const Config size = from["group_size"];
        if (size.is_array())
            block = block_size(size);
        else
            group = from.get<int64_t>("group_size", group);
        symmetric = from.get<bool>("sym", symmetric);
        if (skips()) return from.ignore_all();
        if (from["data_type"]) kind = kind_of(from, from.get("data_type", ""));
        for (const char* key : {"super_bits", "super_group_size", "rotation_config"}) from.refuse_if_set(key);
        from.ignore({"act_sym", "scale_dtype"});
        input_bits = from.get<int64_t>("act_bits", input_bits);
        input_group = from.get<int64_t>("act_group_size", input_group);
        dynamic = from.get<bool>("act_dynamic", dynamic);
        const std::string inputs = from.get("act_data_type", "");
        ceiling = inputs.ends_with("_rceil");
        const bool same = input_bits >= 16 || kind_of(from, inputs.empty() ? kind : inputs) == kind;
        if (input_bits < 16 && (kind == "int" || !same || input_bits != bits))
            throw Unsupported({.what = "inputs of these codes are not supported",
                               .expected = "floats, or codes of the kind and bits of the float weights",
                               .found = std::to_string(input_bits) + " bits of '" + inputs +
                                        "' beside weights of '" + kind + "'",
                               .node = from.node()});
        if (bits < 2 || bits > 8 || (kind == "fp" && bits != 8) || (kind == "nv_fp" && bits != 4) ||
            (kind == "mx_fp" && bits != 4 && bits != 8))
            throw Unsupported(
                {.what = "these bits are not supported",
                 .expected = kind == "int" ? "2 to 8" : "8 of 'fp', 4 of 'nv_fp', 4 or 8 of 'mx_fp'",
                 .found = std::to_string(bits) + " of '" + kind + "'",
                 .node = from.node()});
        if (group < -1 || (group == 0 && kind != "fp"))
            throw Refused(
                {.what = "group_size is out of range", .found = std::to_string(group), .node = from.node()});
    }
    bool skips() const { return bits >= 16; }

  private:
    static std::string kind_of(const Config& from, const std::string& name) {
        for (const std::string_view kind : kinds)
            if (name.starts_with(kind) && name.find("e5m") == std::string::npos) return std::string(kind);
        throw Unsupported({.what = "these codes are not supported",
                           .expected = "int, fp (e4m3), mx_fp or nv_fp",
                           .found = name,
                           .node = from.node()});
    }
};

class AutoRound : public Scheme {
  public:
    explicit AutoRound(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.first_of<std::string>({"quant_method", "method"});
        q.require("bits");
        if (q.get("packing_format", "") == "auto_round:fake")
            throw Unsupported(
                {.what = "packing 'auto_round:fake' holds no codes: its weights are rounded floats, "
                         "to be run by the library that made them",
                 .fix = "export the model in the format 'auto_round' or 'llm_compressor'",
                 .node = q.node()});
        settings_.read(q);
        ignore_tuning(q);
        q.ignore(
            {"activation_scheme", "fmt", "weight_block_size"});  // of 8-bit floats: as the other keys say
        q.refuse_if_set("static_attention_dtype");
        coded_cache_ = !q.one_of("static_kv_dtype", {"fp8", "float8_e4m3fn", ""}, "").empty();
        q.one_of("static_kv_granularity", {"tensor"}, "tensor");
        read_packing(q);
        read_extra(q["extra_config"]);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = quantization_of(checkpoint);
        if (!q) return not_matched("there is no quantization config");
        const std::string method = q["quant_method"] ? q.get("quant_method", "") : q.get("method", "");
        const bool mine = method == "auto-round" || method == "intel/auto-round";
        return mine ? matched(800, "quant_method is '" + method + "'")
                    : not_matched("quant_method is '" + method + "'");
    }

    // The codes' presence says whether; what the config claims besides is reported.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* exact = exact_.find(m);
        const Rule* loose = regex_.find(m);
        const Rule* rule = exact != nullptr ? exact : loose;
        Settings settings = settings_;
        if (rule != nullptr) settings.read(rule->node);
        const Config node = rule != nullptr ? rule->node : Config();
        bool coded = is_coded(checkpoint(), name + ".weight").value_or(false);
        for (const char* leaf : {".qweight", ".qzeros", ".scales", ".weight_packed"})
            coded = coded || checkpoint().has(name + leaf);
        if (!coded) {
            const bool claimed = rule != nullptr && !settings.skips();
            const std::string note = claimed ? rule->text + " says " + std::to_string(settings.bits) +
                                                   " bits, and it is stored as floats"
                                             : "";
            return say_plain(m, answer, rule != nullptr && !claimed ? rule->text : "it has no codes", note,
                             node);
        }
        std::string note;
        if (settings.skips()) {
            settings = settings_;
            note = rule != nullptr ? rule->text + " says that it is left as it is, and it is quantized" : "";
        }
        if (m.experts != 1) throw Unsupported({.what = "stacked experts are not supported", .subject = name});
        Spec spec = settings.kind == "int"  ? integers(m, name, settings)
                    : settings.kind == "fp" ? floats8(m, settings)
                                            : small_floats(m, name, settings);
        add_bias_or_zeros(spec, name + ".bias", m);
        say(answer, std::move(spec), false,
            rule != nullptr && note.empty() ? rule->text : "quant_method auto-round", note, node);
    }

    CacheCoding cache_coding() override {
        return coded_cache_ ? float8_cache("static_kv_dtype") : CacheCoding{};
    }
    void rules(mortise_rule_visitor visit, void* context) override {
        exact_.report(visit, context);
        regex_.report(visit, context);
    }

    // Writes linears, and a head that the source codes, as they are or nearest. Another packing than the
    // source's or that of GPTQ is an option.
    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : LinearWriter(source, {.heads = true}, options) {
            const std::string own =
                match(source).yes ? quantization_of(source).get("packing_format", "") : "";
            if (own == "auto_round" || own.ends_with("gptq") || own.ends_with("awq")) packing_ = own;
            for (const std::string word : {"gptq", "awq"})
                if (options.take_flag(word)) packing_ = "auto_round:auto_" + word;
            if (options.take_flag("auto_round")) packing_ = "auto_round";
            const uint64_t bits = options.take_number('b', 0), group = options.take_number('g', 0);
            usual_.symmetric = options.take_flag("sym");
            chosen_ = bits != 0 || group != 0 || usual_.symmetric;
            if (bits != 0) usual_.bits = static_cast<int64_t>(bits);
            if (group != 0) usual_.group = static_cast<int64_t>(group);
            options.finish(
                "gptq, awq or auto_round; b4 or 2, 3, 8 bits, g128 or another group size, sym, head");
        }
        std::string config() override {
            if (!chosen_ && !written_.empty()) usual_ = most_common(written_);
            JsonMembers members = members_of(usual_), extra;
            for (const auto& [name, settings] : written_)
                if (settings != usual_ || std::ranges::count(coded_heads(), name) != 0)
                    extra.emplace_back(name, json_object(members_of(settings)));
            for (const std::string& name : plain_linears()) extra.emplace_back(name, R"({"bits":16})");
            members.emplace_back("data_type", json_text("int"));
            members.emplace_back("extra_config", extra.empty() ? "" : json_object(extra));
            members.emplace_back("packing_format", json_text(packing_));
            members.emplace_back("quant_method", json_text("auto-round"));
            return json_object(members);
        }

      private:
        static bool is_width(int64_t bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 8; }
        // Zero points are always stored; only in GPTQ's packing less one.
        IntGroups form_of(const mortise_module& m) const {
            IntGroups form{.rows = m.rows, .columns = m.columns, .group = now_.group_of(m.columns)};
            form.bits = static_cast<uint32_t>(now_.bits);
            if (packing_.ends_with("awq")) form.packing = IntGroups::Packing::rows_even_first;
            form.less_one = packing_.ends_with("gptq");
            return form;
        }
        static JsonMembers members_of(const IntSettings& s) {
            return {{"bits", std::to_string(s.bits)},
                    {"group_size", std::to_string(s.group)},
                    {"sym", s.symmetric ? "true" : "false"}};
        }
        void consider(const mortise_module&, const mortise_spec& current) override {
            const auto own = chosen_ ? std::nullopt : settings_as_they_are(current);
            now_ = own && !own->act_order && is_width(own->bits) ? *own : usual_;
        }
        std::string why_plain(const mortise_module& m) const override {
            return is_width(now_.bits) && form_of(m).fits() ? "" : "it fills no words";
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const std::string name = name_of(m);
            const uint32_t scale = source_dtype(current, MORTISE_ROLE_SCALE, MORTISE_DTYPE_F16);
            Spec spec = int_groups(form_of(m), name, bits_of(scale));
            store_as(*spec.find(MORTISE_ROLE_SCALE), scale);
            keep_bias(spec, m, current);
            written_.emplace_back(name, now_);
            write(target, std::move(spec), int_groups_recipe(now_));
        }
        std::string packing_ = "auto_round:auto_gptq";
        bool chosen_ = false;
        IntSettings usual_{.symmetric = false}, now_;  // now_: of the module that is looked at
        std::vector<std::pair<std::string, IntSettings>> written_;
    };

  private:
    // How integers are packed; of floats the tensors' names and dtypes tell.
    void read_packing(const Config& q) {
        if (!q["packing_format"] && settings_.kind != "int") return;
        const std::string packing =
            q.one_of("packing_format", {"auto_round", "auto_round:auto_gptq", "auto_round:gptq",
                                        "auto_round:auto_awq", "auto_round:awq", "auto_round:fp8",
                                        "auto_round:fp8_static", "auto_round:llm_compressor"});
        rows_ = packing == "auto_round:auto_awq" || packing == "auto_round:awq";
        less_one_ = packing == "auto_round:auto_gptq" || packing == "auto_round:gptq";
    }
    // Keys that are names of modules decide first; any other key is a regular expression for any part of a
    // name.
    void read_extra(const Config& extra) {
        if (extra && !extra.is_object())
            throw Refused({.what = "'extra_config' is no object", .node = extra.node()});
        for (uint64_t i = 0; extra && i < extra.size(); ++i) {
            const std::string key = extra.key(i), text = "extra_config." + key;
            const Config node = extra.at(i);
            Settings checked = settings_;
            checked.read(node);
            bool module = false;
            checkpoint().each_below(key, [&](const mortise_tensor&) { module = true; });
            const bool head = key == "lm_head";  // named by producers also where a tied model has none
            if (module || head)
                exact_.add({MORTISE_PATTERN_EXACT, key, text, node, head});
            else
                regex_.add({MORTISE_PATTERN_REGEX, "(?:.*?)(?:" + key + ")", text, node});
        }
    }

    Spec floats8(const mortise_module& m, const Settings& settings) const {
        const Float8Names names =
            float8_names(checkpoint(), m, settings.block.empty() ? "_scale" : "_scale_inv");
        if (settings.block.empty() && settings.group > 0)
            throw Unsupported({.what = "8-bit floats in groups of columns are not supported",
                               .subject = names.weight,
                               .expected = "group_size 0, -1 or two numbers",
                               .found = std::to_string(settings.group)});
        Float8 form{.rows = m.rows, .columns = m.columns, .block_rows = settings.group < 0 ? 1u : 0u};
        if (!settings.block.empty()) {
            form.block_rows = settings.block[0];
            form.block_columns = settings.block[1];
        }
        Spec spec = float8(form, names.weight, names.scale);
        if (settings.input_bits >= 16) return spec;
        if (!settings.dynamic)
            add_float8_input(spec, names.input_scale);
        else
            spec->activation = settings.input_group > 0
                                   ? float8_groups(static_cast<uint64_t>(settings.input_group), false)
                                   : float8_tokens();
        return spec;
    }
    Spec small_floats(const mortise_module& m, const std::string& name, const Settings& settings) const {
        const FloatGroups form{
            .rows = m.rows,
            .columns = m.columns,
            .group = settings.group < 0 ? m.columns : static_cast<uint64_t>(settings.group),
            .bits = static_cast<uint32_t>(settings.bits),
            .exponents = settings.kind == "mx_fp"};
        if (!form.fits())
            throw Refused({.what = "columns do not fill groups",
                           .subject = name,
                           .expected = "a multiple of " + std::to_string(form.group),
                           .found = std::to_string(m.columns)});
        Spec spec = float_groups(form, name + (form.bits == 4 ? ".weight_packed" : ".weight"),
                                 name + ".weight_scale");
        if (!form.exponents) add_global_scale(spec, name + ".weight_global_scale", true);
        if (settings.input_bits >= 16) return spec;
        if (form.exponents)
            spec->activation = microscaled_inputs(
                form.bits, settings.ceiling ? MORTISE_EXPONENT_CEIL : MORTISE_EXPONENT_FLOOR);
        else
            add_float4_inputs(spec, name + ".input_global_scale", true);
        return spec;
    }
    Spec integers(const mortise_module& m, const std::string& name, const Settings& settings) const {
        IntGroups form{.rows = m.rows,
                       .columns = m.columns,
                       .bits = static_cast<uint32_t>(settings.bits),
                       .symmetric = settings.symmetric};
        form.group =
            settings.group < 0 ? m.columns : std::min(static_cast<uint64_t>(settings.group), m.columns);
        form.packing = rows_ ? IntGroups::Packing::rows_even_first : IntGroups::Packing::columns;
        form.less_one = less_one_;
        if (form.bits >= 5 && form.bits <= 7)
            throw Unsupported({.what = "this packing has no such bits",
                               .subject = name,
                               .found = std::to_string(form.bits) + " bits"});
        if (!form.fits())
            throw Refused({.what = "bits, rows or columns do not fill words",
                           .subject = name,
                           .expected = "fields that fill words of 32 bits",
                           .found = std::to_string(m.rows) + " x " + std::to_string(m.columns) + ", " +
                                    std::to_string(form.bits) + " bits"});
        if (!checkpoint().has(name + ".qzeros"))
            throw Refused({.what = "a tensor of a quantized module is missing",
                           .subject = name + ".qzeros",
                           .expected = "zero points beside the codes",
                           .found = "no such tensor",
                           .fix = "the download is incomplete or the config names another format"});
        const auto scale = checkpoint().tensor(name + ".scales");
        return int_groups(form, name, scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16);
    }

    bool coded_cache_ = false;
    bool rows_ = false;      // packed along the rows
    bool less_one_ = false;  // zero points are stored less one
    Settings settings_;
    Rules exact_, regex_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.auto-round", "0.1.0", scheme_entry<AutoRound>("auto_round"))
