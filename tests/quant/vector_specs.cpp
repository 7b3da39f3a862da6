// The layouts below are those of the formats' own documentation, each written once as terms.
#include "quant/vectors.h"

namespace mortise::quant::testing {
namespace {

constexpr uint32_t ROW = MORTISE_SOURCE_ROW, COLUMN = MORTISE_SOURCE_COLUMN, BIT = MORTISE_SOURCE_BIT,
                   ROWS = MORTISE_SOURCE_ROW_STREAM, COLUMNS = MORTISE_SOURCE_COLUMN_STREAM,
                   FLAT = MORTISE_SOURCE_FLAT;

using U = uint64_t;
int64_t s(U value) { return static_cast<int64_t>(value); }
U up(U a, U b) { return (a + b - 1) / b; }

struct Maker {
    const Vector& v;
    U n = v.dim("N"), k = v.dim("K");
    QuantSpec spec{};

    Field& add(uint32_t role, const std::string& tensor, U rows, U columns) {
        return spec.fields.emplace_back(field_of(v, role, tensor, {1, rows, columns}));
    }
    Field& codes(const std::string& tensor, uint32_t encoding, uint32_t bits) {
        if (n == 0) n = 1;
        spec.extent = {1, n, k};
        spec.encoding = encoding;
        spec.bits = bits;
        Field& field = add(MORTISE_ROLE_CODES, tensor, n, k);
        field.encoding = encoding;
        field.bits = bits;
        return field;
    }
    // A level over a field of rows/row_group x columns/column_group (0: one).
    Field& level(uint32_t role, const std::string& tensor, U row_group, U column_group, bool divide = false) {
        spec.levels.push_back(
            {.role = role, .divide = divide, .row_group = row_group, .column_group = column_group});
        return add(role, tensor, row_group ? up(n, row_group) : 1, column_group ? up(k, column_group) : 1);
    }
    Field& zeros(uint32_t role, const std::string& tensor, U group) {
        spec.offset = role == MORTISE_ROLE_ADDEND ? Offset::addend : Offset::zero_point;
        spec.zero_map = {.role = role, .row_group = 1, .column_group = group};
        return add(role, tensor, n, group ? up(k, group) : 1);
    }
    bool is(std::string_view prefix) const { return v.id.starts_with(prefix); }
    U config_int(const char* key) const {
        const json::Node* at = v.config(key);
        return at ? static_cast<U>(*at->as_int()) : 0;
    }
    U group() const {
        int64_t g = v.node->find("dims")->find("g") ? *v.node->find("dims")->find("g")->as_int() : 0;
        return g > 0 ? static_cast<U>(g) : 0;
    }

