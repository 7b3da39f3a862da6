// 2- to 8-bit codes in groups along the columns, packed along the columns: the files of AutoGPTQ and
// gptqmodel, formats "gptq" (zero points stored less one), "gptq_v2" (as they are) and "gptq_p" (bit planes).
// Facts as gptqmodel 7.7 writes and reads them.

#include "mortise/sdk/int_groups.h"
#include "mortise/sdk/int_settings.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Keys of the producers that say how a file was made and nothing about how it is read.
constexpr std::initializer_list<const char*> inert = {"act_group_aware",
                                                      "backend",
                                                      "cache_block_outputs",
                                                      "damp_auto_increment",
                                                      "damp_percent",
                                                      "disable_exllama",
                                                      "exllama_config",
                                                      "fallback",
                                                      "foem",
                                                      "gptaq",
                                                      "hessian",
                                                      "hf_device_map",
                                                      "max_input_length",
                                                      "meta",
                                                      "model_file_base_name",
                                                      "model_name_or_path",
                                                      "model_seqlen",
                                                      "module_name_preceding_first_block",
                                                      "mse",
                                                      "pad_token_id",
                                                      "static_groups",
                                                      "tokenizer",
                                                      "true_sequential",
                                                      "use_cuda_fp16",
                                                      "use_exllama"};

Config config_of(const Checkpoint& checkpoint) { return quantization_of(checkpoint, "quantize_config.json"); }

// What may differ from module to module.
struct Settings : IntSettings {
    void read(const Config& from) {
        bits = from.first_of<int64_t>({"bits", "w_bit", "wbits"}).value_or(bits);
        group = from.get<int64_t>("group_size", group);
        symmetric = from.get<bool>("sym", symmetric);
        act_order = from.get<bool>("desc_act", act_order);
        if (bits < 2 || bits > 8)
            throw Unsupported({.what = "these bits are not supported",
                               .expected = "2 to 8",
                               .found = std::to_string(bits),
                               .node = from.node()});
        if (group == 0 || group < -1)
            throw Refused(
                {.what = "group_size is out of range", .found = std::to_string(group), .node = from.node()});
    }
};

class Gptq : public Scheme {
  public:
    explicit Gptq(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = config_of(checkpoint);
        q.first_of<std::string>({"quant_method", "method"});
        format_ = q.first_of<std::string>({"checkpoint_format", "format"}).value_or("gptq");
        if (const std::string method = q.get("quant_method", "gptq"); method != "gptq") format_ = method;
        if (q.get<bool>("is_marlin_format", false)) format_ = "marlin";
        if (format_ != "gptq" && format_ != "gptq_v2" && format_ != "gptq_p")
            throw Unsupported({.what = "packing '" + format_ + "' is not supported",
                               .expected = "gptq, gptq_v2 or gptq_p",
                               .fix = "take the checkpoint in the packing 'gptq'",
                               .node = q.node()});
        q.one_of("pack_dtype", {"int32", "torch.int32"}, "int32");
        q.one_of("data_type", {"int"}, "int");
        q.refuse_if_set("adapter");
        q.refuse_if_set("rotation");
        q.ignore(inert);
        ignore_tuning(q);
        if (!q["bits"] && !q["w_bit"] && !q["wbits"])
            throw Refused({.what = "missing key 'bits'", .node = q.node()});
        settings_.read(q);
        head_ = q.get<bool>("lm_head", false);
        read_dynamic(q["dynamic"]);
        read_inside(q["modules_in_block_to_quantize"]);
        checkpoint.each_below("", [&](const mortise_tensor& tensor) {
            mapped_ = mapped_ || view(tensor.name).ends_with(".g_idx");
        });
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config inside = quantization_of(checkpoint), q = config_of(checkpoint);
        if (!q) return not_matched("there is no quantization config");
        const std::string method =
            q["quant_method"] ? q.get("quant_method", "") : q.get("method", inside ? "" : "gptq");
        const bool mine = method == "gptq" || method == "marlin" || method == "bitblas";
        return mine ? matched(800, "quant_method is '" + method + "'")
                    : not_matched("quant_method is '" + method + "'");
    }

