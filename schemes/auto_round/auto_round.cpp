// Integer codes in groups as auto-round writes them. The packing is named by "packing_format": codes along
// the columns with zero points less one, the same with zero points as they are, or 4 bits along the rows.
// There are no column maps; about half of the symmetric scales are negative. Facts as auto-round 0.16 writes
// and reads.

#include "mortise/sdk/int_groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

struct Settings {
    int64_t bits = 4, group = 128;
    bool symmetric = true;

    void read(const Config& from) {
        bits = from.get<int64_t>("bits", bits);
        group = from.get<int64_t>("group_size", group);
        symmetric = from.get<bool>("sym", symmetric);
        if (skips()) return from.ignore_all();
        from.one_of("data_type", {"int", "int_sym", "int_asym"}, "int");
        if (const int64_t inputs = from.get<int64_t>("act_bits", 16); inputs < 16)
            throw Unsupported({.what = "quantized inputs are not supported",
                               .expected = "act_bits 16",
                               .found = std::to_string(inputs),
                               .node = from.node()});
        for (const char* key : {"super_bits", "super_group_size", "rotation_config"}) from.refuse_if_set(key);
        from.ignore({"act_data_type", "act_dynamic", "act_group_size", "act_sym", "scale_dtype"});
        if (bits < 2 || bits > 8)
            throw Unsupported({.what = "these bits are not supported",
                               .expected = "2 to 8",
                               .found = std::to_string(bits),
                               .node = from.node()});
        if (group == 0 || group < -1)
            throw Refused(
                {.what = "group_size is out of range", .found = std::to_string(group), .node = from.node()});
    }
    bool skips() const { return bits >= 16; }
};

class AutoRound : public Scheme {
  public:
    explicit AutoRound(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.first_of<std::string>({"quant_method", "method"});
        packing_ = q.one_of("packing_format", {"auto_round", "auto_round:auto_gptq", "auto_round:gptq",
                                               "auto_round:auto_awq", "auto_round:awq"});
        rows_ = packing_ == "auto_round:auto_awq" || packing_ == "auto_round:awq";
        less_one_ = packing_ == "auto_round:auto_gptq" || packing_ == "auto_round:gptq";
        q.require("bits");
        settings_.read(q);
        q.ignore({"amp", "autoround_version", "batch_size", "block_name_to_quantize", "dataset",
                  "enable_minmax_tuning", "enable_norm_bias_tuning", "enable_quanted_input",
                  "gradient_accumulate_steps", "iters", "low_cpu_mem_usage", "low_gpu_mem_usage", "lr",
                  "minmax_lr", "nsamples", "quant_block_list", "seqlen", "to_quant_block_names"});
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
        const bool coded = checkpoint().has(name + ".qweight") || checkpoint().has(name + ".qzeros") ||
                           checkpoint().has(name + ".scales");
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
        say(answer, quantized(m, name, settings), false,
            rule != nullptr && note.empty() ? rule->text : "quant_method auto-round", note, node);
    }

    void rules(mortise_rule_visitor visit, void* context) override {
        exact_.report(visit, context);
        regex_.report(visit, context);
    }

  private:
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

    Spec quantized(const mortise_module& m, const std::string& name, const Settings& settings) const {
        IntGroups form{.rows = m.rows,
                       .columns = m.columns,
                       .bits = static_cast<uint32_t>(settings.bits),
                       .symmetric = settings.symmetric};
        form.group =
            settings.group < 0 ? m.columns : std::min(static_cast<uint64_t>(settings.group), m.columns);
        form.packing = rows_ ? IntGroups::Packing::rows_even_first : IntGroups::Packing::columns;
        form.less_one = less_one_;
        if (m.experts != 1) throw Unsupported({.what = "stacked experts are not supported", .subject = name});
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
        Spec spec = int_groups(form, name + ".qweight", name + ".scales", name + ".qzeros",
                               scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16);
        add_bias_or_zeros(spec, name + ".bias", m);
        return spec;
    }

    std::string packing_;
    bool rows_ = false;      // packed along the rows
    bool less_one_ = false;  // zero points are stored less one
    Settings settings_;
    Rules exact_, regex_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.auto-round", "0.1.0", scheme_entry<AutoRound>("auto_round"))