    void fp8();
    void gptq();
    void awq();
    void packed();
    void small_floats();
    void nvidia_ints();
    void bits_and_bytes();
    void affine();
    void blocks();
    void k_blocks();
};

void Maker::fp8() {
    codes("weight", MORTISE_ENCODING_E4M3, 8);
    if (is("fp8_per_tensor")) {
        level(MORTISE_ROLE_SCALE, "weight_scale", 0, 0);
    } else if (is("fp8_per_channel")) {
        level(MORTISE_ROLE_SCALE, "weight_scale", 1, 0);
    } else {
        level(MORTISE_ROLE_SCALE, is("fp8_block_ragged_deepseek") ? "weight_scale_inv" : "weight_scale",
              v.dim("bn"), v.dim("bk"));
    }
}

void Maker::gptq() {
    auto bits = static_cast<uint32_t>(config_int("bits"));
    bool v1 = *v.config("checkpoint_format")->as_string() == "gptq";
    codes("qweight", MORTISE_ENCODING_UNSIGNED, bits).layout =
        plane(bits, {{ROW, 1, 0, 32}, {COLUMNS, 1, 32, 1}, {COLUMNS, 32, 0, s(n * 32)}});
    level(MORTISE_ROLE_SCALE, "scales", 1, group()).layout =
        plane(16, {{ROW, 1, 0, 16}, {COLUMN, 1, 0, s(n * 16)}, {BIT, 1, 0, 1}});
    Field& zero = zeros(MORTISE_ROLE_ZERO_POINT, "qzeros", group());
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = bits;
    zero.layout = plane(bits, {{ROWS, 1, 0, 1}, {COLUMN, 1, 0, s(up(n * bits, 32) * 32)}});
    zero.stored_bias = v1 ? 1 : 0;
    zero.stored_bias_word = v1 && bits != 3 ? 32 : 0;  // 3 bit: per field
    add(MORTISE_ROLE_G_IDX, "g_idx", 1, k);
}

void Maker::awq() {
    U g = group();
    auto halves = [&](const Field&) {
        return plane(16, {{ROW, 1, 0, 16}, {COLUMN, 1, 0, s(n * 16)}, {BIT, 1, 0, 1}});
    };
    if (v.id == "awq_gemm") {
        auto lanes = [&] {  // column 8c + m sits in lane m / 2 + 4 (m % 2)
            return plane(
                4,
                {{ROW, 1, 2, 16}, {ROW, 2, 4, 4}, {ROW, 8, 0, 32}, {COLUMN, 1, 0, s(n * 4)}, {BIT, 1, 0, 1}});
        };
        codes("qweight", MORTISE_ENCODING_UNSIGNED, 4).layout = lanes();
        Field& scale = level(MORTISE_ROLE_SCALE, "scales", 1, g);
        scale.layout = halves(scale);
        Field& zero = zeros(MORTISE_ROLE_ZERO_POINT, "qzeros", g);
        zero.encoding = MORTISE_ENCODING_UNSIGNED;
        zero.bits = 4;
        zero.layout = lanes();
    } else if (v.id == "awq_gemv") {
        U width = v.dim("zeros_width");
        codes("qweight", MORTISE_ENCODING_UNSIGNED, 4);
        level(MORTISE_ROLE_SCALE, "scales", 1, g).layout =
            plane(16, {{ROW, 1, 0, s(width * 8 * 16)}, {COLUMN, 1, 0, 16}, {BIT, 1, 0, 1}});
        Field& zero = zeros(MORTISE_ROLE_ZERO_POINT, "qzeros", g);
        zero.encoding = MORTISE_ENCODING_UNSIGNED;
        zero.bits = 4;
        zero.layout = plane(4, {{ROW, 1, 0, s(width * 32)}, {COLUMN, 1, 0, 4}, {BIT, 1, 0, 1}});
    } else {
        codes("qweight", MORTISE_ENCODING_UNSIGNED, 4).layout = plane(4, {{COLUMN, 1, 2, 16},
                                                                          {COLUMN, 2, 4, 32},
                                                                          {COLUMN, 8, 4, 4},
                                                                          {COLUMN, 32, 2, 128},
                                                                          {COLUMN, 64, 0, 1024},
                                                                          {ROW, 1, 4, 256},
                                                                          {ROW, 4, 0, s(k * 16)},
                                                                          {BIT, 1, 0, 1}});
        Field& scale = level(MORTISE_ROLE_SCALE, "scales", 1, g);
        scale.layout = halves(scale);
        Field& addend = zeros(MORTISE_ROLE_ADDEND, "qzeros", g);
        addend.layout = halves(addend);
    }
}

void Maker::packed() {
    if (v.id == "ct_int8_w8a8") {
        codes("weight", MORTISE_ENCODING_TWOS, 8);
        level(MORTISE_ROLE_SCALE, "weight_scale", 1, 0);
        return;
    }
    auto bits = static_cast<uint32_t>(config_int("num_bits"));
    U words = static_cast<U>(v.tensors.at("weight_packed").shape[1]);
    Layout layout = plane(bits, {{ROW, 1, 0, s(words * 32)}, {COLUMNS, 1, 0, 1}});
    if (v.id == "ct_pack3_legacy") {
        layout =
            plane(3, {{ROW, 1, 0, s(words * 32)}, {COLUMN, 1, 10, 3}, {COLUMN, 10, 0, 32}, {BIT, 1, 0, 1}});
    }
    codes("weight_packed", MORTISE_ENCODING_OFFSET, bits).layout = layout;
    level(MORTISE_ROLE_SCALE, "weight_scale", 1, group());
    if (v.tensors.contains("weight_zero_point")) {
        Field& zero = zeros(MORTISE_ROLE_ZERO_POINT, "weight_zero_point", group());
        zero.encoding = MORTISE_ENCODING_OFFSET;
        zero.bits = bits;
        U groups = static_cast<U>(v.tensors.at("weight_zero_point").shape[1]);
        zero.layout = plane(bits, {{ROWS, 1, 32, 1}, {ROWS, 32, 0, s(groups * 32)}, {COLUMN, 1, 0, 32}});
    }
    if (v.tensors.contains("weight_g_idx")) add(MORTISE_ROLE_G_IDX, "weight_g_idx", 1, k);
    add(MORTISE_ROLE_SHAPE, "weight_shape", 1, 2);
}

void Maker::small_floats() {
    if (v.id == "ct_nvfp4" || v.id == "modelopt_nvfp4") {
        bool divide = v.id == "ct_nvfp4";
        codes(divide ? "weight_packed" : "weight", MORTISE_ENCODING_E2M1, 4);
        level(MORTISE_ROLE_SCALE2, divide ? "weight_global_scale" : "weight_scale_2", 0, 0, divide);
        level(MORTISE_ROLE_SCALE, "weight_scale", 1, 16);
        return;
    }
    bool eight = v.id.ends_with("mxfp8");
    const char* name = v.id == "gptoss_mxfp4" ? "gate_up_proj_blocks"
                       : v.id == "ct_mxfp4"   ? "weight_packed"
                                              : "weight";
    const char* scale = v.id == "gptoss_mxfp4" ? "gate_up_proj_scales"
                        : v.id == "mlx_mxfp4"  ? "scales"
                                               : "weight_scale";
    codes(name, eight ? MORTISE_ENCODING_E4M3 : MORTISE_ENCODING_E2M1, eight ? 8 : 4);
    level(MORTISE_ROLE_SCALE, scale, 1, 32).encoding = MORTISE_ENCODING_E8M0;
}

void Maker::nvidia_ints() {
    if (v.id == "modelopt_int8_sq") {
        codes("weight", MORTISE_ENCODING_TWOS, 8);
        level(MORTISE_ROLE_SCALE, "weight_scale", 1, 0);
    } else {
        codes("weight", MORTISE_ENCODING_TWOS, 4).layout =
            plane(4, {{ROW, 1, 2, 4}, {ROW, 2, 0, s(k * 8)}, {COLUMN, 1, 0, 8}, {BIT, 1, 0, 1}});
        level(MORTISE_ROLE_SCALE, "weight_scale", 1, group());
    }
    add(MORTISE_ROLE_PRE_SCALE, "pre_quant_scale", 1, k);
    if (v.id == "modelopt_w4a8_awq") {
        add(MORTISE_ROLE_CAST_SCALE, "weight_scale_2", 1, 1);
        spec.has_cast = true;
        spec.cast_encoding = MORTISE_ENCODING_E4M3;
    }
}

void Maker::bits_and_bytes() {
    if (v.id == "bnb_int8") {
        codes("weight", MORTISE_ENCODING_TWOS, 8);
        spec.levels.push_back({.role = MORTISE_ROLE_NONE, .divide = true, .constant = 127});
        level(MORTISE_ROLE_SCALE, "SCB", 1, 0);
        return;
    }
    codes("weight", MORTISE_ENCODING_LOOKUP, 4).layout =
        plane(4, {{FLAT, 1, 2, -4}, {FLAT, 2, 0, 8}, {BIT, 1, 0, 1}}, 4);
    add(MORTISE_ROLE_TABLE, "weight.quant_map", 1, 16);
    U count = up(n * k, 64);
    spec.levels.push_back({.role = MORTISE_ROLE_SCALE, .column_group = 64, .flat = true});
    Field& scale = add(MORTISE_ROLE_SCALE, "weight.absmax", 1, count);
    if (v.id == "bnb_nf4") return;
    scale.encoding = MORTISE_ENCODING_LOOKUP;
    scale.bits = 8;
    add(MORTISE_ROLE_SCALE_TABLE, "weight.nested_quant_map", 1, 256);
    spec.levels.push_back({.role = MORTISE_ROLE_SCALE2, .column_group = 64 * 256, .flat = true});
    add(MORTISE_ROLE_SCALE2, "weight.nested_absmax", 1, up(n * k, 64 * 256));
    spec.scale_addend = 0.05000000074505806;
}

void Maker::affine() {
    U bits = v.id == "awq_gemm_as_mlx_affine" ? 4 : static_cast<U>(v.id.back() - '0');
    U words = static_cast<U>(v.tensors.at("weight").shape[1]);
    codes("weight", MORTISE_ENCODING_UNSIGNED, static_cast<uint32_t>(bits)).layout =
        plane(static_cast<uint32_t>(bits), {{ROW, 1, 0, s(words * 32)}, {COLUMNS, 1, 0, 1}});
    level(MORTISE_ROLE_SCALE, "scales", 1, group());
    zeros(MORTISE_ROLE_ADDEND, "biases", group());
}

// One block per row in the vectors; the terms are those of any number of blocks.
void Maker::blocks() {
    U bytes = v.id == "gguf_q4_0" ? 18 : v.id == "gguf_q4_1" ? 20 : v.id == "gguf_q8_0" ? 34 : 17;
    U row = s(k / 32 * bytes * 8), block = bytes * 8,
      head = v.id == "gguf_mxfp4"  ? 8
             : v.id == "gguf_q4_1" ? 32
                                   : 16;
    auto halves = [&](int64_t offset) {
        return plane(4,
                     {{ROW, 1, 0, s(row)},
                      {COLUMN, 1, 16, 8},
                      {COLUMN, 16, 2, 4},
                      {COLUMN, 32, 0, s(block)},
                      {BIT, 1, 0, 1}},
                     offset);
    };
    auto word = [&](uint32_t bits, int64_t offset) {
        return plane(bits, {{ROW, 1, 0, s(row)}, {COLUMN, 1, 0, s(block)}, {BIT, 1, 0, 1}}, offset);
    };
    auto scalar = [&](Field& field, uint32_t encoding, uint32_t bits, int64_t offset) {
        field.encoding = encoding;
        field.bits = bits;
        field.layout = word(bits, offset);
    };
    if (v.id == "gguf_q8_0") {
        codes("block", MORTISE_ENCODING_TWOS, 8).layout = plane(
            8, {{ROW, 1, 0, s(row)}, {COLUMN, 1, 32, 8}, {COLUMN, 32, 0, s(block)}, {BIT, 1, 0, 1}}, 16);
        scalar(level(MORTISE_ROLE_SCALE, "block", 1, 32), MORTISE_ENCODING_F16, 16, 0);
    } else if (v.id == "gguf_mxfp4") {
        codes("block", MORTISE_ENCODING_E2M1, 4).layout = halves(s(head));
        scalar(level(MORTISE_ROLE_SCALE, "block", 1, 32), MORTISE_ENCODING_E8M0, 8, 0);
    } else {
        codes("block", MORTISE_ENCODING_UNSIGNED, 4).layout = halves(s(head));
        scalar(level(MORTISE_ROLE_SCALE, "block", 1, 32), MORTISE_ENCODING_F16, 16, 0);
        spec.offset = Offset::constant;
        spec.offset_constant = 8;
        if (v.id == "gguf_q4_1")
            scalar(zeros(MORTISE_ROLE_ADDEND, "block", 32), MORTISE_ENCODING_F16, 16, 16);
    }
}

void Maker::k_blocks() {
    bool four = v.id == "gguf_q4_K";
    int64_t block = four ? 144 * 8 : 210 * 8, row = s(k / 256) * block;
    auto part = [&](uint32_t bits, std::vector<Term> terms, int64_t offset) {
        terms.insert(terms.end(), {{ROW, 1, 0, row}, {BIT, 1, 0, 1}});
        return Plane{.bits = bits, .offset = offset, .terms = std::move(terms)};
    };
    auto half = [&](uint32_t role, U group, int64_t offset) {
        Field field = field_of(v, role, "block", {1, n, k / group});
        field.encoding = MORTISE_ENCODING_F16;
        field.bits = 16;
        field.layout = {{part(16, {{COLUMN, 1, 0, block}}, offset)}};
        spec.fields.push_back(field);
    };
    if (four) {
        codes("block", MORTISE_ENCODING_UNSIGNED, 4).layout = {
            {part(4, {{COLUMN, 1, 32, 8}, {COLUMN, 32, 2, 4}, {COLUMN, 64, 4, 256}, {COLUMN, 256, 0, block}},
                  128)}};
        half(MORTISE_ROLE_SCALE2, 256, 0);
        half(MORTISE_ROLE_ADDEND_SCALE, 256, 16);
        auto six = [&](Field& field, Layout layout) {
            field.encoding = MORTISE_ENCODING_UNSIGNED;
            field.bits = 6;
            field.layout = std::move(layout);
        };
        spec.levels.push_back({.role = MORTISE_ROLE_SCALE2, .row_group = 1, .column_group = 256});
        six(level(MORTISE_ROLE_SCALE, "block", 1, 32),
            {{part(4, {{COLUMN, 1, 4, 8}, {COLUMN, 4, 2, 64}, {COLUMN, 8, 0, block}}, 32),
              part(2, {{COLUMN, 1, 4, 8}, {COLUMN, 4, 2, 2}, {COLUMN, 8, 0, block}}, 36)}});
        six(zeros(MORTISE_ROLE_ADDEND, "block", 32),
            {{part(4, {{COLUMN, 1, 4, 8}, {COLUMN, 4, 2, 36}, {COLUMN, 8, 0, block}}, 64),
              part(2, {{COLUMN, 1, 4, 8}, {COLUMN, 4, 2, 2}, {COLUMN, 8, 0, block}}, 68)}});
        spec.addend_scale = {.role = MORTISE_ROLE_ADDEND_SCALE, .row_group = 1, .column_group = 256};
        spec.addend_sign = -1;
        return;
    }
    codes("block", MORTISE_ENCODING_OFFSET, 6).layout = {
        {part(4, {{COLUMN, 1, 64, 8}, {COLUMN, 64, 2, 4}, {COLUMN, 128, 2, 512}, {COLUMN, 256, 0, block}}, 0),
         part(2, {{COLUMN, 1, 32, 8}, {COLUMN, 32, 4, 2}, {COLUMN, 128, 2, 256}, {COLUMN, 256, 0, block}},
              1024)}};
    half(MORTISE_ROLE_SCALE2, 256, 208 * 8);
    spec.levels.push_back({.role = MORTISE_ROLE_SCALE2, .row_group = 1, .column_group = 256});
    Field& scale = level(MORTISE_ROLE_SCALE, "block", 1, 16);
    scale.encoding = MORTISE_ENCODING_TWOS;
    scale.bits = 8;
    scale.layout = {{part(8, {{COLUMN, 1, 16, 8}, {COLUMN, 16, 0, block}}, 192 * 8)}};
}

}  // namespace

QuantSpec spec_of(const Vector& vector) {
    Maker maker{vector};
    if (vector.id.starts_with("fp8"))
        maker.fp8();
    else if (vector.id.starts_with("gptq") || vector.id == "awq_gemm_as_gptq_v2")
        maker.gptq();
    else if (vector.id.starts_with("mlx_affine") || vector.id == "awq_gemm_as_mlx_affine")
        maker.affine();
    else if (vector.id.starts_with("ct_pack") || vector.id == "ct_int8_w8a8" ||
             vector.id == "awq_gemm_as_pack_quantized")
        maker.packed();
    else if (vector.id.starts_with("awq"))
        maker.awq();
    else if (vector.id.starts_with("modelopt_int") || vector.id.starts_with("modelopt_w4a8"))
        maker.nvidia_ints();
    else if (vector.id.starts_with("bnb"))
        maker.bits_and_bytes();
    else if (vector.id.ends_with("_K"))
        maker.k_blocks();
    else if (vector.id.starts_with("gguf"))
        maker.blocks();
    else
        maker.small_floats();
    return maker.spec;
}

}  // namespace mortise::quant::testing
