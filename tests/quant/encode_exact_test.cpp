// The same weights under other levels: replicated, merged, folded, split.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/codes.h"
#include "quant/decode.h"
#include "quant/encode.h"

namespace mortise::quant {
namespace {

constexpr uint64_t rows = 4, columns = 64;

Field field(uint32_t role, const char* name, DType dtype, uint64_t r, uint64_t c) {
    Field out;
    out.role = role;
    out.extent = {1, r, c};
    out.tensor = name;
    out.dtypes = {dtype};
    out.shapes = {{static_cast<int64_t>(r), static_cast<int64_t>(c)}};
    return out;
}

// e4m3 codes under the given levels: rows and columns per element; 0 = one for all.
struct LevelShape {
    uint32_t role;
    uint64_t row_group, column_group;
    DType dtype;
};
QuantSpec coded(std::initializer_list<LevelShape> levels) {
    QuantSpec spec;
    spec.extent = {1, rows, columns};
    spec.encoding = MORTISE_ENCODING_E4M3;
    spec.bits = 8;
    Field codes = field(MORTISE_ROLE_CODES, "weight", DType::f8_e4m3, rows, columns);
    codes.encoding = MORTISE_ENCODING_E4M3;
    codes.bits = 8;
    spec.fields = {codes};
    for (const LevelShape& level : levels) {
        uint64_t r = level.row_group ? rows / level.row_group : 1,
                 c = level.column_group ? columns / level.column_group : 1;
        spec.fields.push_back(
            field(level.role, level.role == MORTISE_ROLE_SCALE ? "scale" : "whole", level.dtype, r, c));
        spec.levels.push_back(
            {.role = level.role, .row_group = level.row_group, .column_group = level.column_group});
    }
    return spec;
}

constexpr uint32_t scale = MORTISE_ROLE_SCALE, whole = MORTISE_ROLE_SCALE2;

// Random codes; the scales as given, in the order of their elements.
struct Source {
    std::vector<std::byte> codes, scales, wholes;
    Sources bytes(const QuantSpec& spec) const {
        Sources out;
        out[MORTISE_ROLE_CODES] = {codes, DType::f8_e4m3, nullptr};
        out[scale] = {scales, spec.find(scale)->dtypes[0], nullptr};
        if (spec.find(whole)) out[whole] = {wholes, DType::f32, nullptr};
        return out;
    }
};
std::vector<std::byte> floats(const std::vector<float>& values) {
    std::vector<std::byte> out(values.size() * 4);
    std::memcpy(out.data(), values.data(), out.size());
    return out;
}
Source random_codes() {
    std::mt19937 random(3);
    Source out;
    for (uint64_t i = 0; i < rows * columns; ++i)
        out.codes.push_back(static_cast<std::byte>(random() & 0xF7));  // never NaN
    return out;
}

uint64_t changed(const QuantSpec& from, const Source& source, const QuantSpec& to) {
    auto writer = ModuleWriter::make(to);
    EXPECT_TRUE(writer) << to_string(writer.error());
    auto change = writer->reencode(from, source.bytes(from), {});
    EXPECT_TRUE(change) << to_string(change.error());
    return change ? change->changed : ~uint64_t{0};
}

TEST(Levels, OneScaleForAllBecomesOnePerRowAndBack) {
    const QuantSpec one = coded({{scale, 0, 0, DType::f32}}), each = coded({{scale, 1, 0, DType::f32}});
    Source source = random_codes();
    source.scales = floats({0.0123f});
    EXPECT_EQ(changed(one, source, each), 0u);
    source.scales = floats({0.0123f, 0.0123f, 0.0123f, 0.0123f});
    EXPECT_EQ(changed(each, source, one), 0u);
    source.scales = floats({0.0123f, 0.0123f, 0.0124f, 0.0123f});
    const uint64_t lost = changed(each, source, one);  // one row of four, but for its zeros
    EXPECT_GT(lost, columns / 2);
    EXPECT_LE(lost, columns);
}

TEST(Levels, ScalesOfShardsBecomeScalesOfRows) {
    QuantSpec shards = coded({{scale, 1, 0, DType::f32}});
    shards.levels[0].row_group = 0;
    shards.levels[0].row_splits = {1, 4};
    shards.fields[1].extent = {1, 2, 1};
    shards.fields[1].shapes = {{2}};
    Source source = random_codes();
    source.scales = floats({0.5f, 0.0321f});
    EXPECT_EQ(changed(shards, source, coded({{scale, 1, 0, DType::f32}})), 0u);
    source.scales = floats({0.5f, 0.0321f, 0.0321f, 0.0321f});
    EXPECT_EQ(changed(coded({{scale, 1, 0, DType::f32}}), source, shards), 0u);
}

TEST(Levels, TwoLevelsFoldIntoOneThatHoldsTheirProduct) {
    const QuantSpec two = coded({{whole, 0, 0, DType::f32}, {scale, 1, 16, DType::f8_e4m3}});
    Source source = random_codes();
    source.wholes = floats({0.000731f});
    for (int i = 0; i < 16; ++i) source.scales.push_back(static_cast<std::byte>(0x30 + i));
    EXPECT_EQ(changed(two, source, coded({{scale, 1, 16, DType::f32}})), 0u);
    EXPECT_GT(changed(two, source, coded({{scale, 1, 16, DType::bf16}})), 0u);
}

// The finer groups repeat the coarser ones under the source's own second level, which is no power of two.
TEST(Levels, ASecondLevelIsKeptWhenGroupsGetFiner) {
    const QuantSpec two = coded({{whole, 0, 0, DType::f32}, {scale, 1, 32, DType::f8_e4m3}});
    Source source = random_codes();
    source.wholes = floats({0.000731f});
    for (int i = 0; i < 8; ++i) source.scales.push_back(static_cast<std::byte>(0x38 + i));
    EXPECT_EQ(changed(two, source, coded({{whole, 0, 0, DType::f32}, {scale, 1, 16, DType::f8_e4m3}})), 0u);
}

TEST(Companions, ATargetThatNeedsAStaticInputScaleRefusesASourceWithout) {
    const QuantSpec from = coded({{scale, 0, 0, DType::f32}});
    QuantSpec to = from;
    to.fields.push_back(field(MORTISE_ROLE_INPUT_SCALE, "input_scale", DType::f32, 1, 1));
    to.activation = {.granularity = MORTISE_ACTIVATION_TENSOR,
                     .encoding = MORTISE_ENCODING_E4M3,
                     .bits = 8,
                     .divisor = 448};
    Source source = random_codes();
    source.scales = floats({0.0123f});
    auto writer = ModuleWriter::make(to);
    ASSERT_TRUE(writer) << to_string(writer.error());
    const auto change = writer->reencode(from, source.bytes(from), {});
    ASSERT_FALSE(change);
    EXPECT_EQ(change.error().code(), Code::lossy);
    EXPECT_NE(to_string(change.error()).find("input_scale"), std::string::npos);
}

}  // namespace
}  // namespace mortise::quant
