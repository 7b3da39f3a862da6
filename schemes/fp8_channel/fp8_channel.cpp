// 8-bit float weights, one scale per row; inputs quantized per token, or not at all. Reads compressed-tensors
// files in which every group is that, fbgemm_fp8, fp8 with a scale per row, and bare weight_scale tensors.

#include "mortise/sdk/groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Why the first coded weight has no scale per row and nothing else; "" = it has. The config does not say.
std::string why_no_row_scales(const Checkpoint& checkpoint) {
    std::string why = "no F8_E4M3 weight", first;
    checkpoint.each_below("", [&](const mortise_tensor& weight) {
        const std::string name(view(weight.name));
        if (!first.empty() || weight.dtype != MORTISE_DTYPE_F8_E4M3 || weight.rank != 2 ||
            !name.ends_with(".weight"))
            return;
        first = name;
        const auto scale = checkpoint.tensor(name + "_scale");
        const bool by_row = scale && scale->elements() == static_cast<uint64_t>(weight.shape[0]);
        const bool fixed = checkpoint.has(name.substr(0, name.size() - 6) + "input_scale");
        why = by_row && !fixed ? "" : "'" + name + "' has no scale per row, or a static input scale";
    });
    return why;
}

std::string why_not(const Checkpoint& checkpoint) {
    const Config q = quantization_of(checkpoint);
    const std::string method = q.get("quant_method", "");
    if (!q)
        return checkpoint.config()["quantization"] ? "another key says how it is quantized"
                                                   : why_no_row_scales(checkpoint);
    if (method == "fbgemm_fp8") return {};
    if (method == "fp8")
        return q["weight_block_size"] ? "weight_block_size is set" : why_no_row_scales(checkpoint);
    if (method != "compressed-tensors") return "quant_method is '" + method + "'";
    for (const ModuleGroup& group : read_groups(q).groups) {
        if (group.format != "float-quantized" && group.format != "naive-quantized")
            return group.name + " has format " + group.format;
        if (!group.weights || !group.weights->is("float", 8, "channel"))
            return group.name + " has no 8-bit float weights per channel";
        if (group.inputs &&
            !(group.inputs->is("float", 8, "token") && group.inputs->dynamic && !group.inputs->local))
            return group.name + " does not quantize inputs per token from their data";
    }
    return {};
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
        q.one_of("activation_scheme", {"dynamic"}, "dynamic");
        q.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
        if (q["activation_scale_ub"])
            note_ = "activation_scale_ub, an upper bound of the input scale, is not applied";
        const char* key = q["modules_to_not_convert"] ? "modules_to_not_convert" : "ignored_layers";
        groups_.ignore = Rules(q[key], key, any_component);
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
        const std::string name(view(m.name));
        const auto weight = checkpoint().tensor(name + ".weight");
        const auto is =
            groups_.decide(m, weight ? std::optional(weight->dtype == MORTISE_DTYPE_F8_E4M3) : std::nullopt);
        if (!is.coded) return say_plain(m, answer, is.rule, is.note, is.node);
        Spec spec = float8_rows(m.rows, m.columns, name + ".weight", name + ".weight_scale");
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        if (is.group->inputs) spec->activation = float8_tokens();
        say(answer, std::move(spec), false, is.rule, is.note.empty() ? note_ : is.note, is.node);
    }

    CacheCoding cache_coding() override { return cache_coding_of(groups_.cache, "kv_cache_scheme"); }
    void rules(mortise_rule_visitor visit, void* context) override { groups_.report(visit, context); }

    // Writes what llm-compressor's preset FP8_DYNAMIC writes, by its arithmetic.
    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options)
            : LinearWriter(source), dtype_(options.take_dtype("compute")) {
            options.finish("compute=bf16, compute=f16 or compute=f32");
        }
        std::string config() override {
            return groups_text("compressed-tensors", "float-quantized",
                               {.type = "float", .strategy = "channel"},
                               Coding{.type = "float", .strategy = "token", .dynamic = true}, plain_heads());
        }

      private:
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const uint32_t own = is_plain(current) ? dtype_of(current.encoding) : uint32_t{MORTISE_DTYPE_F32};
            const uint32_t dtype = dtype_ != 0 ? dtype_ : own;
            Spec spec = float8_rows(m.rows, m.columns, name_of(m) + ".weight", name_of(m) + ".weight_scale");
            // Scales of the same arithmetic are kept as they are, others have the dtype that they are
            // computed in.
            const bool same = dtype_ == 0 && current.encoding == MORTISE_ENCODING_E4M3;
            store_as(*spec.find(MORTISE_ROLE_SCALE),
                     same ? source_dtype(current, MORTISE_ROLE_SCALE, dtype) : dtype);
            keep_bias(spec, m, current);
            spec->activation = float8_tokens();
            write(target, std::move(spec), symmetric_recipe(encoding_of(dtype), 448, -448, 448));
        }
        uint32_t dtype_;
    };

  private:
    ModuleGroups groups_;
    std::string note_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.fp8-channel", "0.1.0", scheme_entry<Fp8Channel>("fp8_channel"))
