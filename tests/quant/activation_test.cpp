#include "quant/activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "base/small_float.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

using testing::vector;

std::vector<float> floats(const json::Node& list) {
    std::vector<float> out;
    for (const auto& item : list.items()) out.push_back(static_cast<float>(*item->as_double()));
    return out;
}
std::vector<uint8_t> codes(const json::Node& list) {
    std::vector<uint8_t> out;
    for (const auto& item : list.items()) out.push_back(static_cast<uint8_t>(*item->as_int()));
    return out;
}
float only_float(const testing::Vector& v, const char* tensor) {
    float out;
    std::memcpy(&out, v.tensors.at(tensor).bytes.data(), 4);
    return out;
}

Activation token(uint32_t encoding, uint32_t bits, double divisor) {
    return {.granularity = MORTISE_ACTIVATION_TOKEN,
            .encoding = encoding,
            .bits = bits,
            .dynamic = true,
            .divisor = divisor};
}

TEST(ActivationRule, of_a_static_tensor_scale_matches_the_vector) {
    const auto& v = vector("fp8_per_tensor_static");
    Activation rule{.granularity = MORTISE_ACTIVATION_TENSOR, .encoding = MORTISE_ENCODING_E4M3, .bits = 8};
    auto run = quantize_run(rule, floats(*v.expected().find("x")), 1, only_float(v, "input_scale"), 0);
    EXPECT_EQ(run.codes, codes(*v.expected().find("x_codes")));
}

TEST(ActivationRule, of_dynamic_fp8_tokens_matches_the_vectors) {
    for (const char* id : {"fp8_per_channel_ct", "fp8_per_channel_modelopt"}) {
        const json::Node& expected = vector(id).expected();
        auto run =
            quantize_run(token(MORTISE_ENCODING_E4M3, 8, 448), floats(*expected.find("x_token")), 1, 0, 0);
        EXPECT_EQ(run.scale, static_cast<float>(*expected.find("x_scale_f32")->as_double()));
        EXPECT_EQ(run.codes, codes(*expected.find("x_codes")));
    }
}

TEST(ActivationRule, with_a_ceiling_of_amax_saturates_what_lies_above) {
    Activation rule = token(MORTISE_ENCODING_E4M3, 8, 448);
    rule.amax_ceiling = 4;
    const auto run = quantize_run(rule, std::vector<float>{1, -8, 4}, 1, 0, 0);
    EXPECT_EQ(run.scale, 4.0f / 448);
    EXPECT_EQ(run.values, (std::vector<float>{1, -4, 4}));
    EXPECT_EQ(quantize_run(rule, std::vector<float>{1, -2}, 1, 0, 0).scale, 2.0f / 448);
}

TEST(ActivationRule, of_dynamic_int8_tokens_depends_on_the_divisor) {
    const json::Node& expected = vector("ct_int8_w8a8").expected();
    auto x = floats(*expected.find("x_token"));
    for (auto [key, divisor] :
         {std::pair{"kernel_rule_div127", 127.0}, {"ct_reference_rule_div127_5", 127.5}}) {
        auto run = quantize_run(token(MORTISE_ENCODING_TWOS, 8, divisor), x, 1, 0, 0);
        const json::Node& want = *expected.find(key);
        EXPECT_EQ(run.scale, static_cast<float>(*want.find("scale")->as_double()));
        EXPECT_EQ(run.codes, codes(*want.find("codes")));
    }
}

TEST(ActivationRule, of_two_level_fp4_groups_matches_the_vector) {
    const auto& v = vector("ct_nvfp4");
    Activation rule{.granularity = MORTISE_ACTIVATION_GROUP,
                    .encoding = MORTISE_ENCODING_E2M1,
                    .bits = 4,
                    .dynamic = true,
                    .scale_encoding = MORTISE_ENCODING_E4M3,
                    .second_level = 2,
                    .group = 16,
                    .divisor = 6,
                    .zero_scale = 0.125};
    auto x = floats(*v.expected().find("x"));
    auto blocks = codes(*v.expected().find("x_block_scale_codes"));
    float global = only_float(v, "input_global_scale");
    std::vector<uint8_t> all;
    for (size_t b = 0; b < 2; ++b) {
        auto run = quantize_run(rule, std::span(x).subspan(b * 16, 16), global, 0, 0);
        EXPECT_EQ(run.stored, decode_small(DType::f8_e4m3, blocks[b]));
        all.insert(all.end(), run.codes.begin(), run.codes.end());
    }
    EXPECT_EQ(all, codes(*v.expected().find("x_codes")));
    std::vector<float> zeros(16);
    auto run = quantize_run(rule, zeros, global, 0, 0);
    EXPECT_EQ(run.stored, 0.125f);
    EXPECT_EQ(run.values, zeros);
}

