// 8-bit float weights, one scale per row, inputs quantized per token or not at all. Reads compressed-tensors
// files in which every group is that, fbgemm_fp8, fp8 with a scale per row, and bare weight_scale tensors.

#include "dialects.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;
using fp8_channel::Dialect;
using fp8_channel::Group;

class Fp8Channel : public Scheme {
  public:
    explicit Fp8Channel(const Checkpoint& checkpoint) : Scheme(checkpoint), dialect_(fp8_channel::read(checkpoint)) {}

    static Match match(const Checkpoint& checkpoint) {
        const std::string why_not = fp8_channel::why_not(checkpoint);
        return why_not.empty() ? matched(800, "8-bit float weights with one scale per row") : not_matched(why_not);
    }

    // The dtype of the weight says whether, the config says how; a contradiction is reported.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const auto weight = checkpoint().tensor(name + ".weight");
        const Rule* ignored = dialect_.ignore.find(m);
        const Group* group = m.kind == MORTISE_MODULE_EMBEDDING && !dialect_.targeted ? nullptr : dialect_.group_of(m);
        const bool chosen = group != nullptr && ignored == nullptr;
        const bool coded = weight ? weight->dtype == MORTISE_DTYPE_F8_E4M3 : chosen;
        const std::string rule = ignored != nullptr ? ignored->text : group != nullptr ? group->rule : "no group targets it";
        const Config node = ignored != nullptr ? ignored->node : group != nullptr ? group->node : Config();
        if (!coded)
            return say_plain(m, answer, rule, chosen ? "the config selects it, and its weight is a plain float" : "", node);
        Spec spec = float8_rows(m.rows, m.columns, name + ".weight", name + ".weight_scale");
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        const Group* how = group != nullptr ? group : &dialect_.groups.front();
        if (how->quantizes_inputs) spec->activation = float8_tokens();
        say(answer, std::move(spec), false, rule, chosen ? how->note : "the config leaves it out, and its weight is quantized", node);
    }

    void cache(std::string_view attention, uint64_t kv_heads, uint64_t, mortise_cache_answer& answer) override {
        cache_.clear();
        for (const char letter : {'k', 'v', 'q'}) {
            const std::string ours = std::string(attention) + "." + letter + "_scale";
            const std::string old = std::string(attention) + "." + letter + "_proj.output_scale";
            const bool is_old = !checkpoint().has(ours) && checkpoint().has(old);
            if ((letter == 'q' || dialect_.cache_rule.empty()) && !is_old && !checkpoint().has(ours)) continue;
            cache_.scale(letter, is_old ? old : ours, dialect_.cache_per_head && letter != 'q' ? kv_heads : 0);
        }
        const bool coded = !dialect_.cache_rule.empty();
        cache_.say(answer, coded ? MORTISE_ENCODING_E4M3 : MORTISE_ENCODING_AS_DTYPE, coded ? 8 : 0,
                   coded ? dialect_.cache_rule : "the config names no cache");
        answer.per_head = dialect_.cache_per_head ? 1 : 0;
    }

    void rules(mortise_rule_visitor visit, void* context) override {
        dialect_.ignore.report(visit, context);
        for (const Group& group : dialect_.groups) group.targets.report(visit, context);
    }

    // Writes compressed-tensors as its FP8_DYNAMIC preset does.
    class Writer : public SchemeWriter {
      public:
        Writer(const Checkpoint& source, Options& options) : SchemeWriter(source), compute_(options.take("compute")) {
            options.finish("compute=bf16, compute=f16 or compute=f32");
            if (!compute_.empty() && compute_ != "bf16" && compute_ != "f16" && compute_ != "f32")
                throw Refused({.what = "unknown value of the option 'compute'", .expected = "bf16, f16 or f32", .found = compute_});
        }
        void target(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            if (m.kind != MORTISE_MODULE_LINEAR || m.experts != 1) {
                if (m.kind == MORTISE_MODULE_HEAD) ignored_.push_back(name_of(m));
                return write_plain(m, current, target, is_plain(current) ? dtype_of(current.encoding) : uint32_t{MORTISE_DTYPE_BF16},
                                   "embedding and head stay floats");
            }
            const uint32_t dtype = compute_ == "bf16"  ? uint32_t{MORTISE_DTYPE_BF16}
                                   : compute_ == "f16" ? uint32_t{MORTISE_DTYPE_F16}
                                   : compute_.empty() && is_plain(current) ? dtype_of(current.encoding)
                                                                           : uint32_t{MORTISE_DTYPE_F32};
            Spec spec = float8_rows(m.rows, m.columns, name_of(m) + ".weight", name_of(m) + ".weight_scale");
            mortise_field& scale = *spec.find(MORTISE_ROLE_SCALE);
            store_as(scale, compute_.empty() ? source_dtype(current, MORTISE_ROLE_SCALE, dtype) : dtype);
            keep_bias(spec, m, current);
            spec->activation = float8_tokens();
            auto recipe = make<mortise_quantizer>();
            recipe.method = 1;
            recipe.compute = encoding_of(dtype);
            recipe.divisor = recipe.code_max = 448;
            recipe.code_min = -448;
            recipe.clamp = 1;
            write(target, std::move(spec), recipe);
        }
        std::string config() override { return fp8_channel::written_config(ignored_); }

      private:
        std::string compute_;
        std::vector<std::string> ignored_;
    };

  private:
    Dialect dialect_;
    CacheFields cache_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.fp8-channel", "0.1.0", scheme_entry<Fp8Channel>("fp8_channel"))
