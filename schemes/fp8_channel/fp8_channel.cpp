// 8-bit float weights, one scale per row; inputs quantized per token, or not at all. Reads compressed-tensors
// files in which every group is that, fbgemm_fp8, fp8 with a scale per row, and bare weight_scale tensors.

#include "mortise/sdk/float8_writer.h"
#include "mortise/sdk/groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Why a checkpoint belongs to another scheme; "" = it does not.
std::string why_not(const Checkpoint& checkpoint) {
    const Config q = quantization_of(checkpoint);
    const std::string method = q.get("quant_method", "");
    if (method == "fbgemm_fp8") return {};
    if (!q || method == "fp8") {
        if (q["weight_block_size"]) return "weight_block_size is set";
        if (!q && checkpoint.config()["quantization"]) return "another key says how it is quantized";
        return float8_scales(checkpoint) == Float8Scales::rows
                   ? ""
                   : "no 8-bit float weights with one scale per row";
    }
    if (method != "compressed-tensors") return "quant_method is '" + method + "'";
    return why_not_float8_rows(q);
}

class Fp8Channel : public Scheme {
  public:
    explicit Fp8Channel(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = quantization_of(checkpoint);
        const std::string method = q.get("quant_method", "");
        if (method == "compressed-tensors") {
            check_beside_groups(q);
            groups_ = read_groups(q);
            (void)cache_coding();  // refuses what cannot be read
            return;
        }
        q.ignore({"dequantize"});
        q.one_of("expert_dtype", {"fp8"}, "fp8");
        q.one_of("activation_scheme", {"dynamic"}, "dynamic");
        q.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
        amax_ceiling_ = q.get<double>("activation_scale_ub", 0);
        if (!(amax_ceiling_ >= 0))
            throw Refused(
                {.what = "activation_scale_ub is negative", .node = q["activation_scale_ub"].node()});
        groups_.ignore = left_alone(q);
        groups_.groups.push_back({.everywhere = true,
                                  .name = q ? "quant_method " + method : "its weight_scale",
                                  .inputs = Coding{},
                                  .node = q});
    }

    static Match match(const Checkpoint& checkpoint) {
        const std::string no = why_not(checkpoint);
        return no.empty() ? matched(800, "8-bit float weights with one scale per row") : not_matched(no);
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const Float8Names names = float8_names(checkpoint(), m, "_scale");
        const auto is = groups_.decide(m, is_coded(checkpoint(), names.weight));
        if (!is.coded) return say_plain(m, answer, is.rule, is.note, is.node);
        Spec spec = float8({.experts = m.experts, .rows = m.rows, .columns = m.columns, .block_rows = 1},
                           names.weight, names.scale);
        if (m.has_bias != 0) add_bias(spec, names.bias, m.rows, m.experts);
        if (is.group->inputs) {
            spec->activation = float8_tokens();
            spec->activation_amax_ceiling = amax_ceiling_;
        }
        say(answer, std::move(spec), false, is.rule, is.note, is.node);
    }

    CacheCoding cache_coding() override { return cache_coding_of(groups_, "kv_cache_scheme"); }
    void rules(mortise_rule_visitor visit, void* context) override { groups_.report(visit, context); }

    // Writes what ModelOpt's FP8_PER_CHANNEL_PER_TOKEN computes; with compute=, what llm-compressor's preset
    // FP8_DYNAMIC makes of a model that it loaded in that dtype.
    class Writer : public Float8Writer {
      public:
        using Float8Writer::Float8Writer;
        std::string config() override {
            return groups_text("compressed-tensors",
                               {{.format = "float-quantized",
                                 .weights = {.type = "float", .strategy = "channel"},
                                 .inputs = Coding{.type = "float", .strategy = "token", .dynamic = true}}},
                               plain_heads(), cache_);
        }
        void cache(const CacheTarget& cache) override {
            if (const std::string no = why_not_in_groups(cache.current); !no.empty())
                return leave_cache(cache, no);
            cache_ = cache_in_groups(cache.current);
            keep_cache(cache, Place::beside_attention, match(source()).yes);
        }

      private:
        Spec weights(const mortise_module& m) const override {
            return float8_rows(m.rows, m.columns, name_of(m) + ".weight", name_of(m) + ".weight_scale");
        }
        std::optional<Coding> cache_;
    };

  private:
    ModuleGroups groups_;
    double amax_ceiling_ = 0;  // of the inputs' scales; 0 = none
};

}  // namespace

MORTISE_PLUGIN("org.mortise.fp8-channel", "0.1.0", scheme_entry<Fp8Channel>("fp8_channel"))
