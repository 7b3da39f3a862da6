// The rules by which rows of a cache are rounded, on values worked out by hand.
#include "mortise/sdk/cache_rows.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/small_float.h"

namespace mortise::sdk {
namespace {

std::vector<float> there_and_back(const CacheRow& rows, const std::vector<float>& x,
                                  std::vector<uint8_t>* codes = nullptr) {
    std::vector<uint8_t> row(rows.bytes());
    std::vector<float> out(x.size());
    rows.write(x.data(), row.data());
    rows.read(row.data(), out.data());
    if (codes) *codes = row;
    return out;
}

TEST(CacheRows, DividesByTheScaleAndRoundsToEven) {
    // 1 / 0.02 = 50, half way between 48 and 52: the even code is 0x64.
    const CacheRow rows{.encoding = MORTISE_ENCODING_E4M3, .width = 1, .scale = 0.02f};
    std::vector<uint8_t> codes;
    EXPECT_EQ(there_and_back(rows, {1.0f}, &codes)[0], 0.96f);
    EXPECT_EQ(codes[0], 0x64);
}

TEST(CacheRows, SaturatesInsteadOfWritingANaN) {
    const CacheRow rows{.encoding = MORTISE_ENCODING_E4M3, .width = 3};
    EXPECT_EQ(there_and_back(rows, {465, -1e30f, 449}), (std::vector<float>{448, -448, 448}));
    const CacheRow wide{.encoding = MORTISE_ENCODING_E5M2, .width = 2};
    EXPECT_EQ(there_and_back(wide, {1e30f, -60000}), (std::vector<float>{57344, -57344}));
    const CacheRow whole{.encoding = MORTISE_ENCODING_TWOS, .width = 2, .scale = 0.5f};
    EXPECT_EQ(there_and_back(whole, {1e30f, -1e30f}), (std::vector<float>{63.5f, -64}));
}

TEST(CacheRows, AddsTheZeroPointBeforeItRounds) {
    const CacheRow rows{.encoding = MORTISE_ENCODING_TWOS, .width = 3, .scale = 0.5f, .zero = 3};
    std::vector<uint8_t> codes;
    EXPECT_EQ(there_and_back(rows, {1.25f, -1.5f, 0.25f}, &codes), (std::vector<float>{1.5f, -1.5f, 0.5f}));
    EXPECT_EQ(codes, (std::vector<uint8_t>{6, 0, 4})) << "5.5 and 3.5 go to the even code";
}

TEST(CacheRows, TakesTheBiasOffAndPutsItBack) {
    const std::array<float, 2> bias = {100, -100};
    const CacheRow rows{.encoding = MORTISE_ENCODING_E4M3, .width = 2, .bias = bias.data()};
    EXPECT_EQ(there_and_back(rows, {101, -99.5f}), (std::vector<float>{101, -99.5f}))
        << "without it 104 and -96";
}

TEST(CacheRows, GivesEachBlockOfSixteenAScaleOfItsOwn) {
    std::vector<float> x(32, 0.0f);
    x[0] = 6, x[1] = -3, x[2] = 0.5f, x[16] = 0.006f;
    const CacheRow rows{.encoding = MORTISE_ENCODING_E2M1, .width = 32, .scale = 0.001f};
    std::vector<uint8_t> codes;
    there_and_back(rows, x, &codes);
    ASSERT_EQ(codes.size(), 18u);
    EXPECT_EQ(codes[16], 0x7E) << "6 / (6 * 0.001) = 1000 saturates at 448";
    EXPECT_EQ(codes[17], 0x38) << "0.006 / (6 * 0.001) = 1";
    EXPECT_EQ(codes[8], 7) << "the even element lies low";
}

TEST(CacheRows, KeepsABlockOfZerosAsZerosUnderAScaleOfOne) {
    const CacheRow rows{.encoding = MORTISE_ENCODING_E2M1, .width = 16, .scale = 0.25f};
    std::vector<uint8_t> codes;
    EXPECT_EQ(there_and_back(rows, std::vector<float>(16, 0.0f), &codes), std::vector<float>(16, 0.0f));
    EXPECT_EQ(codes[8], 0x38);
}

TEST(CacheRows, NeverLetsAScaleOfABlockBecomeZero) {
    const CacheRow rows{.encoding = MORTISE_ENCODING_E2M1, .width = 16, .scale = 1};
    std::vector<uint8_t> codes;
    there_and_back(rows, std::vector<float>(16, 1e-9f), &codes);
    EXPECT_EQ(codes[8], 0x01) << "2^-9, the least that e4m3 holds";
}

TEST(SmallFloats, AgreeWithTheCoresOnEveryCodeAndBetweenThem) {
    const std::pair<SmallFloat, DType> types[] = {
        {small_e4m3, DType::f8_e4m3}, {small_e5m2, DType::f8_e5m2}, {small_e2m1, DType::f4_e2m1}};
    for (const auto& [type, dtype] : types) {
        for (int code = 0; code <= type.largest; ++code) {
            const float value = from_small(type, static_cast<uint8_t>(code));
            ASSERT_EQ(value, decode_small(dtype, static_cast<uint8_t>(code))) << code;
            for (float x : {value, -value, value * 1.03f, value * 1.0625f, std::nextafter(value, 1e9f),
                            value / 3 + 1e-5f})
                ASSERT_EQ(to_small(type, x), encode_small(dtype, x, Overflow::saturate)) << x;
        }
    }
}

}  // namespace
}  // namespace mortise::sdk
