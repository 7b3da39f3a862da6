// 4-bit codes and zero points in the packings of AutoAWQ 0.2 and gptqmodel: "gemm" (along the rows, even ones
// first), "gemv" (along the columns), "gemv_fast" or "llm-awq" (4 rows interleaved, zero points as addends).

#include "mortise/sdk/int_groups.h"
#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;
using Packing = IntGroups::Packing;

Config config_of(const Checkpoint& checkpoint) {
    const Config found = quantization_of(checkpoint, "quant_config.json");
    return found ? found : checkpoint.document("quantize_config.json");
}

class Awq : public Scheme {
  public:
    explicit Awq(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = config_of(checkpoint);
        q.ignore({"do_fuse", "modules_to_fuse", "fuse_max_seq_len", "exllama_config", "lm_head", "meta",
                  "checkpoint_format", "data_type", "method", "quant_method"});
        ignore_tuning(q);
        std::string version = lower(q.first_of<std::string>({"version", "format"}).value_or("gemm"));
        if (q.one_of("backend", {"autoawq", "llm-awq"}, "autoawq") == "llm-awq") version = "llm-awq";
        if (version == "gemv") packing_ = Packing::padded;
        if (version == "gemv_fast" || version == "llm-awq") packing_ = Packing::interleaved;
        if (version != "gemm" && packing_ == Packing::rows_even_first)
            throw Unsupported({.what = "packing '" + version + "' is not supported",
                               .expected = "gemm, gemv, gemv_fast or llm-awq",
                               .fix = "take the checkpoint in the packing 'gemm'",
                               .node = q.node()});
        q.one_of("pack_dtype", {"int32", "int16", "torch.int32", "torch.int16"}, "int32");
        for (const char* key : {"desc_act", "adapter"}) q.refuse_if_set(key);
        if (q.first_of<int64_t>({"bits", "w_bit"}).value_or(4) != 4)
            throw Unsupported({.what = "only 4 bits are supported", .node = q.node()});
        group_ = q.first_of<int64_t>({"group_size", "q_group_size"}).value_or(128);
        if (group_ == 0 || group_ < -1) throw Refused({.what = "group_size out of range", .node = q.node()});
        zeros_ = q.get<bool>("zero_point", !q.get<bool>("sym", false));
        skip_ = Rules(q["modules_to_not_convert"], "modules_to_not_convert", any_component);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = config_of(checkpoint);
        const bool side = !quantization_of(checkpoint) && checkpoint.document("quant_config.json");
        const std::string method = q.get("quant_method", q.get("method", side ? "awq" : "").c_str());
        return method == "awq" ? matched(800, "quant_method is 'awq'")
                               : not_matched("quant_method is '" + method + "'");
    }

    // The codes' presence says whether; the list of skipped modules must not contradict it.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* skipped = skip_.find(m);
        if (!checkpoint().has(name + ".qweight") && !checkpoint().has(name + ".scales"))
            return say_plain(m, answer, skipped != nullptr ? skipped->text : "it has no codes");
        IntGroups form{.packing = packing_, .rows = m.rows, .columns = m.columns};
        form.group = group_ < 0 ? m.columns : static_cast<uint64_t>(group_);
        form.symmetric = !zeros_;
        // Files without zero points may carry them all the same: then all are the middle.
        form.stored = zeros_ || checkpoint().has(name + ".qzeros");
        const auto scale = checkpoint().tensor(name + ".scales");
        Spec spec = int_groups(form, name, scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16);
        add_bias_or_zeros(spec, name + ".bias", m);
        say(answer, std::move(spec), false, "quant_method awq",
            skipped != nullptr ? "listed by " + skipped->text + ", and quantized" : "");
    }
    void rules(mortise_rule_visitor visit, void* context) override { skip_.report(visit, context); }

    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options)
            : LinearWriter(source), group_(options.take_number('g', 0)) {
            if (match(source).yes) packing_ = Awq(source).packing_;
            if (options.take_flag("gemm")) packing_ = Packing::rows_even_first;
            if (options.take_flag("gemv")) packing_ = Packing::padded;
            options.finish("gemm or gemv, g128, g64 or another group size");
        }
        std::string config() override {
            static constexpr const char* versions[] = {"", "", "gemm", "gemv", "gemv_fast"};  // by packing
            return R"({"bits":4,"zero_point":true,"group_size":)" + std::to_string(group_) +
                   R"(,"modules_to_not_convert":)" +
                   (plain_linears().empty() ? "null" : json_list(plain_below_layers())) +
                   R"(,"quant_method":"awq","version":")" + versions[static_cast<size_t>(packing_)] + "\"}";
        }

      private:
        IntGroups form_of(const mortise_module& m) const { return {packing_, m.rows, m.columns, group_}; }
        void consider(const mortise_module& m, const mortise_spec& current) override {
            const uint64_t own = is_plain(current) ? 0 : column_group_of(current);
            if (group_ == 0 && m.kind == MORTISE_MODULE_LINEAR) group_ = own != 0 ? own : 128;
        }
        std::string why_plain(const mortise_module& m) const override {
            return form_of(m).fits() && m.columns % group_ == 0 ? "" : "no multiple of 8 rows x one group";
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const uint32_t f16 = MORTISE_DTYPE_F16, halves = MORTISE_ENCODING_F16;  // kept scales stay
            const uint32_t type =
                current.offset_kind < 2 ? f16 : source_dtype(current, MORTISE_ROLE_SCALE, f16);
            Spec spec = int_groups(form_of(m), name_of(m), bits_of(type));
            store_as(*spec.find(MORTISE_ROLE_SCALE), type);
            if (mortise_field* addends = spec.find(MORTISE_ROLE_ADDEND)) store_as(*addends, type);
            keep_bias(spec, m, current);
            const uint32_t compute = current.encoding == halves ? halves : uint32_t{MORTISE_ENCODING_F32};
            write(target, std::move(spec), asymmetric_recipe(compute, 0, 15, 0).amax_floor(1e-5));
        }
        uint64_t group_;
        Packing packing_ = Packing::rows_even_first;
    };

  private:
    Packing packing_ = Packing::rows_even_first;
    int64_t group_ = 128;
    bool zeros_ = true;
    Rules skip_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.awq", "0.1.0", scheme_entry<Awq>("awq"))
