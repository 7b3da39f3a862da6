#include "mortise/sdk/quant.h"

#include <gtest/gtest.h>

#include "mortise/sdk/float8.h"
#include "mortise/sdk/writer.h"
#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

uint64_t address(const mortise_layout& layout, uint64_t row, uint64_t column, uint64_t bit = 0) {
    const mortise_plane& plane = layout.planes[0];
    uint64_t at = plane.offset;
    for (uint32_t t = 0; t < plane.n_terms; ++t) {
        const mortise_term& term = plane.terms[t];
        const uint64_t source = term.source == MORTISE_SOURCE_ROW      ? row
                                : term.source == MORTISE_SOURCE_COLUMN ? column
                                                                       : bit;
        const uint64_t digit = term.mod == 0 ? source / term.div : source / term.div % term.mod;
        at += digit * term.stride;
    }
    return at;
}

TEST(Layout, PutsTheEvenRowsOfAWordFirst) {
    // An example of this packing: rows 0..7 holding 0..7 give the word 0x75316420.
    const mortise_layout layout = row_words_even_first(16);
    uint64_t word = 0;
    for (uint64_t row = 0; row < 8; ++row) word |= row << address(layout, row, 0);
    EXPECT_EQ(word, 0x75316420u);
    EXPECT_EQ(address(layout, 8, 0), 32u);
    EXPECT_EQ(address(layout, 0, 1), 64u) << "16 rows are two words";
    EXPECT_EQ(address(layout, 0, 1, 3), 67u);
}

TEST(Layout, TransposesElementsOfAnyWidth) {
    EXPECT_EQ(address(column_major(16, 5), 2, 3), 16u * (3 * 5 + 2));
    EXPECT_EQ(address(column_major(32, 5), 0, 1), 160u);
}

TEST(SpecBuilder, GivesLevelsTheExtentOfTheirGrid) {
    Spec spec(1, 6, 100);
    spec.codes("w", MORTISE_ENCODING_UNSIGNED, 4, {MORTISE_DTYPE_I32}, {shape_of({6, 13})});
    spec.level(MORTISE_ROLE_SCALE, "s", 1, 32, float_dtypes, {shape_of({6, 4})});
    spec.offsets(MORTISE_ROLE_ZERO_POINT, "z", 0, 0, {MORTISE_DTYPE_I32}, {shape_of({})});
    const mortise_spec& abi = spec.abi();
    ASSERT_EQ(abi.n_fields, 3u);
    EXPECT_EQ(abi.fields[1].rows, 6u);
    EXPECT_EQ(abi.fields[1].columns, 4u) << "the last group is short";
    EXPECT_EQ(abi.fields[2].rows * abi.fields[2].columns, 1u);
    EXPECT_EQ(abi.offset_kind, 2u);
    EXPECT_EQ(abi.n_levels, 1u);
}

TEST(SpecBuilder, KeepsItsStringsWhenItIsMoved) {
    Spec spec = float8_rows(4, 8, "model.layers.0.self_attn.q_proj.weight",
                            "model.layers.0.self_attn.q_proj.weight_scale");
    Spec moved = std::move(spec);
    EXPECT_EQ(view(moved.abi().fields[0].tensor), "model.layers.0.self_attn.q_proj.weight");
    EXPECT_EQ(view(moved.abi().fields[1].tensor), "model.layers.0.self_attn.q_proj.weight_scale");
}

TEST(SpecBuilder, AcceptsAScalePerRowAsVectorAndAsColumn) {
    Spec spec = float8_rows(4, 8, "w", "s");
    const mortise_field& scale = *spec.find(MORTISE_ROLE_SCALE);
    ASSERT_EQ(scale.n_shapes, 2u);
    EXPECT_EQ(scale.shapes[0].rank + scale.shapes[1].rank, 3u);
    EXPECT_EQ(scale.flags, MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE);
    EXPECT_EQ(spec.find(MORTISE_ROLE_BIAS), nullptr);
}

TEST(SpecBuilder, DropsABiasOnlyIfItIsZero) {
    Spec spec(1, 4, 8);
    add_zero_bias(spec, "b", 4);
    EXPECT_TRUE(spec.find(MORTISE_ROLE_BIAS)->flags & MORTISE_FIELD_DROP_IF_ZERO);
    EXPECT_EQ(view(spec.find(MORTISE_ROLE_BIAS)->drop_rule), "zero_bias");
}

TEST(SpecBuilder, TakesATransposedPlainWeight) {
    Spec spec = plain(1, 4, 8, "w", MORTISE_DTYPE_F32, true);
    const mortise_field& codes = *spec.find(MORTISE_ROLE_CODES);
    EXPECT_EQ(codes.shapes[0].dims[0], 8);
    EXPECT_EQ(address(codes.layout, 1, 2), 32u * (2 * 4 + 1));
}

Options options(std::vector<std::pair<std::string, std::string>> given) {
    std::vector<mortise_option> list;
    for (const auto& [key, value] : given) list.push_back({str(key), str(value)});
    return Options(list.data(), list.size());
}

TEST(WriterOptions, AreTakenOnceAndRefusedWhenNobodyWantsThem) {
    Options o = options({{"g64", ""}, {"compute", "f32"}, {"odd", ""}});
    EXPECT_EQ(o.take_number('g', 128), 64u);
    EXPECT_EQ(o.take_number('g', 128), 128u);
    EXPECT_EQ(o.take_dtype("compute"), uint32_t{MORTISE_DTYPE_F32});
    EXPECT_EQ(o.take_dtype("compute"), 0u);
    EXPECT_THROW(o.finish("g128"), Refused);
    EXPECT_TRUE(o.take_flag("odd"));
    EXPECT_NO_THROW(o.finish("g128"));
}

TEST(WriterOptions, RefuseAnUnknownDtypeAndAnAbsurdNumber) {
    EXPECT_THROW(options({{"compute", "f8"}}).take_dtype("compute"), Refused);
    Options huge = options({{"g99999999999999999999", ""}});
    EXPECT_EQ(huge.take_number('g', 128), 128u);
    EXPECT_THROW(huge.finish("g128"), Refused);
}

}  // namespace
}  // namespace mortise::sdk
