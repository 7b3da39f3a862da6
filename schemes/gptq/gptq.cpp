// 2- to 8-bit codes in groups along the columns, packed along the columns: the files of AutoGPTQ and
// gptqmodel, formats "gptq" (zero points stored less one), "gptq_v2" (as they are) and "gptq_p" (bit planes).
// Facts as gptqmodel 7.7 writes and reads them.

#include "mortise/sdk/int_groups.h"
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
struct Settings {
    int64_t bits = 4, group = 128;
    bool symmetric = true, act_order = false;
    bool operator==(const Settings&) const = default;

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
        q.ignore_tuning();
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
            second_ = options.take_flag("v2");
            const bool first = options.take_flag("v1");
            if (first && second_) throw Refused({.what = "v1 and v2 exclude each other"});
            if (!first && !second_ && Gptq::match(source).yes)
                second_ =
                    config_of(source).first_of<std::string>({"checkpoint_format", "format"}) == "gptq_v2";
            const uint64_t bits = options.take_number('b', 0), group = options.take_number('g', 0);
            usual_.symmetric = options.take_flag("sym");
            options.finish("v1 or v2, b4 or 2, 3, 8 bits, g128 or another group size, sym");
            chosen_ = bits != 0 || group != 0 || usual_.symmetric;
            if (bits != 0) usual_.bits = static_cast<int64_t>(bits);
            if (group != 0) usual_.group = static_cast<int64_t>(group);
            if (!is_width(static_cast<uint32_t>(usual_.bits)))
                throw Unsupported(
                    {.what = "no such bits", .expected = "2, 3, 4 or 8", .found = std::to_string(bits)});
        }
        void target(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const bool floats = is_plain(current), head = m.kind == MORTISE_MODULE_HEAD;
            if (m.kind == MORTISE_MODULE_EMBEDDING || (head && floats))
                return keep_plain(m, current, target, "embedding and head stay floats");
            const Settings settings = floats || chosen_ ? usual_ : like(current, m.columns);
            const IntGroups form = form_of(settings, m);
            if (m.experts != 1 || !form.fits() || (floats && source_is_coded())) {
                skipped_.push_back(name_of(m));
                return keep_plain(m, current, target,
                                  floats ? "a float in the source" : "it does not fit words of 32 bits");
            }
            head_ = head_ || head;
            const std::string name = name_of(m);
            const uint32_t scale = source_dtype(current, MORTISE_ROLE_SCALE, MORTISE_DTYPE_F16);
            Spec spec =
                int_groups(form, name + ".qweight", name + ".scales", name + ".qzeros", bits_of(scale));
            store_as(*spec.find(MORTISE_ROLE_SCALE), scale);
            mortise_field& map =
                spec.field(MORTISE_ROLE_G_IDX, name + ".g_idx", {MORTISE_DTYPE_I32}, {shape_of({m.columns})});
            map.columns = m.columns;
            keep_bias(spec, m, current);
            written_.emplace_back(name, settings);
            write(target, std::move(spec), recipe(settings));
        }
        std::string config() override {
            if (!chosen_ && !written_.empty()) usual_ = most_common(written_);
            const std::string format = second_ ? "gptq_v2" : "gptq";
            return "{" + text(usual_) + R"(,"checkpoint_format":")" + format + R"(","dynamic":)" + dynamic() +
                   R"(,"format":")" + format + R"(","lm_head":)" + (head_ ? "true" : "false") +
                   R"(,"pack_dtype":"int32","quant_method":"gptq"})";
        }

      private:
        static bool is_width(uint32_t bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 8; }
        static std::string text(const Settings& s) {
            return R"("bits":)" + std::to_string(s.bits) + R"(,"desc_act":)" +
                   (s.act_order ? "true" : "false") + R"(,"group_size":)" + std::to_string(s.group) +
                   R"(,"sym":)" + (s.symmetric ? "true" : "false");
        }
        // A key for exactly this module.
        static std::string key(const char* mark, const std::string& name) {
            std::string out = std::string("\"") + mark + ":^";
            for (const char c : name) out += c == '.' ? std::string(R"(\\.)") : std::string(1, c);
            return out + "$\":{";
        }
        std::string dynamic() const {
            std::string out;
            for (const auto& [name, settings] : written_)
                if (settings != usual_)
                    out += (out.empty() ? "" : ",") + key("+", name) + text(settings) + "}";
            for (const std::string& name : skipped_) out += (out.empty() ? "" : ",") + key("-", name) + "}";
            return "{" + out + "}";
        }
        // Zero points are always stored, also where all are the middle.
        IntGroups form_of(const Settings& s, const mortise_module& m) const {
            IntGroups form{.rows = m.rows, .columns = m.columns, .bits = static_cast<uint32_t>(s.bits)};
            form.group = s.group < 0 ? m.columns : std::min(static_cast<uint64_t>(s.group), m.columns);
            form.less_one = !second_;
            return form;
        }
        static Recipe recipe(const Settings& s) {
            const double high = static_cast<double>((1u << s.bits) - 1);
            if (s.symmetric) return symmetric_recipe(MORTISE_ENCODING_F32, high / 2, 0, high).zero_amax(1);
            return asymmetric_recipe(MORTISE_ENCODING_F32, 0, high, 0).zero_amax(1);
        }
        // Effect: the settings that hold this spec's codes as they are; the usual ones if none does.
        Settings like(const mortise_spec& current, uint64_t columns) const {
            const bool integer =
                current.encoding >= MORTISE_ENCODING_UNSIGNED && current.encoding <= MORTISE_ENCODING_TWOS;
            if (!integer || !is_width(current.bits) || current.n_levels == 0) return usual_;
            const uint64_t group = current.levels[current.n_levels - 1].column_group;
            Settings out;
            out.bits = current.bits;
            out.group = group == 0 || group >= columns ? -1 : static_cast<int64_t>(group);
            out.symmetric = current.offset_kind < 2;
            for (uint32_t f = 0; f < current.n_fields; ++f)
                out.act_order = out.act_order || current.fields[f].role == MORTISE_ROLE_G_IDX;
            return out;
        }
        bool second_ = false, chosen_ = false, head_ = false;
        Settings usual_{.symmetric = false};
        std::vector<std::pair<std::string, Settings>> written_;
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
        rule.node.ignore_tuning();
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
        Spec spec = int_groups(form, name + ".qweight", name + ".scales", name + ".qzeros",
                               scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16);
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
