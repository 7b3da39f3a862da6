// 4-bit unsigned codes and zero points in groups along the columns, in the packings of AutoAWQ 0.2 and
// gptqmodel: "gemm" (along the rows, even rows first), "gemv" (along the columns) and "gemv_fast", also
// called "llm-awq" (along the columns, 4 rows interleaved, zero points as float addends).

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr const char* misfit = "rows or columns do not fit words and groups";

Config config_of(const Checkpoint& checkpoint) {
    const Config found = quantization_of(checkpoint, "quant_config.json");
    return found ? found : checkpoint.document("quantize_config.json");
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

// Words of zero points per row: groups are padded to 8 for a word, and words to what a kernel loads at once.
uint64_t zero_words(uint64_t columns, uint64_t group) {
    const uint64_t multiple = group >= 128 ? 1 : group == 64 ? 2 : 4, words = (columns / group + 7) / 8;
    return (words + multiple - 1) / multiple * multiple;
}
// Codes along the columns; scales and zero points along the groups, padded.
Spec packed_along_columns(uint64_t rows, uint64_t columns, uint64_t group, const std::string& name,
                          uint32_t scale_bits) {
    const uint64_t words = zero_words(columns, group);
    Spec spec(1, rows, columns);
    spec.codes(name + ".qweight", MORTISE_ENCODING_UNSIGNED, 4, {MORTISE_DTYPE_I32},
               {shape_of({rows, columns / 8})});
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, name + ".scales", 1, group, float_dtypes,
                                      {shape_of({rows, words * 8})});
    scale.bits = scale_bits;
    scale.layout = one_plane(
        scale_bits, {by_row(static_cast<int64_t>(words * 8 * scale_bits)), by_column(scale_bits), by_bit()});
    scale.flags = MORTISE_FIELD_FINITE;
    mortise_field& zero = spec.offsets(MORTISE_ROLE_ZERO_POINT, name + ".qzeros", 1, group,
                                       {MORTISE_DTYPE_I32}, {shape_of({rows, words})});
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = 4;
    zero.layout = one_plane(4, {by_row(static_cast<int64_t>(words * 32)), by_column(4), by_bit()});
    return spec;
}
// 4 rows x 64 columns in 64 words of 16 bits; zero points are kept as the float -(zero * scale).
Spec interleaved(uint64_t rows, uint64_t columns, uint64_t group, const std::string& name,
                 uint32_t scale_bits) {
    Spec spec(1, rows, columns);
    spec.codes(name + ".qweight", MORTISE_ENCODING_UNSIGNED, 4, {MORTISE_DTYPE_I16},
               {shape_of({rows / 4, columns})})
        .layout = one_plane(
        4, {by_column(16, 1, 2), by_column(32, 2, 4), by_column(4, 8, 4), by_column(128, 32, 2),
            by_column(1024, 64), by_row(256, 1, 4), by_row(static_cast<int64_t>(columns) * 16, 4), by_bit()});
    const mortise_shape padded = shape_of({zero_words(columns, group) * 8, rows});
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, name + ".scales", 1, group, float_dtypes, {padded});
    mortise_field& addend =
        spec.offsets(MORTISE_ROLE_ADDEND, name + ".qzeros", 1, group, float_dtypes, {padded});
    for (mortise_field* field : {&scale, &addend}) {
        field->bits = scale_bits;
        field->layout = column_major(scale_bits, rows);
        field->flags = MORTISE_FIELD_FINITE;
    }
    return spec;
}

