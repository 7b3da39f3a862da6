// Recipes against the producers' arithmetic, written out here a second time.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "base/small_float.h"
#include "quant/decode.h"
#include "quant/encode.h"

namespace mortise::quant {
namespace {

constexpr uint64_t rows = 4, columns = 64;

std::vector<float> weights(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.05f);
    std::vector<float> out(rows * columns);
    for (float& w : out) w = bf16_to_f32(f32_to_bf16(normal(random)));
    return out;
}

Field field(uint32_t role, const char* name, DType dtype, uint64_t r, uint64_t c) {
    Field out;
    out.role = role;
    out.extent = {1, r, c};
    out.tensor = name;
    out.dtypes = {dtype};
    out.shapes = {{static_cast<int64_t>(r), static_cast<int64_t>(c)}};
    return out;
}

// Codes kept one per byte, under one scale per `group` columns.
QuantSpec spec_of(uint32_t encoding, uint32_t bits, DType codes, uint64_t group, DType scale) {
    QuantSpec spec;
    spec.extent = {1, rows, columns};
    spec.encoding = encoding;
    spec.bits = bits;
    Field weight = field(MORTISE_ROLE_CODES, "weight", codes, rows, columns);
    weight.encoding = encoding;
    weight.bits = bits;
    if (bits == 4) weight.shapes = {{rows, columns / 2}};
    spec.fields = {weight, field(MORTISE_ROLE_SCALE, "scale", scale, rows, columns / group)};
    spec.levels = {{.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = group}};
    return spec;
}

struct Written {
    std::vector<float> values;
    std::map<std::string, std::vector<std::byte>> bytes;
    template <class T>
    T at(const std::string& name, size_t i) const {
        T out;
        std::memcpy(&out, bytes.at(name).data() + i * sizeof(T), sizeof(T));
        return out;
    }
    uint8_t nibble(size_t i) const {
        return static_cast<uint8_t>(at<uint8_t>("weight", i / 2) >> (i % 2 * 4) & 15);
    }
};

Written quantize(const QuantSpec& spec, const Quantizer& recipe, const std::vector<float>& w,
                 double amax = 0) {
    auto writer = ModuleWriter::make(spec);
    EXPECT_TRUE(writer) << to_string(writer.error());
    auto change = writer->quantize(recipe, 0, 0, rows, w.data(), amax);
    EXPECT_TRUE(change) << to_string(change.error());
    Written out;
    out.values = decode_all(spec, writer->sources()).value();
    for (size_t i = 0; i < w.size(); ++i) {
        if (std::bit_cast<uint32_t>(w[i]) != std::bit_cast<uint32_t>(out.values[i])) --change->changed;
    }
    EXPECT_EQ(change->changed, 0u) << "the reported change is not what a reader sees";
    for (auto& tensor : writer->take()) out.bytes[tensor.name] = tensor.bytes;
    return out;
}

float amax_of(const std::vector<float>& w, size_t from, size_t n) {
    float out = 0;
    for (size_t i = from; i < from + n; ++i) out = std::max(out, std::fabs(w[i]));
    return out;
}

float half(float x) { return bf16_to_f32(f32_to_bf16(x)); }

QuantSpec two_levels(bool divides) {
    QuantSpec spec = spec_of(MORTISE_ENCODING_E2M1, 4, DType::u8, 16, DType::f8_e4m3);
    spec.fields.push_back(field(MORTISE_ROLE_SCALE2, "whole", DType::f32, 1, 1));
    spec.levels.insert(spec.levels.begin(), {.role = MORTISE_ROLE_SCALE2, .divide = divides});
    return spec;
}

// ModelOpt 0.47, qtensor/nvfp4_tensor.py: block scale = amax / (6 * s2), 1 for a block of zeros, at least
// 2^-9.
TEST(Recipe, two_levels_that_multiply_follow_modelopt) {
    auto w = weights(1);
    std::fill(w.begin() + 16, w.begin() + 32, 0.0f);
    for (size_t i = 32; i < 48; ++i) w[i] = 1e-9f;
    Quantizer q{
        .divisor = 6, .zero_scale = 1, .code_min = -6, .code_max = 6, .clamp = true, .scale_floor = 0x1p-9};
    Written out = quantize(two_levels(false), q, w);
    float s2 = amax_of(w, 0, w.size()) / (6.0f * 448.0f);
    EXPECT_EQ(out.at<float>("whole", 0), s2);
    for (size_t g = 0; g < w.size() / 16; ++g) {
        float block = amax_of(w, g * 16, 16) / (6.0f * s2);
        if (block == 0) block = 1;
        uint8_t code = encode_small(DType::f8_e4m3, std::max(block, 0x1p-9f), Overflow::saturate);
        ASSERT_EQ(out.at<uint8_t>("scale", g), code) << g;
        float scale = decode_small(DType::f8_e4m3, code) * s2;
        for (size_t i = g * 16; i < g * 16 + 16; ++i) {
            ASSERT_EQ(out.nibble(i), encode_small(DType::f4_e2m1, w[i] / scale, Overflow::saturate)) << i;
        }
    }
    EXPECT_EQ(out.at<uint8_t>("scale", 1), 0x38);  // zeros
    EXPECT_EQ(out.at<uint8_t>("scale", 2), 0x01);  // not zeros, too small
}

// compressed-tensors 0.19, quantization/utils/helpers.py: everything in the model's dtype up to the global
// scale, which divides a number by a tensor: torch computes that as the tensor's reciprocal times the number.
TEST(Recipe, two_levels_that_divide_follow_compressed_tensors) {
    auto w = weights(2);
    std::fill(w.begin(), w.begin() + 16, 0.0f);
    Quantizer q{.compute = MORTISE_ENCODING_BF16, .divisor = 6, .code_min = -6, .code_max = 6, .clamp = true};
    Written out = quantize(two_levels(true), q, w);
    float whole = half(half(1.0f / half(amax_of(w, 0, w.size()))) * 2688.0f);
    EXPECT_EQ(out.at<float>("whole", 0), whole);
    EXPECT_EQ(decode_small(DType::f8_e4m3, out.at<uint8_t>("scale", 0)),
              0.125f);  // zeros: the type's epsilon
    for (size_t g = 1; g < w.size() / 16; ++g) {
        float block = whole * half(amax_of(w, g * 16, 16) / 6.0f);
        uint8_t code = encode_small(DType::f8_e4m3, block, Overflow::saturate);
        ASSERT_EQ(out.at<uint8_t>("scale", g), code) << g;
        float scale = decode_small(DType::f8_e4m3, code) / whole;
        for (size_t i = g * 16; i < g * 16 + 16; ++i) {
            ASSERT_EQ(out.nibble(i), encode_small(DType::f4_e2m1, w[i] / scale, Overflow::saturate)) << i;
        }
    }
}

TEST(Recipe, a_second_level_takes_its_own_divisor_and_the_amax_it_is_given) {
    auto w = weights(3);
    Quantizer q{.divisor = 6, .zero_scale = 1, .code_min = -6, .code_max = 6, .clamp = true};
    EXPECT_EQ(quantize(two_levels(false), q, w, 5.0).at<float>("whole", 0), 5.0f / 2688.0f);
    q.second_divisor = 448;
    EXPECT_EQ(quantize(two_levels(false), q, w, 5.0).at<float>("whole", 0), 5.0f / 448.0f);
}

// ModelOpt 0.47, qtensor/mxfp4_tensor.py: exponent rounded up, ties to zero, zeros stored as -0.
TEST(Recipe, powers_of_two_follow_modelopts_ties_and_zeros) {
    auto w = weights(4);
    w[0] = 6, w[1] = 2.5f, w[2] = -0.25f, w[3] = 0, w[4] = 1.75f;
    for (size_t i = 5; i < 32; ++i) w[i] = 1;
    std::fill(w.begin() + 32, w.begin() + 64, 0.0f);
    QuantSpec spec = spec_of(MORTISE_ENCODING_E2M1, 4, DType::u8, 32, DType::u8);
    spec.fields[1].encoding = MORTISE_ENCODING_E8M0;
    Quantizer q{.divisor = 6,
                .zero_scale = 0x1p-127,
                .code_min = -6,
                .code_max = 6,
                .exponent_rule = MORTISE_EXPONENT_CEIL,
                .flags = MORTISE_RECIPE_TIES_TO_ZERO | MORTISE_RECIPE_MINUS_ZERO};
    Written out = quantize(spec, q, w);
    EXPECT_EQ(out.at<uint8_t>("scale", 0), 127);
    EXPECT_EQ(out.at<uint8_t>("scale", 1), 0);
    const uint8_t expected[] = {7, 4, 8, 8, 3};
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(out.nibble(i), expected[i]) << i;
    EXPECT_EQ(out.nibble(40), 8);
}

// MLX 0.32, backend/cpu/quantized.cpp: its 4-bit codes know one zero.
TEST(Recipe, small_negative_weights_become_plus_zero_where_a_producer_has_no_other) {
    auto w = weights(4);
    w[0] = 6, w[1] = -0.25f, w[2] = -0.0f, w[3] = -0.5f;
    for (size_t i = 4; i < 32; ++i) w[i] = 1;
    const QuantSpec spec = spec_of(MORTISE_ENCODING_E2M1, 4, DType::u8, 32, DType::f32);
    Quantizer q{.divisor = 6, .code_min = -6, .code_max = 6};
    Written both = quantize(spec, q, w);
    EXPECT_EQ(both.nibble(1), 8);
    EXPECT_EQ(both.nibble(2), 8);
    q.flags = MORTISE_RECIPE_PLUS_ZERO;
    Written one = quantize(spec, q, w);
    EXPECT_EQ(one.nibble(1), 0);
    EXPECT_EQ(one.nibble(2), 0);
    EXPECT_EQ(one.nibble(3), 9);
}

// MLX 0.31, backend/cpu/quantized.cpp.
TEST(Recipe, the_edge_of_larger_magnitude_is_met_as_mlx_does) {
    auto w = weights(5);
    QuantSpec spec = spec_of(MORTISE_ENCODING_UNSIGNED, 4, DType::u8, 32, DType::bf16);
    spec.fields.push_back(field(MORTISE_ROLE_ADDEND, "bias", DType::bf16, rows, columns / 32));
    spec.offset = Offset::addend;
    spec.zero_map = {.role = MORTISE_ROLE_ADDEND, .row_group = 1, .column_group = 32};
    Quantizer q{.method = MORTISE_METHOD_EDGE,
                .code_min = 0,
                .code_max = 15,
                .flags = MORTISE_RECIPE_UNROUNDED,
                .scale_floor = 1e-7};
    Written out = quantize(spec, q, w);
    int negative = 0;
    for (size_t g = 0; g < w.size() / 32; ++g) {
        auto [low, high] = std::minmax_element(w.begin() + static_cast<long>(g * 32),
                                               w.begin() + static_cast<long>(g * 32 + 32));
        bool left = std::fabs(*low) > std::fabs(*high);
        float scale = std::max((*high - *low) / 15.0f, 1e-7f);
        scale = left ? scale : -scale;
        float edge = left ? *low : *high, q0 = std::rint(edge / scale);
        scale = edge / q0;
        negative += scale < 0;
        ASSERT_EQ(out.at<uint16_t>("scale", g), f32_to_bf16(scale));
        ASSERT_EQ(out.at<uint16_t>("bias", g), f32_to_bf16(edge));
        for (size_t i = g * 32; i < g * 32 + 32; ++i) {
            ASSERT_EQ(out.nibble(i),
                      static_cast<uint8_t>(std::clamp(std::rint((w[i] - edge) / scale), 0.0f, 15.0f)));
        }
    }
    EXPECT_GT(negative, 0);
}

// transformers' FP8 and AutoFP8: the weight is multiplied by 448 / amax, and the reciprocal of that is
// stored.
TEST(Recipe, a_reciprocal_scale_multiplies_first) {
    auto w = weights(6);
    QuantSpec spec = spec_of(MORTISE_ENCODING_E4M3, 8, DType::f8_e4m3, columns, DType::f32);
    Quantizer q{
        .divisor = 448, .code_min = -448, .code_max = 448, .clamp = true, .flags = MORTISE_RECIPE_RECIPROCAL};
    Written out = quantize(spec, q, w);
    for (size_t r = 0; r < rows; ++r) {
        float factor = 448.0f / amax_of(w, r * columns, columns);
        ASSERT_EQ(out.at<float>("scale", r), 1.0f / factor);
        for (size_t i = r * columns; i < (r + 1) * columns; ++i) {
            ASSERT_EQ(
                out.at<uint8_t>("weight", i),
                encode_small(DType::f8_e4m3, std::clamp(w[i] * factor, -448.0f, 448.0f), Overflow::saturate));
        }
    }
}

// ModelOpt's FP8 per tensor: an f32 scale, a quotient in the model's dtype.
TEST(Recipe, a_quotient_may_have_another_dtype_than_the_scale) {
    auto w = weights(7);
    QuantSpec spec = spec_of(MORTISE_ENCODING_E4M3, 8, DType::f8_e4m3, columns, DType::f32);
    Quantizer q{.divisor = 448, .zero_scale = 1, .code_min = -448, .code_max = 448};
    Written single = quantize(spec, q, w);
    q.quotient = MORTISE_ENCODING_BF16;
    Written twice = quantize(spec, q, w);
    int differ = 0;
    for (size_t i = 0; i < w.size(); ++i) {
        float quotient = w[i] / twice.at<float>("scale", i / columns);
        ASSERT_EQ(twice.at<uint8_t>("weight", i),
                  encode_small(DType::f8_e4m3, half(quotient), Overflow::saturate));
        differ += twice.at<uint8_t>("weight", i) != single.at<uint8_t>("weight", i);
    }
    EXPECT_GT(differ, 0);
}

QuantSpec unsigned_groups() {
    QuantSpec spec = spec_of(MORTISE_ENCODING_UNSIGNED, 4, DType::u8, 16, DType::f16);
    Field zero = field(MORTISE_ROLE_ZERO_POINT, "zero", DType::u8, rows, columns / 16);
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = 8;
    spec.fields.push_back(zero);
    spec.offset = Offset::zero_point;
    spec.zero_map = {.role = MORTISE_ROLE_ZERO_POINT, .row_group = 1, .column_group = 16};
    return spec;
}

// gptqmodel's quantizer: a group of zeros spans -1 to 1; codes come from the f32 scale, stored as f16.
TEST(Recipe, a_group_of_zeros_may_stand_for_another_range) {
    auto w = weights(8);
    std::fill(w.begin(), w.begin() + 16, 0.0f);
    Quantizer q{.method = MORTISE_METHOD_MINMAX,
                .code_min = 0,
                .code_max = 15,
                .flags = MORTISE_RECIPE_UNROUNDED,
                .zero_amax = 1};
    Written out = quantize(unsigned_groups(), q, w);
    EXPECT_EQ(out.at<uint16_t>("scale", 0), f32_to_f16(2.0f / 15.0f));
    EXPECT_EQ(out.values[0], 0.0f);
    for (size_t g = 1; g < w.size() / 16; ++g) {
        float low = 0, high = 0;
        for (size_t i = g * 16; i < g * 16 + 16; ++i) low = std::min(low, w[i]), high = std::max(high, w[i]);
        float scale = (high - low) / 15.0f, zero = std::rint(-low / scale);
        ASSERT_EQ(out.at<uint8_t>("zero", g), static_cast<uint8_t>(zero));
        for (size_t i = g * 16; i < g * 16 + 16; ++i) {
            ASSERT_EQ(out.nibble(i),
                      static_cast<uint8_t>(std::clamp(std::rint(w[i] / scale) + zero, 0.0f, 15.0f)))
                << i;
        }
    }
}

// AutoAWQ, quantize/quantizer.py: the range of a group need not hold 0, its spread is at least 1e-5.
TEST(Recipe, a_range_need_not_hold_zero) {
    auto w = weights(9);
    for (size_t i = 0; i < 16; ++i) w[i] = 1.0f + 0.01f * static_cast<float>(i);
    std::fill(w.begin() + 16, w.begin() + 32, 0.0f);
    Quantizer q{.method = MORTISE_METHOD_MINMAX,
                .code_min = 0,
                .code_max = 15,
                .flags = MORTISE_RECIPE_ANY_RANGE,
                .amax_floor = 1e-5};
    Written out = quantize(unsigned_groups(), q, w);
    EXPECT_EQ(out.at<uint16_t>("scale", 0), f32_to_f16((w[15] - w[0]) / 15.0f));
    EXPECT_EQ(out.at<uint8_t>("zero", 0), 0);
    EXPECT_EQ(out.at<uint16_t>("scale", 1), f32_to_f16(1e-5f / 15.0f));
}

// compressed-tensors: the zero point is added before the sum is rounded, all in the model's dtype.
TEST(Recipe, a_zero_point_may_be_added_before_rounding) {
    auto w = weights(10);
    Quantizer q{.method = MORTISE_METHOD_MINMAX,
                .compute = MORTISE_ENCODING_BF16,
                .code_min = 0,
                .code_max = 15,
                .flags = MORTISE_RECIPE_LATE_ROUND};
    QuantSpec spec = unsigned_groups();
    spec.fields[1].dtypes = {DType::bf16};
    Written out = quantize(spec, q, w);
    for (size_t i = 0; i < w.size(); ++i) {
        float scale = bf16_to_f32(out.at<uint16_t>("scale", i / 16)), zero = out.at<uint8_t>("zero", i / 16);
        float sum = half(half(w[i] / scale) + zero);
        ASSERT_EQ(out.nibble(i), static_cast<uint8_t>(std::rint(std::clamp(sum, 0.0f, 15.0f)))) << i;
    }
}

// MLX's nvfp4: one level of e4m3, and a group of zeros keeps the scale 0.
TEST(Recipe, a_scale_of_zero_may_stay) {
    auto w = weights(11);
    std::fill(w.begin(), w.begin() + 16, 0.0f);
    QuantSpec spec = spec_of(MORTISE_ENCODING_E2M1, 4, DType::u8, 16, DType::f8_e4m3);
    Quantizer q{.divisor = 6, .code_min = -6, .code_max = 6, .flags = MORTISE_RECIPE_KEEP_ZERO};
    Written out = quantize(spec, q, w);
    EXPECT_EQ(out.at<uint8_t>("scale", 0), 0);
    EXPECT_EQ(out.nibble(0), 0);
    EXPECT_EQ(out.at<uint8_t>("scale", 1),
              encode_small(DType::f8_e4m3, amax_of(w, 16, 16) / 6.0f, Overflow::saturate));
}

}  // namespace
}  // namespace mortise::quant