TEST(ExponentRules, give_the_four_producers_scales) {
    struct Row {
        float amax;
        int bump, ceil, floor, round;
    };
    // The table of the vectors' mx_activation_scale_rules: exponent bytes.
    for (auto [amax, bump, ceil, floor, round] :
         {Row{1, 125, 125, 125, 124}, Row{5.9f, 127, 127, 127, 127}, Row{6, 127, 127, 127, 127},
          Row{6.1f, 127, 128, 127, 127}, Row{7, 128, 128, 127, 127}, Row{7.5f, 128, 128, 127, 127},
          Row{7.99f, 128, 128, 127, 127}, Row{12, 128, 128, 128, 128}, Row{0.3f, 123, 123, 123, 123},
          Row{3.5f, 127, 127, 126, 126}}) {
        auto byte = [&, a = amax](uint32_t rule) {
            return static_cast<int>(std::log2(power_of_two_scale(rule, MORTISE_ENCODING_E2M1, a, 6))) + 127;
        };
        EXPECT_EQ(byte(MORTISE_EXPONENT_BUMP), bump) << amax;
        EXPECT_EQ(byte(MORTISE_EXPONENT_CEIL), ceil) << amax;
        EXPECT_EQ(byte(MORTISE_EXPONENT_FLOOR), floor) << amax;
        EXPECT_EQ(byte(MORTISE_EXPONENT_ROUND), round) << amax;
    }
}

TEST(ActivationRule, of_multiplying_second_levels_floors_the_stored_scale) {
    Activation rule{.granularity = MORTISE_ACTIVATION_GROUP,
                    .encoding = MORTISE_ENCODING_E2M1,
                    .bits = 4,
                    .dynamic = true,
                    .scale_encoding = MORTISE_ENCODING_E4M3,
                    .second_level = 1,
                    .group = 4,
                    .divisor = 6,
                    .scale_floor = 0x1p-9,
                    .zero_scale = 1};
    std::vector<float> tiny{1e-12f, 0, 0, 0}, zero(4), big{6, -3, 0.25f, 0.75f};
    EXPECT_EQ(quantize_run(rule, tiny, 0.01f, 0, 0).stored, 0x1p-9f);
    EXPECT_EQ(quantize_run(rule, zero, 0.01f, 0, 0).stored, 1.0f);
    auto run = quantize_run(rule, big, 1, 0, 0);
    EXPECT_EQ(run.stored, 1.0f);
    EXPECT_EQ(run.codes, (std::vector<uint8_t>{7, 13, 0, 2}));  // ties to even
    rule.ties_to_zero = true;
    EXPECT_EQ(quantize_run(rule, big, 1, 0, 0).codes, (std::vector<uint8_t>{7, 13, 0, 1}));
}

TEST(ActivationRule, of_asymmetric_tokens_covers_minimum_and_maximum) {
    Activation rule = token(MORTISE_ENCODING_TWOS, 8, 255);
    rule.asymmetric = true;
    std::vector<float> x{-1, 0, 1.55f, 0.5f};
    auto run = quantize_run(rule, x, 1, 0, 0);
    EXPECT_EQ(run.scale, 2.55f / 255.0f);
    EXPECT_EQ(run.zero, -28.0f);
    EXPECT_EQ(static_cast<int8_t>(run.codes[0]), -128);
    EXPECT_EQ(static_cast<int8_t>(run.codes[2]), 127);
    EXPECT_EQ(run.values[1], 0.0f);  // zero stays zero
    std::vector<float> positive{2, 4};
    EXPECT_EQ(quantize_run(rule, positive, 1, 0, 0).zero, -128.0f);  // the range always holds zero
}

TEST(ActivationRule, floors_what_would_divide_by_zero) {
    Activation rule = token(MORTISE_ENCODING_E4M3, 8, 448);
    std::vector<float> zero(3);
    EXPECT_EQ(quantize_run(rule, zero, 1, 0, 0).values, zero);
    rule.amax_floor = 1e-10;
    EXPECT_EQ(quantize_run(rule, zero, 1, 0, 0).scale, 1e-10f / 448.0f);
    rule.amax_floor = 0;
    rule.scale_floor = 1.0 / (448 * 512);
    EXPECT_EQ(quantize_run(rule, zero, 1, 0, 0).scale, static_cast<float>(1.0 / (448 * 512)));
}