class Awq : public Scheme {
  public:
    explicit Awq(const Checkpoint& checkpoint) : Scheme(checkpoint) {
        const Config q = config_of(checkpoint);
        q.ignore({"do_fuse", "modules_to_fuse", "fuse_max_seq_len", "exllama_config", "lm_head", "meta",
                  "checkpoint_format"});
        q.first_of<std::string>({"quant_method", "method"});
        version_ = lower(q.first_of<std::string>({"version", "format"}).value_or("gemm"));
        const std::string backend = q.one_of("backend", {"autoawq", "llm-awq"}, "autoawq");
        if (backend == "llm-awq" || version_ == "llm-awq") version_ = "gemv_fast";
        if (version_ != "gemm" && version_ != "gemv" && version_ != "gemv_fast")
            throw Unsupported({.what = "packing '" + version_ + "' is not supported",
                               .expected = "gemm, gemv, gemv_fast or llm-awq",
                               .fix = "take the checkpoint in the packing 'gemm'",
                               .node = q.node()});
        q.one_of("pack_dtype", {"int32", "int16", "torch.int32", "torch.int16"}, "int32");
        if (q.get<bool>("desc_act", false))
            throw Unsupported({.what = "'desc_act' is set and not supported", .node = q["desc_act"].node()});
        q.refuse_if_set("adapter");
        if (const int64_t bits = q.first_of<int64_t>({"bits", "w_bit"}).value_or(4); bits != 4)
            throw Unsupported({.what = "only 4 bits are supported", .node = q.node()});
        group_ = q.first_of<int64_t>({"group_size", "q_group_size"}).value_or(128);
        if (group_ == 0 || group_ < -1)
            throw Refused(
                {.what = "group_size is out of range", .found = std::to_string(group_), .node = q.node()});
        zeros_ = q.get<bool>("zero_point", !q.get<bool>("sym", false));
        skip_ = Rules(q["modules_to_not_convert"], "modules_to_not_convert", any_component);
    }

    static Match match(const Checkpoint& checkpoint) {
        const Config q = config_of(checkpoint);
        if (!q) return not_matched("there is no quantization config");
        const bool side = !quantization_of(checkpoint) && checkpoint.document("quant_config.json");
        const std::string method =
            q["quant_method"] ? q.get("quant_method", "") : q.get("method", side ? "awq" : "");
        return method == "awq" ? matched(800, "quant_method is 'awq'")
                               : not_matched("quant_method is '" + method + "'");
    }

    // The codes' presence says whether; the list of skipped modules must not contradict it.
    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name));
        const Rule* skipped = skip_.find(m);
        const bool coded = checkpoint().has(name + ".qweight") || checkpoint().has(name + ".scales");
        if (!coded) return say_plain(m, answer, skipped != nullptr ? skipped->text : "it has no codes");
        const uint64_t group = group_ < 0 ? m.columns : static_cast<uint64_t>(group_);
        Spec spec = quantized(m, name, group);
        add_bias_or_zeros(spec, name + ".bias", m);
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
    Spec quantized(const mortise_module& m, const std::string& name, uint64_t group) const {
        const uint64_t whole = version_ == "gemv_fast" ? 64 : version_ == "gemv" ? 8 : 1;
        if (m.columns % group != 0 || m.columns % whole != 0 || m.rows % 8 != 0)
            throw Refused(
                {.what = misfit,
                 .subject = name,
                 .expected = "rows a multiple of 8, columns of the group and of " + std::to_string(whole),
                 .found = std::to_string(m.rows) + " x " + std::to_string(m.columns) + ", group " +
                          std::to_string(group)});
        const auto scale = checkpoint().tensor(name + ".scales");
        const uint32_t scale_bits = scale && scale->dtype == MORTISE_DTYPE_F32 ? 32 : 16;
        if (version_ == "gemv_fast") return interleaved(m.rows, m.columns, group, name, scale_bits);
        // Files without zero points may carry them all the same: then all are the middle.
        const bool gemv = version_ == "gemv", stored = zeros_ || gemv || checkpoint().has(name + ".qzeros");
        Spec spec = gemv ? packed_along_columns(m.rows, m.columns, group, name, scale_bits)
                         : packed(m.rows, m.columns, group, name, scale_bits, stored);
        if (stored && !zeros_) {
            mortise_field& zero = *spec.find(MORTISE_ROLE_ZERO_POINT);
            zero.flags = MORTISE_FIELD_CONSTANT;
            zero.default_value = 8;
        }
        return spec;
    }

    std::string version_;
    int64_t group_ = 128;
    bool zeros_ = true;
    Rules skip_;
};

}  // namespace

MORTISE_PLUGIN("org.mortise.awq", "0.1.0", scheme_entry<Awq>("awq"))
