#include "base/small_float.h"

#include <cmath>
#include <cstring>
#include <map>

#include "support/vectors.h"

namespace mortise {
namespace {

const std::map<std::string, DType> types = {
    {"e4m3fn", DType::f8_e4m3},       {"e5m2", DType::f8_e5m2}, {"e4m3fnuz", DType::f8_e4m3fnuz},
    {"e5m2fnuz", DType::f8_e5m2fnuz}, {"e2m1", DType::f4_e2m1}, {"e3m2", DType::f6_e3m2},
    {"e2m3", DType::f6_e2m3},         {"e8m0", DType::f8_e8m0}};

bool same_bits(float a, float b) {
    return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

TEST(SmallFloat, every_code_decodes_to_the_golden_value) {
    const auto* tables = test::format_vectors().find("small_float_tables");
    ASSERT_NE(tables, nullptr);
    size_t checked = 0;
    for (const auto& [word, dtype] : types) {
        const auto* table = tables->find(word);
        ASSERT_NE(table, nullptr) << word;
        ASSERT_EQ(table->size(), decode_table(dtype).size()) << word;
        for (size_t code = 0; code < table->size(); ++code, ++checked) {
            float expected = static_cast<float>(test::number(*table->items()[code]));
            EXPECT_TRUE(same_bits(decode_small(dtype, static_cast<uint8_t>(code)), expected))
                << word << ' ' << code;
        }
    }
    EXPECT_EQ(checked, 5 * 256u + 16 + 2 * 64);
}

TEST(SmallFloat, encoding_gives_the_golden_codes) {
    const auto* cases = test::format_vectors().find("small_float_encode_cases");
    ASSERT_NE(cases, nullptr);
    ASSERT_GT(cases->size(), 100u);
    for (const auto& each : cases->items()) {
        DType dtype = types.at(std::string(each->find("fmt")->as_string().value()));
        std::string bytes = test::from_hex(each->find("x_f32_hex")->as_string().value());
        float x;
        std::memcpy(&x, bytes.data(), 4);
        EXPECT_EQ(encode_small(dtype, x, Overflow::saturate), each->find("saturating")->as_int().value())
            << each->find("fmt")->text() << ' ' << x;
        EXPECT_EQ(encode_small(dtype, x, Overflow::special), each->find("non_saturating")->as_int().value())
            << each->find("fmt")->text() << ' ' << x;
    }
}

TEST(SmallFloat, every_finite_code_encodes_to_itself) {
    for (const auto& [word, dtype] : types) {
        auto table = decode_table(dtype);
        for (size_t code = 0; code < table.size(); ++code) {
            if (std::isnan(table[code])) continue;
            EXPECT_EQ(encode_small(dtype, table[code], Overflow::special), code) << word;
        }
    }
}

TEST(SmallFloat, midpoints_round_to_the_even_code_and_their_neighbours_to_the_near_one) {
    for (DType dtype : {DType::f8_e4m3, DType::f8_e5m2, DType::f4_e2m1, DType::f6_e2m3, DType::f6_e3m2}) {
        auto table = decode_table(dtype);
        for (size_t code = 0; code + 1 < table.size() / 2; ++code) {
            float low = table[code], high = table[code + 1];
            if (!std::isfinite(high)) break;
            float middle = (low + high) / 2;
            EXPECT_EQ(encode_small(dtype, middle, Overflow::saturate) % 2, 0) << name(dtype) << code;
            EXPECT_EQ(encode_small(dtype, std::nextafter(middle, 0.0f), Overflow::saturate), code);
            EXPECT_EQ(encode_small(dtype, std::nextafter(middle, 1e9f), Overflow::saturate), code + 1);
        }
    }
}

TEST(SmallFloat, power_of_two_scales_have_no_zero) {
    EXPECT_EQ(decode_small(DType::f8_e8m0, 0), 0x1p-127f);
    EXPECT_EQ(encode_small(DType::f8_e8m0, 1.0f, Overflow::saturate), 127);
    EXPECT_EQ(encode_small(DType::f8_e8m0, 0.0f, Overflow::saturate), 0);
    EXPECT_EQ(encode_small(DType::f8_e8m0, 0x1p-140f, Overflow::saturate), 0);
    EXPECT_EQ(encode_small(DType::f8_e8m0, INFINITY, Overflow::saturate), 254);
    EXPECT_EQ(encode_small(DType::f8_e8m0, NAN, Overflow::saturate), 255);
}

TEST(SmallFloat, fnuz_twin_of_an_fn_code_has_half_the_value) {
    for (int code = 0; code < 256; ++code) {
        auto byte = static_cast<uint8_t>(code);
        float fn = decode_small(DType::f8_e4m3, byte);
        float fnuz = decode_small(DType::f8_e4m3fnuz, e4m3fn_to_fnuz(byte));
        if (std::isnan(fn)) {
            EXPECT_TRUE(std::isnan(fnuz));
        } else {
            EXPECT_EQ(fnuz, fn / 2);
        }
    }
}

// Independent of the code under test: the value by its definition, in double.
double half_by_definition(uint16_t code) {
    int exponent = (code >> 10) & 31, mantissa = code & 1023;
    double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    return code & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, every_code_decodes_and_comes_back) {
    for (uint32_t code = 0; code < 65536; ++code) {
        auto half = static_cast<uint16_t>(code);
        float value = f16_to_f32(half);
        if ((code & 0x7C00) == 0x7C00) {
            EXPECT_EQ(std::isnan(value), (code & 0x3FF) != 0);
            if (!std::isnan(value)) {
                EXPECT_EQ(f32_to_f16(value), half);
            }
            continue;
        }
        ASSERT_EQ(static_cast<double>(value), half_by_definition(half)) << code;
        ASSERT_EQ(std::signbit(value), (code & 0x8000) != 0);
        ASSERT_EQ(f32_to_f16(value), half);
    }
}

TEST(Half, rounds_to_nearest_even_between_all_neighbours) {
    for (uint32_t code = 0; code < 0x7BFF; ++code) {
        auto low = static_cast<uint16_t>(code);
        float middle = (f16_to_f32(low) + f16_to_f32(static_cast<uint16_t>(code + 1))) / 2;
        ASSERT_EQ(f32_to_f16(middle), code + (code & 1)) << code;
        ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), code);
        ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), code + 1);
    }
    EXPECT_EQ(f32_to_f16(65519.996f), 0x7BFF);
    EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(NAN))));
}

TEST(BFloat, is_the_upper_half_of_a_float_rounded_to_nearest_even) {
    EXPECT_EQ(f32_to_bf16(1.0f), 0x3F80);
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);  // tie, even
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);  // tie, odd
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808001u)), 0x3F81);
    EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7F800001u)))));
    for (uint32_t code = 0; code < 65536; ++code) {
        float value = bf16_to_f32(static_cast<uint16_t>(code));
        if (!std::isnan(value)) {
            ASSERT_EQ(f32_to_bf16(value), code);
        }
    }
}

}  // namespace
}  // namespace mortise
