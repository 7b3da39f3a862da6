// 8-bit float weights with one scale per matrix: quant_method "fp8" without a block size (AutoFP8, vLLM,
// transformers), and bare weight_scale tensors that no config speaks of. A matrix that is fused on disk may
// have one scale per part. Inputs are quantized under a stored scale, or per token from their data, as the
// consumers of activation_scheme "dynamic" do (vLLM, transformers 5).

#include "mortise/sdk/float8_writer.h"
#include "mortise/sdk/groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

class Fp8Tensor : public Scheme {
  public:
    explicit Fp8Tensor(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        q.ignore({"quant_method", "dequantize"});
        q.one_of("expert_dtype", {"fp8"}, "fp8");
        q.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
        q.one_of("scale_fmt", {"float"}, "float");
        scheme_ = q.one_of("activation_scheme", {"static", "dynamic"}, q ? "dynamic" : "");
        coded_cache_ = !q.one_of("kv_cache_scheme", {"static", ""}, "").empty();
        groups_.ignore = left_alone(q);
        groups_.groups.push_back(
            {.everywhere = true, .name = q ? "quant_method fp8" : "its weight_scale", .node = q});
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = quantization_of(checkpoint);
        if (q && q.get("quant_method", "") != "fp8") return not_matched("quant_method is not 'fp8'");
        if (q["weight_block_size"]) return not_matched("weight_block_size is set");
        if (!q && checkpoint.config()["quantization"])
            return not_matched("another key says how it is quantized");
        const Float8Scales scales = float8_scales(checkpoint);
        if (scales == Float8Scales::rows) return not_matched("the weights have one scale per row");
        if (!q && scales == Float8Scales::none) return not_matched("no F8_E4M3 weight");
        return matched(800, "8-bit float weights with one scale per matrix");
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const Float8Names names = float8_names(checkpoint(), m, "_scale");
        const auto is = groups_.decide(m, is_coded(checkpoint(), names.weight));
        if (!is.coded) return say_plain(m, answer, is.rule, is.note, is.node);
        const auto scale = checkpoint().tensor(names.scale);
        const bool of_parts = m.n_parts > 1 && scale && scale->elements() == m.experts * m.n_parts;
        Spec spec = of_parts ? float8_parts(m, names.weight, names.scale)
                             : float8({.experts = m.experts, .rows = m.rows, .columns = m.columns},
                                      names.weight, names.scale);
        add_input(spec, names.input_scale);
        if (m.has_bias != 0) add_bias(spec, names.bias, m.rows, m.experts);
        say(answer, std::move(spec), false, is.rule, is.note, is.node);
    }

    CacheCoding cache_coding() override {
        return coded_cache_ ? float8_cache("kv_cache_scheme") : CacheCoding{};
    }
    void rules(mortise_rule_visitor visit, void* context) override { groups_.report(visit, context); }

    class Writer : public Float8Writer {
      public:
        Writer(const Checkpoint& source, Options& options)
            : Writer(source, options, options.take_flag("inv")) {}
        // Without a block size of null transformers assumes blocks of 128.
        std::string config() override {
            return json_object({{"activation_scheme", json_text("dynamic")},
                                {"ignored_layers", json_list(plain_modules())},
                                {"kv_cache_scheme", coded_cache_ ? json_text("static") : ""},
                                {"quant_method", json_text("fp8")},
                                {"weight_block_size", "null"}});
        }
        void cache(const CacheTarget& cache) override {
            const bool other = cache.current.encoding == MORTISE_ENCODING_TWOS || cache.current.per_head != 0;
            const std::string no =
                other ? "the dialect has 8-bit floats under one scale" : why_not_in_groups(cache.current);
            if (!no.empty()) return leave_cache(cache, no);
            coded_cache_ = cache.current.encoding == MORTISE_ENCODING_E4M3;
            keep_cache(cache, Place::beside_attention, match(source()).yes);
        }

      private:
        Writer(const Checkpoint& source, Options& options, bool inverse)
            : Float8Writer(source, options, "inv (scales named as transformers reads them), "),
              inverse_(inverse) {
            if (!match(source).yes) return;
            source.each_below("", [&](const mortise_tensor& tensor) {
                inverse_ = inverse_ || view(tensor.name).ends_with(".weight_scale_inv");
            });
        }
        // AutoFP8 and vLLM say weight_scale, transformers weight_scale_inv; a source's own spelling stays.
        Spec weights(const mortise_module& m) const override {
            return float8({.rows = m.rows, .columns = m.columns}, name_of(m) + ".weight",
                          name_of(m) + (inverse_ ? ".weight_scale_inv" : ".weight_scale"));
        }
        bool inverse_, coded_cache_ = false;
    };

  private:
    // Where the inputs' scales come from the data, a stored one is not used.
    void add_input(Spec& spec, const std::string& name) const {
        const bool stored = checkpoint().has(name);
        if (scheme_ == "static" || (scheme_.empty() && stored)) return add_float8_input(spec, name);
        spec->activation = float8_tokens();
        if (!stored) return;
        mortise_field& unused =
            spec.field(MORTISE_ROLE_UNUSED, name, float_dtypes, {shape_of({}), shape_of({1})});
        unused.drop_rule = str("dynamic_input_scale");
    }

    std::string scheme_;  // of the activations; "" = the tensors say
    bool coded_cache_ = false;
    ModuleGroups groups_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.fp8-tensor", "0.1.0", scheme_entry<Fp8Tensor>("fp8_tensor"))
