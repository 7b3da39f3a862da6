#include "base/dtype.h"

#include <gtest/gtest.h>

#include "base/checked.h"
#include "mortise/abi.h"

namespace mortise {
namespace {

TEST(DType, numbers_are_those_of_the_plugin_border) {
    EXPECT_EQ(static_cast<int>(DType::bool_), MORTISE_DTYPE_BOOL);
    EXPECT_EQ(static_cast<int>(DType::bf16), MORTISE_DTYPE_BF16);
    EXPECT_EQ(static_cast<int>(DType::u32), MORTISE_DTYPE_U32);
    EXPECT_EQ(static_cast<int>(DType::c64), MORTISE_DTYPE_C64);
    EXPECT_EQ(static_cast<int>(DType::f8_e4m3), MORTISE_DTYPE_F8_E4M3);
    EXPECT_EQ(static_cast<int>(DType::f8_e8m0), MORTISE_DTYPE_F8_E8M0);
    EXPECT_EQ(static_cast<int>(DType::f4_e2m1), MORTISE_DTYPE_F4_E2M1);
    EXPECT_EQ(static_cast<int>(DType::f6_e3m2), MORTISE_DTYPE_F6_E3M2);
    EXPECT_EQ(dtype_count, MORTISE_DTYPE_F6_E3M2);
}

TEST(DType, every_name_reads_back) {
    for (int i = 1; i <= dtype_count; ++i) {
        auto dtype = static_cast<DType>(i);
        EXPECT_EQ(parse_dtype(name(dtype)), dtype);
    }
    EXPECT_EQ(name(DType::f4_e2m1), "F4");
    EXPECT_EQ(bits(DType::f4_e2m1), 4);
    EXPECT_EQ(bits(DType::f6_e2m3), 6);
    EXPECT_EQ(bits(DType::bool_), 8);
    EXPECT_EQ(bits(DType::c64), 64);
    EXPECT_FALSE(parse_dtype("bf16"));
    EXPECT_FALSE(parse_dtype("F128"));
    EXPECT_FALSE(parse_dtype(""));
}

TEST(DType, kinds_are_told_apart) {
    EXPECT_TRUE(is_float(DType::bf16));
    EXPECT_TRUE(is_float(DType::f8_e4m3));
    EXPECT_FALSE(is_float(DType::i32));
    EXPECT_FALSE(is_float(DType::c64));
    EXPECT_TRUE(is_small_float(DType::f8_e8m0));
    EXPECT_FALSE(is_small_float(DType::f16));
    EXPECT_FALSE(is_small_float(DType::u8));
}

TEST(Shape, prints_and_counts) {
    EXPECT_EQ(to_string(Shape{2, 3}), "[2,3]");
    EXPECT_EQ(to_string(Shape{}), "[]");
    EXPECT_EQ(to_string(DType::f32, {256, 1}), "F32 [256,1]");
    EXPECT_EQ(elements({}), 1u);
    EXPECT_EQ(elements({2, 3, 4}), 24u);
    EXPECT_EQ(elements({0, 5}), 0u);
    EXPECT_FALSE(elements({-1}));
    EXPECT_FALSE(elements({int64_t{1} << 62, 4, 2}));
}

TEST(Shape, bytes_are_exact_or_nothing) {
    EXPECT_EQ(dense_bytes(DType::f4_e2m1, {2, 4}), 4u);
    EXPECT_FALSE(dense_bytes(DType::f4_e2m1, {3}));
    EXPECT_EQ(dense_bytes(DType::f6_e2m3, {4}), 3u);
    EXPECT_EQ(dense_bytes(DType::f64, {2}), 16u);
    EXPECT_FALSE(dense_bytes(DType::f64, {int64_t{1} << 60}));
}

TEST(Checked, remembers_an_overflow_to_the_end) {
    EXPECT_EQ((Checked(6) * 7 + 1).get(), 43u);
    EXPECT_FALSE((Checked(uint64_t{1} << 63) * 2).get());
    EXPECT_FALSE((Checked(~uint64_t{0}) + 1).get());
    EXPECT_FALSE(((Checked(~uint64_t{0}) + 1) * 0).get());
    EXPECT_EQ(divide_up(~uint64_t{0}, 2), uint64_t{1} << 63);
    EXPECT_EQ(divide_up(0, 3), 0u);
}

}  // namespace
}  // namespace mortise