TEST(EncodedElements, are_those_of_the_general_encoder) {
    std::mt19937 random(6);
    auto check = [](float value) {
        ASSERT_EQ(encode_element(MORTISE_ENCODING_E4M3, value, false),
                  encode_small(DType::f8_e4m3, value, Overflow::saturate))
            << value;
        ASSERT_EQ(encode_element(MORTISE_ENCODING_E2M1, value, false),
                  encode_small(DType::f4_e2m1, value, Overflow::saturate))
            << value;
    };
    for (DType type : {DType::f8_e4m3, DType::f4_e2m1}) {
        auto table = decode_table(type);
        for (float a : table) {
            for (float b : table) {  // all values and all midpoints, with their neighbours
                float middle = (a + b) / 2;
                for (float value : {middle, std::nextafter(middle, 1e9f), std::nextafter(middle, -1e9f)})
                    check(value);
            }
        }
    }
    for (int i = 0; i < 200000; ++i) check(std::bit_cast<float>(static_cast<uint32_t>(random())));
}

TEST(Rotation, by_hadamard_equals_its_matrix_and_undoes_itself) {
    std::mt19937 random(5);
    constexpr uint32_t n = 16;
    std::vector<float> x(n * 4), matrix(n * n);
    for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 64)) - 32;
    for (uint32_t i = 0; i < n; ++i) {
        for (uint32_t j = 0; j < n; ++j) matrix[i * n + j] = std::popcount(i & j) % 2 ? -1.0f : 1.0f;
    }
    auto fast = x, slow = x;
    rotate(fast.data(), 2, n * 2, n, nullptr, 0.25f);
    rotate(slow.data(), 2, n * 2, n, matrix.data(), 0.25f);
    EXPECT_EQ(fast, slow);
    rotate(fast.data(), 2, n * 2, n, nullptr, 0.25f);
    EXPECT_EQ(fast, x);
}

TEST(Rotation, multiplies_rows_by_the_matrix_not_by_its_transpose) {
    std::vector<float> x{1, 2}, matrix{0, 1, 0, 0};  // only x0 -> y1
    rotate(x.data(), 1, 2, 2, matrix.data(), 1);
    EXPECT_EQ(x, (std::vector<float>{0, 1}));
}

QuantSpec int8_spec(uint32_t granularity, uint64_t group) {
    const auto& v = vector("ct_int8_w8a8");
    QuantSpec spec = testing::spec_of(v);
    spec.activation = {.granularity = granularity,
                       .encoding = MORTISE_ENCODING_TWOS,
                       .bits = 8,
                       .dynamic = true,
                       .group = group,
                       .divisor = 127};
    return spec;
}

TEST(PreparedInput, is_scaled_first_and_quantized_by_token_group_or_tensor) {
    std::vector<float> x{1, 2, 3, 4, 50, 60, 70, 80, -8, -7, -6, -5, -4, -3, -2, -1},
        pre{2, 2, 2, 2, 1, 1, 1, 1};
    mortise_extras extras{};
    extras.head.size = sizeof extras;
    extras.pre_scale = pre.data();
    std::vector<float> exact(16), out(16);
    AbiSpec by_token(int8_spec(MORTISE_ACTIVATION_TOKEN, 0)),
        by_group(int8_spec(MORTISE_ACTIVATION_GROUP, 4)), by_tensor(int8_spec(MORTISE_ACTIVATION_TENSOR, 0));
    prepare_input(*by_token, extras, MORTISE_ACTIVATIONS_EXACT, 2, 8, x.data(), exact.data());
    for (size_t i = 0; i < 16; ++i) EXPECT_EQ(exact[i], x[i] * pre[i % 8]);
    auto expect_runs = [&](const AbiSpec& spec, size_t run) {
        prepare_input(*spec, extras, MORTISE_ACTIVATIONS_AS_SPECIFIED, 2, 8, x.data(), out.data());
        for (size_t i = 0; i < 16; i += run) {
            auto want = quantize_run(spec.spec().activation, std::span(exact).subspan(i, run), 1, 0, 0);
            for (size_t j = 0; j < run; ++j) EXPECT_EQ(out[i + j], want.values[j]);
        }
    };
    expect_runs(by_token, 8);
    expect_runs(by_group, 4);
    expect_runs(by_tensor, 16);
}

}  // namespace
}  // namespace mortise::quant
