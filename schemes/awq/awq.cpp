// 4-bit unsigned codes and zero points in groups along the columns, packed along the rows in words whose even
// rows come first: the "gemm" files of AutoAWQ and of gptqmodel.

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr const char* misfit = "rows or columns do not fit words and groups";

Config config_of(const Checkpoint& checkpoint) {
    const Config inside = quantization_of(checkpoint);
    return inside ? inside : checkpoint.document("quant_config.json");
}

// Codes, scales and zero points of one module; `group` divides the columns. symmetric: no zero points.
Spec packed(uint64_t rows, uint64_t columns, uint64_t group, const std::string& name, uint32_t scale_bits,
            bool zeros) {
    Spec spec(1, rows, columns);
    spec.codes(name + ".qweight", zeros ? MORTISE_ENCODING_UNSIGNED : MORTISE_ENCODING_OFFSET, 4,
               {MORTISE_DTYPE_I32}, {shape_of({columns, rows / 8})})
        .layout = row_words_even_first(rows);
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, name + ".scales", 1, group, float_dtypes,
                                      {shape_of({columns / group, rows})});
    scale.bits = scale_bits;
    scale.layout = column_major(scale_bits, rows);
    scale.flags = MORTISE_FIELD_FINITE;
    if (!zeros) return spec;
    mortise_field& zero = spec.offsets(MORTISE_ROLE_ZERO_POINT, name + ".qzeros", 1, group,
                                       {MORTISE_DTYPE_I32}, {shape_of({columns / group, rows / 8})});
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = 4;
    zero.layout = row_words_even_first(rows);
    return spec;
}

class Awq : public Scheme {
  public:
    explicit Awq(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = config_of(checkpoint);
        q.ignore({"quant_method", "method", "do_fuse", "modules_to_fuse", "fuse_max_seq_len",
                  "exllama_config", "lm_head", "sym", "desc_act", "pack_dtype", "meta", "checkpoint_format"});
        const std::string version = lower(q.first_of<std::string>({"version", "format"}).value_or("gemm"));
        if (version != "gemm" || q.get("backend", "autoawq") != "autoawq")
            throw Unsupported(
                {.what = "packing '" + version + "' is not supported", .expected = "gemm", .node = q.node()});
        if (const int64_t bits = q.first_of<int64_t>({"bits", "w_bit"}).value_or(4); bits != 4)
            throw Unsupported({.what = "only 4 bits are supported", .node = q.node()});
        group_ = q.first_of<int64_t>({"group_size", "q_group_size"}).value_or(128);
        if (group_ == 0 || group_ < -1)
            throw Refused({.what = "group_size is out of range", .node = q.node()});
        zeros_ = q.get<bool>("zero_point", true);
        skip_ = Rules(q["modules_to_not_convert"], "modules_to_not_convert", any_component);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = config_of(checkpoint);
        const std::string method = q.get("quant_method", quantization_of(checkpoint) ? "" : "awq");
        return q && method == "awq" ? matched(800, "quant_method is 'awq'")
                                    : not_matched("quant_method is '" + method + "'");
    }

    // The codes' presence says whether; the list of skipped modules must not contradict it.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* skipped = skip_.find(m);
        const bool coded = checkpoint().has(name + ".qweight") || checkpoint().has(name + ".scales");
        if (!coded) return say_plain(m, answer, skipped != nullptr ? skipped->text : "it has no codes");
        const uint64_t group = group_ < 0 ? m.columns : static_cast<uint64_t>(group_);
        if (m.columns % group != 0 || m.rows % 8 != 0)
            throw Refused({.what = misfit, .subject = name, .expected = "rows of 8, columns of the group"});
        const auto scale = checkpoint().tensor(name + ".scales");
        // Files without zero points may carry them all the same: then all are the middle.
        const bool stored = zeros_ || checkpoint().has(name + ".qzeros");
        Spec spec = packed(m.rows, m.columns, group, name,
                           scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16, stored);
        if (stored && !zeros_) {
            mortise_field& zero = *spec.find(MORTISE_ROLE_ZERO_POINT);
            zero.flags = MORTISE_FIELD_CONSTANT;
            zero.default_value = 8;
        }
        if (m.has_bias != 0)
            add_bias(spec, name + ".bias", m.rows);
        else
            add_zero_bias(spec, name + ".bias", m.rows);
        say(answer, std::move(spec), false, "quant_method awq",
            skipped != nullptr ? "listed by " + skipped->text + ", and quantized" : "");
    }
    void rules(mortise_rule_visitor visit, void* context) override { skip_.report(visit, context); }

    class Writer : public LinearWriter {
      public:
        Writer(const Checkpoint& source, Options& options)
            : LinearWriter(source), group_(options.take_number('g', 128)) {
            options.finish("g128, g64 or another group size");
            if (group_ == 0) throw Refused({.what = "the group size must be positive"});
        }
        std::string config() override {
            return R"({"bits":4,"group_size":)" + std::to_string(group_) + R"(,"modules_to_not_convert":)" +
                   (plain_linears().empty() ? "null" : json_list(plain_linears())) +
                   R"(,"quant_method":"awq","version":"gemm","zero_point":true})";
        }

      private:
        std::string why_plain(const mortise_module& m) const override {
            return m.columns % group_ == 0 && m.rows % 8 == 0 ? "" : misfit;
        }
        void linear(const mortise_module& m, const mortise_spec& current, mortise_target& target) override {
            const bool halves = current.encoding == MORTISE_ENCODING_F16;
            const bool same = current.offset_kind == 2;  // zero points: perhaps the same codes
            const uint32_t half = MORTISE_DTYPE_F16;
            const uint32_t scale = same ? source_dtype(current, MORTISE_ROLE_SCALE, half) : half;
            Spec spec = packed(m.rows, m.columns, group_, name_of(m), bits_of(scale), true);
            store_as(*spec.find(MORTISE_ROLE_SCALE), scale);
            keep_bias(spec, m, current);
            const uint32_t compute = halves ? MORTISE_ENCODING_F16 : MORTISE_ENCODING_F32;
            write(target, std::move(spec), asymmetric_recipe(compute, 0, 15, 1e-5 / 15));
        }
        uint64_t group_;
    };

  private:
    int64_t group_ = 128;
    bool zeros_ = true;
    Rules skip_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.awq", "0.1.0", scheme_entry<Awq>("awq"))