    // The codes' presence says whether; the rules must not contradict it.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* rule = dynamic_.find(m);
        const Rule* inside = inside_.find(m);
        const bool skipped = rule != nullptr && is_skip(*rule);
        const Config node = rule != nullptr ? rule->node : Config();
        bool coded = false;
        for (const char* leaf : {".qweight", ".qzeros", ".scales", ".g_idx"})
            coded = coded || checkpoint().has(name + leaf);
        if (!coded) {
            const bool claimed = (rule != nullptr && !skipped) || inside != nullptr ||
                                 (m.kind == MORTISE_MODULE_HEAD && head_ && !skipped);
            return say_plain(
                m, answer, skipped ? rule->text : "it has no codes",
                claimed ? "the config says that it is quantized, and it is stored as floats" : "", node);
        }
        Settings settings = settings_;
        if (rule != nullptr && !skipped) override_by(*rule, settings);
        std::string note;
        if (skipped)
            note = "skipped by " + rule->text + ", and quantized";
        else if (m.kind == MORTISE_MODULE_LINEAR && !inside_.empty() && inside == nullptr)
            note = "not in modules_in_block_to_quantize, and quantized";
        Spec spec = quantized(m, name, settings, note);
        say(answer, std::move(spec), false, rule != nullptr && !skipped ? rule->text : "quant_method gptq",
            note, node);
    }

    void rules(mortise_rule_visitor visit, void* context) override {
        dynamic_.report(visit, context);
        inside_.report(visit, context);
    }

    // Writes linears; a head only where the source codes it. What a source codes keeps its bits and groups
    // unless options say otherwise; what it leaves as floats stays so and is skipped by a rule.
    class Writer : public SchemeWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : SchemeWriter(source) {
            const std::pair<const char*, const char*> formats[] = {
                {"v1", "gptq"}, {"v2", "gptq_v2"}, {"planes", "gptq_p"}};
            for (const auto& [word, format] : formats) {
                if (!options.take_flag(word)) continue;
                if (!format_.empty()) throw Refused({.what = "v1, v2 and planes exclude each other"});
                format_ = format;
            }
            if (format_.empty() && Gptq::match(source).yes)
                format_ =
                    config_of(source).first_of<std::string>({"checkpoint_format", "format"}).value_or("");
            if (format_.empty()) format_ = "gptq";
            const uint64_t bits = options.take_number('b', 0), group = options.take_number('g', 0);
            usual_.symmetric = options.take_flag("sym");
            options.finish(
                "v1, v2 or planes, b4 or 2, 3, 8 bits, in planes 2 to 8, g128 or another group size, sym");
            chosen_ = bits != 0 || group != 0 || usual_.symmetric;
            if (bits != 0) usual_.bits = static_cast<int64_t>(bits);
            if (group != 0) usual_.group = static_cast<int64_t>(group);
            if (!is_width(usual_.bits))
                throw Unsupported({.what = "no such bits in this packing",
                                   .expected = "2, 3, 4 or 8, in planes 2 to 8",
                                   .found = std::to_string(bits)});
        }
        void target(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const bool floats = is_plain(current), head = m.kind == MORTISE_MODULE_HEAD;
            if (m.kind == MORTISE_MODULE_EMBEDDING || (head && floats))
                return keep_plain(m, current, target, "embedding and head stay floats");
            const auto own = floats || chosen_ ? std::nullopt : settings_as_they_are(current);
            const IntSettings settings = own && is_width(own->bits) ? *own : usual_;
            const IntGroups form = form_of(settings, m);
            if (m.experts != 1 || !form.fits() || (floats && source_is_coded())) {
                skipped_.push_back(name_of(m));
                return keep_plain(m, current, target,
                                  floats ? "a float in the source" : "it does not fit words of 32 bits");
            }
            head_ = head_ || head;
            const std::string name = name_of(m);
            const uint32_t scale = source_dtype(current, MORTISE_ROLE_SCALE, MORTISE_DTYPE_F16);
            Spec spec = int_groups(form, name, bits_of(scale));
            store_as(*spec.find(MORTISE_ROLE_SCALE), scale);
            mortise_field& map =
                spec.field(MORTISE_ROLE_G_IDX, name + ".g_idx", {MORTISE_DTYPE_I32}, {shape_of({m.columns})});
            map.columns = m.columns;
            keep_bias(spec, m, current);
            written_.emplace_back(name, settings);
            write(target, std::move(spec), int_groups_recipe(settings));
        }
        std::string config() override {
            if (!chosen_ && !written_.empty()) usual_ = most_common(written_);
            JsonMembers members = members_of(usual_);
            members.emplace_back("checkpoint_format", json_text(format_));
            members.emplace_back("dynamic", dynamic());
            members.emplace_back("format", json_text(format_));
            members.emplace_back("lm_head", head_ ? "true" : "false");
            members.emplace_back("pack_dtype", json_text("int32"));
            members.emplace_back("quant_method", json_text("gptq"));
            return json_object(members);
        }

      private:
        bool planes() const { return format_ == "gptq_p"; }
        bool is_width(int64_t bits) const {
            return bits >= 2 && bits <= 8 && (planes() || bits < 5 || bits == 8);
        }
        static JsonMembers members_of(const IntSettings& s) {
            return {{"bits", std::to_string(s.bits)},
                    {"desc_act", s.act_order ? "true" : "false"},
                    {"group_size", std::to_string(s.group)},
                    {"sym", s.symmetric ? "true" : "false"}};
        }
        // A key for exactly this module.
        static std::string key(const char* mark, const std::string& name) {
            std::string out = std::string(mark) + ":^";
            for (const char c : name) out += c == '.' ? std::string(R"(\\.)") : std::string(1, c);
            return out + "$";
        }
        std::string dynamic() const {
            JsonMembers out;
            for (const auto& [name, settings] : written_)
                if (settings != usual_) out.emplace_back(key("+", name), json_object(members_of(settings)));
            for (const std::string& name : skipped_) out.emplace_back(key("-", name), "{}");
            return json_object(out);
        }
        // Zero points are always stored, also where all are the middle.
        IntGroups form_of(const IntSettings& s, const mortise_module& m) const {
            IntGroups form{.rows = m.rows, .columns = m.columns, .group = s.group_of(m.columns)};
            form.bits = static_cast<uint32_t>(s.bits);
            if (planes()) form.packing = IntGroups::Packing::column_planes;
            form.less_one = !planes() && format_ != "gptq_v2";
            return form;
        }
        std::string format_;
        bool chosen_ = false, head_ = false;
        IntSettings usual_{.symmetric = false};
        std::vector<std::pair<std::string, IntSettings>> written_;
        std::vector<std::string> skipped_;
    };

  private:
    static bool is_skip(const Rule& rule) { return rule.text.starts_with("dynamic.-:"); }

    // Patterns to overrides; the first that matches decides, "-:" leaves a module as it is.
    void read_dynamic(const Config& dynamic) {
        if (dynamic && !dynamic.is_object())
            throw Refused({.what = "'dynamic' is no object", .node = dynamic.node()});
        for (uint64_t i = 0; dynamic && i < dynamic.size(); ++i) {
            const std::string key = dynamic.key(i);
            const std::string pattern = key.starts_with("-:") || key.starts_with("+:") ? key.substr(2) : key;
            dynamic_.add(
                {MORTISE_PATTERN_REGEX, pattern, "dynamic." + key, dynamic.at(i), pattern == "lm_head"});
            const Rule& rule = dynamic_.last();
            if (Settings checked = settings_; !is_skip(rule))
                override_by(rule, checked);
            else
                rule.node.ignore_all();
        }
    }
    static void override_by(const Rule& rule, Settings& settings) {
        settings.read(rule.node);
        rule.node.refuse_if_set("adapter");
        rule.node.refuse_if_set("rotation");
        rule.node.ignore(inert);
        ignore_tuning(rule.node);
    }
    // A list of names below a layer, or a list of such lists.
    void read_inside(const Config& list) {
        if (list.is_array() && list.size() > 0 && list.at(0).is_array()) {
            for (uint64_t i = 0; i < list.size(); ++i) read_inside(list.at(i));
            return;
        }
        for (const std::string& each : list.list<std::string>())
            inside_.add({MORTISE_PATTERN_COMPONENT, each, "modules_in_block_to_quantize: " + each, list});
    }

    Spec quantized(const mortise_module& m, const std::string& name, const Settings& settings,
                   std::string& note) {
        IntGroups form{.rows = m.rows,
                       .columns = m.columns,
                       .bits = static_cast<uint32_t>(settings.bits),
                       .symmetric = settings.symmetric};
        form.group =
            settings.group < 0 ? m.columns : std::min(static_cast<uint64_t>(settings.group), m.columns);
        const bool planes = format_ == "gptq_p";
        if (!planes && form.bits >= 5 && form.bits <= 7)
            throw Unsupported(
                {.what = "5, 6 and 7 bits exist in the planar packing only",
                 .subject = name,
                 .expected = "checkpoint_format gptq_p",
                 .found = std::to_string(form.bits) + " bits with checkpoint_format " + format_});
        form.packing = planes ? IntGroups::Packing::column_planes : IntGroups::Packing::columns;
        if (m.experts != 1) throw Unsupported({.what = "stacked experts are not supported", .subject = name});
        if (!form.fits())
            throw Refused(
                {.what = "rows or columns do not fill words",
                 .subject = name,
                 .expected = planes ? "multiples of 32"
                                    : std::to_string(form.bits) + "-bit fields that fill words of 32 bits",
                 .found = std::to_string(m.rows) + " x " + std::to_string(m.columns)});
        for (const char* leaf : {".qzeros", mapped_ || needs_map(settings, form) ? ".g_idx" : ".qzeros"})
            if (!checkpoint().has(name + leaf))
                throw Refused({.what = "a tensor of a quantized module is missing",
                               .subject = name + leaf,
                               .expected = "a tensor, as beside other codes",
                               .found = "no such tensor",
                               .fix = "the download is incomplete or the config names another format"});
        form.less_one = format_ == "gptq" && !planes && stored_less_one(form, name, note);
        const auto scale = checkpoint().tensor(name + ".scales");
        Spec spec = int_groups(form, name, scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16);
        if (mapped_ && add_column_map(spec, checkpoint(), form, name + ".g_idx") && !settings.act_order)
            note += std::string(note.empty() ? "" : "; ") +
                    "desc_act is false, and g_idx is not trivial: it is followed";
        add_bias_or_zeros(spec, name + ".bias", m);
        return spec;
    }
    static bool needs_map(const Settings& settings, const IntGroups& form) {
        return settings.act_order && form.groups() > 1;
    }

    // Symmetric files exist whose zero points are stored as they are although the format says less one. All
    // are the same number, so that the first one tells; that the others agree is checked when they are read.
    bool stored_less_one(const IntGroups& form, const std::string& name, std::string& note) {
        if (!form.symmetric) return true;
        if (less_one_) return *less_one_;
        const auto zeros = checkpoint().tensor(name + ".qzeros");
        if (!zeros || zeros->dtype != MORTISE_DTYPE_I32 || zeros->elements() == 0) return true;
        const auto first =
            static_cast<uint32_t>(checkpoint().probe<int32_t>(zeros->name, zeros->elements())[0]) &
            ((1u << form.bits) - 1);
        less_one_ = first != 1u << (form.bits - 1);
        if (!*less_one_)
            note += std::string(note.empty() ? "" : "; ") +
                    "zero points are stored as they are, not less one as format 'gptq' says";
        return *less_one_;
    }

    std::string format_;
    Settings settings_;
    bool head_ = false;    // the config says that the output head is quantized
    bool mapped_ = false;  // the files hold column maps; then each module has one
    std::optional<bool> less_one_;
    Rules dynamic_, inside_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.gptq", "0.1.0", scheme_entry<Gptq>("gptq"))
