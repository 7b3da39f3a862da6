#include "mortise/sdk/float_groups.h"

#include <gtest/gtest.h>

#include "quant/spec.h"

namespace mortise::sdk {
namespace {

// What the core makes of a spec: it checks the extents of fields against their maps.
quant::QuantSpec read(Spec& spec) {
    auto out = quant::from_abi(spec.abi());
    EXPECT_TRUE(out) << out.error().problems().front().what;
    return out ? *out : quant::QuantSpec{};
}

TEST(FloatGroups, HaveAnE4M3ScaleUnderAGlobalOneThatMultipliesOrDivides) {
    for (const bool divides : {false, true}) {
        Spec spec = float_groups({.rows = 6, .columns = 64, .group = 16, .exponents = false}, "c", "s");
        add_global_scale(spec, "g", divides);
        const quant::QuantSpec seen = read(spec);
        ASSERT_EQ(seen.levels.size(), 2u);
        EXPECT_EQ(seen.levels[1].divide, divides);
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->extent, (quant::Extent{1, 6, 4}));
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->encoding, uint32_t{MORTISE_ENCODING_E4M3});
        EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE2)->accepts(Shape{})) << "a scalar without axes too";
        EXPECT_TRUE(seen.find(MORTISE_ROLE_CODES)->accepts(Shape{6, 32}));
    }
}

TEST(FloatGroups, ReadsScaleBytesOfMicroscaledCodesAsExponents) {
    Spec spec = float_groups({.rows = 6, .columns = 64, .bits = 8}, "c", "s");
    const quant::QuantSpec seen = read(spec);
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->encoding, uint32_t{MORTISE_ENCODING_E8M0});
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(DType::u8));
    EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->accepts(DType::f32))
        << "a byte copied into a float is no exponent";
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->has(MORTISE_FIELD_FINITE)) << "255 is no scale";
}

TEST(FloatGroups, KnowTheShapesOfWordsAndOfBlocks) {
    Spec words = float_groups({.rows = 6, .columns = 64, .word = 32}, "c", "s");
    EXPECT_TRUE(read(words).find(MORTISE_ROLE_CODES)->accepts(Shape{6, 8}));
    EXPECT_TRUE(read(words).find(MORTISE_ROLE_CODES)->accepts(DType::u32));
    EXPECT_FALSE(read(words).find(MORTISE_ROLE_CODES)->accepts(DType::u8));
    EXPECT_TRUE(read(words).find(MORTISE_ROLE_SCALE)->accepts(DType::u8));
    Spec bytes =
        float_groups({.rows = 6, .columns = 64, .group = 16, .bits = 8, .exponents = false}, "c", "s");
    EXPECT_FALSE(read(bytes).find(MORTISE_ROLE_CODES)->accepts(DType::u8)) << "bytes of no known meaning";
    EXPECT_FALSE(read(bytes).find(MORTISE_ROLE_SCALE)->accepts(DType::u8));
    Spec blocks = float_groups({.experts = 3, .rows = 6, .columns = 64, .in_blocks = true}, "c", "s");
    EXPECT_TRUE(read(blocks).find(MORTISE_ROLE_CODES)->accepts(Shape{3, 6, 2, 16}));
    EXPECT_TRUE(read(blocks).find(MORTISE_ROLE_SCALE)->accepts(Shape{3, 6, 2}));
}

TEST(FloatGroups, GiveEachExpertItsGlobalScale) {
    Spec spec =
        float_groups({.experts = 3, .rows = 6, .columns = 32, .group = 16, .exponents = false}, "c", "s");
    add_global_scale(spec, "g", false);
    EXPECT_EQ(read(spec).find(MORTISE_ROLE_SCALE2)->extent, (quant::Extent{3, 1, 1}));
}

TEST(FloatGroups, MustFillGroupsAndWords) {
    EXPECT_TRUE((FloatGroups{.rows = 1, .columns = 64}.fits()));
    EXPECT_FALSE((FloatGroups{.rows = 1, .columns = 48}.fits()));
    EXPECT_FALSE((FloatGroups{.rows = 1, .columns = 4, .group = 4, .word = 32}.fits()));
}

TEST(FloatInputs, FollowTheSenseOfTheirGlobalScale) {
    Spec spec = float_groups({.rows = 6, .columns = 64, .group = 16, .exponents = false}, "c", "s");
    add_float4_inputs(spec, "i", true);
    EXPECT_EQ(read(spec).activation.second_level, 2u);
    EXPECT_EQ(read(spec).activation.zero_scale, 0.125);
    Spec other = float_groups({.rows = 6, .columns = 64, .group = 16, .exponents = false}, "c", "s");
    add_float4_inputs(other, "i", false);
    EXPECT_EQ(read(other).activation.second_level, 1u);
    EXPECT_EQ(read(other).activation.scale_floor, 0x1p-9);
    other->activation = microscaled_inputs(8, MORTISE_EXPONENT_CEIL);
    EXPECT_EQ(read(other).activation.divisor, 448);
}

}  // namespace
}  // namespace mortise::sdk
