#include "mortise/sdk/float8.h"

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

TEST(Float8, HasAGridOfScalesThatCoversShortBlocks) {
    Spec spec = float8({.rows = 200, .columns = 300, .block_rows = 128, .block_columns = 128}, "w", "s");
    const quant::QuantSpec seen = read(spec);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->extent, (quant::Extent{1, 2, 3}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(Shape{2, 1, 3, 1}))
        << "ModelOpt keeps the axes within blocks";
    EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->accepts(Shape{3, 2}));
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->flags, MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE);
    EXPECT_EQ(seen.find(MORTISE_ROLE_CODES)->flags, uint32_t{MORTISE_FIELD_FINITE})
        << "NaN codes are a broken producer's";
    EXPECT_EQ(seen.describe(), "e4m3 block 128x128, float scales");
}

TEST(Float8, KeepsTheAxesOfABlockGridApartWhenOneOfThemIsOne) {
    Spec spec = float8({.rows = 100, .columns = 300, .block_rows = 128, .block_columns = 128}, "w", "s");
    const quant::QuantSpec seen = read(spec);
    const quant::Field& scale = *seen.find(MORTISE_ROLE_SCALE);
    EXPECT_TRUE(scale.accepts(Shape{1, 1, 3, 1}));
    EXPECT_FALSE(scale.accepts(Shape{3})) << "squeezed blindly it could mean rows";
    EXPECT_FALSE(scale.accepts(Shape{3, 1}));
}

TEST(Float8, HasOneScaleOrOnePerRowOrOnePerPart) {
    Spec whole = float8({.rows = 6, .columns = 8}, "w", "s"), rows = float8_rows(6, 8, "w", "s");
    EXPECT_EQ(read(whole).find(MORTISE_ROLE_SCALE)->extent, (quant::Extent{1, 1, 1}));
    EXPECT_EQ(read(rows).find(MORTISE_ROLE_SCALE)->extent, (quant::Extent{1, 6, 1}));
    const uint64_t part_rows[] = {3, 2, 1};
    mortise_module fused{};
    fused.experts = 1, fused.rows = 6, fused.columns = 8, fused.n_parts = 3, fused.part_rows = part_rows;
    Spec parts = float8_parts(fused, "w", "s");
    Spec moved = std::move(parts);  // what it points to goes along
    const quant::QuantSpec seen = read(moved);
    EXPECT_EQ(seen.levels[0].row_splits, (std::vector<uint64_t>{3, 5, 6}));
    EXPECT_EQ(seen.describe(), "e4m3 per shard, float scales");
}

TEST(Float8, KeepsTheScalesOfEachExpert) {
    Spec spec =
        float8({.experts = 4, .rows = 64, .columns = 64, .block_rows = 32, .block_columns = 32}, "w", "s");
    const quant::QuantSpec seen = read(spec);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->extent, (quant::Extent{4, 2, 2}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(Shape{4, 2, 2}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_CODES)->accepts(Shape{4, 64, 64}));
}

TEST(Float8, QuantizesInputsByTokenByGroupOrUnderAStoredScale) {
    Spec spec = float8_rows(6, 256, "w", "s");
    spec->activation = float8_tokens();
    EXPECT_EQ(read(spec).activation.granularity, uint32_t{MORTISE_ACTIVATION_TOKEN});
    spec->activation = float8_groups(128, true);
    EXPECT_EQ(read(spec).activation.exponent_rule, uint32_t{MORTISE_EXPONENT_CEIL});
    EXPECT_EQ(read(spec).activation.group, 128u);
    add_float8_input(spec, "x");
    EXPECT_FALSE(read(spec).activation.dynamic);
    EXPECT_TRUE(read(spec).find(MORTISE_ROLE_INPUT_SCALE)->accepts(Shape{}));
}

}  // namespace
}  // namespace mortise::sdk
