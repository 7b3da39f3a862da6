#include "quant/spec.h"

#include <gtest/gtest.h>

#include <cmath>

#include <cstring>
#include <functional>

#include "base/codes.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

QuantSpec good() { return testing::spec_of(testing::vector("gptq4_v1_asym")); }

TEST(Spec, names_itself_by_its_attributes) {
    auto line = [](const char* id) { return testing::spec_of(testing::vector(id)).describe(); };
    EXPECT_EQ(line("gptq4_v1_asym"), "int4 g8 asymmetric, f16 scales, column map");
    EXPECT_EQ(line("fp8_per_channel_ct"), "e4m3 per channel, f32 scales");
    EXPECT_EQ(line("fp8_per_tensor_static"), "e4m3 per tensor, f32 scales");
    EXPECT_EQ(line("fp8_block_ragged_ct_block"), "e4m3 block 2x4, f32 scales");
    EXPECT_EQ(line("ct_nvfp4"), "e2m1 g16, f8_e4m3 / f32 scales");
    EXPECT_EQ(line("modelopt_nvfp4"), "e2m1 g16, f32 x f8_e4m3 scales");
    EXPECT_EQ(line("mlx_affine4"), "int4 per channel affine, bf16 scales");
    EXPECT_EQ(line("gguf_q4_0"), "int4 per channel symmetric, f16 scales");
    EXPECT_EQ(line("modelopt_w4a8_awq"), "int4 g4 symmetric, f32 scales, input pre-scale, executed as e4m3");
}

TEST(Spec, finds_the_finest_column_group_of_all_maps) {
    EXPECT_EQ(testing::spec_of(testing::vector("gguf_q4_K")).column_group(), 32u);
    EXPECT_EQ(testing::spec_of(testing::vector("fp8_per_channel_ct")).column_group(), 4u);  // all columns
    EXPECT_EQ(testing::spec_of(testing::vector("fp8_block_ragged_ct_block")).column_group(), 4u);
    EXPECT_EQ(testing::spec_of(testing::vector("fp8_block_ragged_ct_block")).column_groups(), 2u);
    EXPECT_EQ(testing::spec_of(testing::vector("bnb_nf4")).column_group(), 64u);
    QuantSpec flat = testing::spec_of(testing::vector("bnb_nf4"));
    flat.extent.columns = 48;  // blocks of 64 end inside rows of 48
    EXPECT_EQ(flat.column_group(), 16u);
}

TEST(Spec, knows_whether_rows_differ_in_scale) {
    EXPECT_FALSE(testing::spec_of(testing::vector("fp8_per_tensor_static")).row_scales_vary());
    EXPECT_TRUE(testing::spec_of(testing::vector("fp8_per_channel_ct")).row_scales_vary());
    EXPECT_TRUE(testing::spec_of(testing::vector("bnb_nf4")).row_scales_vary());
}

struct Mistake {
    const char* name;
    std::function<void(QuantSpec&)> make;
    const char* says;
};

// Each of these makes a sound spec unsound; none may pass.
const std::vector<Mistake> mistakes = {
    {"no_codes", [](QuantSpec& s) { s.fields.erase(s.fields.begin()); }, "codes"},
    {"role_twice", [](QuantSpec& s) { s.fields.push_back(s.fields.back()); }, "twice"},
    {"unknown_role", [](QuantSpec& s) { s.fields[1].role = 99; }, "role"},
    {"no_tensor", [](QuantSpec& s) { s.fields[1].tensor.clear(); }, "no tensor"},
    {"no_dtype", [](QuantSpec& s) { s.fields[1].dtypes.clear(); }, "dtype"},
    {"no_shape", [](QuantSpec& s) { s.fields[1].shapes.clear(); }, "shape"},
    {"unknown_flag", [](QuantSpec& s) { s.fields[1].flags = 1u << 20; }, "flag"},
    {"empty_extent", [](QuantSpec& s) { s.extent.rows = 0; }, "extent"},
    {"uncountable", [](QuantSpec& s) { s.extent.rows = ~uint64_t{0} / 2; }, "extent"},
    {"unknown_encoding", [](QuantSpec& s) { s.fields[1].encoding = 77; }, "encoding"},
    {"bits_against_encoding",
     [](QuantSpec& s) { s.fields[1].encoding = MORTISE_ENCODING_F32, s.fields[1].bits = 8; }, "bits"},
    {"wide_codes", [](QuantSpec& s) { s.bits = 12; }, "8 bits"},
    {"plain_with_scale",
     [](QuantSpec& s) {
         s.encoding = MORTISE_ENCODING_BF16;
         s.bits = 16;
     },
     "plain"},
    {"lookup_without_table", [](QuantSpec& s) { s.encoding = MORTISE_ENCODING_LOOKUP; }, "table"},
    {"constant_table_of_integers", [](QuantSpec& s) { s.table.assign(16, 1.0f); }, "table"},
    {"constant_table_too_short",
     [](QuantSpec& s) {
         s.encoding = s.fields[0].encoding = MORTISE_ENCODING_LOOKUP, s.table.assign(8, 1.0f);
     },
     "each code"},
    {"constant_table_not_finite",
     [](QuantSpec& s) {
         s.encoding = s.fields[0].encoding = MORTISE_ENCODING_LOOKUP, s.table.assign(16, NAN);
     },
     "finite"},
    {"level_without_field", [](QuantSpec& s) { s.levels[0].role = MORTISE_ROLE_SCALE2; }, "no field"},
    {"group_against_extent", [](QuantSpec& s) { s.levels[0].column_group = 4; }, "contradicts"},
    {"row_group_against_extent", [](QuantSpec& s) { s.levels[0].row_group = 3; }, "contradicts"},
    {"splits_do_not_end", [](QuantSpec& s) { s.levels[0].row_splits = {2, 5}; }, "splits"},
    {"splits_do_not_ascend", [](QuantSpec& s) { s.levels[0].row_splits = {5, 5, 8}; }, "splits"},
    {"flat_with_map", [](QuantSpec& s) { s.levels[0].flat = true; }, "exclude"},
    {"zero_map_of_another_role", [](QuantSpec& s) { s.zero_map.role = MORTISE_ROLE_SCALE; }, "zero_map"},
    {"sign", [](QuantSpec& s) { s.addend_sign = 0.5; }, "addend_sign"},
    {"infinite_constant", [](QuantSpec& s) { s.offset_constant = INFINITY; }, "finite"},
    {"constant_level_of_zero",
     [](QuantSpec& s) { s.levels.push_back({.role = MORTISE_ROLE_NONE, .constant = 0}); }, "constant"},
    {"four_levels", [](QuantSpec& s) { s.levels.resize(4, {.role = MORTISE_ROLE_NONE, .constant = 2}); },
     "three"},
    {"planes_without_all_bits", [](QuantSpec& s) { s.fields[0].layout.planes[0].bits = 3; }, "planes"},
    {"division_by_zero", [](QuantSpec& s) { s.fields[0].layout.planes[0].terms[0].div = 0; }, "zero"},
    {"word_of_no_whole_fields", [](QuantSpec& s) { s.fields[2].stored_bias_word = 30; }, "word"},
    {"static_activation_without_scale",
     [](QuantSpec& s) { s.activation = {.granularity = 1, .encoding = 3, .bits = 8}; }, "input scale"},
    {"dynamic_activation_without_divisor",
     [](QuantSpec& s) { s.activation = {.granularity = 2, .encoding = 3, .bits = 8, .dynamic = true}; },
     "divisor"},
    {"activation_to_plain",
     [](QuantSpec& s) {
         s.activation = {.granularity = 2, .encoding = 12, .bits = 32, .dynamic = true, .divisor = 1};
     },
     "quantized"},
    {"group_of_no_columns",
     [](QuantSpec& s) {
         s.activation = {.granularity = 3, .encoding = 4, .bits = 4, .dynamic = true, .divisor = 6};
     },
     "group"},
    {"rotation_that_does_not_divide", [](QuantSpec& s) { s.rotation_block = 3; }, "rotation"},
    {"cast_without_scale",
     [](QuantSpec& s) {
         s.has_cast = true;
         s.cast_encoding = MORTISE_ENCODING_E4M3;
     },
     "cast"},
    {"half_a_low_rank", [](QuantSpec& s) { s.fields[3].role = MORTISE_ROLE_LOW_RANK_A; }, "low-rank"},
};

class Mistaken : public ::testing::TestWithParam<size_t> {};
TEST_P(Mistaken, specs_are_refused_at_the_border) {
    const Mistake& mistake = mistakes[GetParam()];
    ASSERT_TRUE(validate(good()));
    QuantSpec spec = good();
    mistake.make(spec);
    auto status = validate(spec);
    ASSERT_FALSE(status) << mistake.name;
    EXPECT_EQ(status.error().code(), Code::plugin_contract);
    EXPECT_NE(to_string(status.error()).find(mistake.says), std::string::npos) << to_string(status.error());
}
INSTANTIATE_TEST_SUITE_P(all, Mistaken, ::testing::Range(size_t{0}, mistakes.size()),
                         [](const auto& one) { return std::string(mistakes[one.param].name); });

TEST(AbiSpec, with_counts_beyond_its_arrays_is_refused) {
    AbiSpec owner(good());
    auto refused = [](const mortise_spec& spec) { return !from_abi(spec).has_value(); };
    mortise_spec spec = *owner;
    spec.n_levels = 4;
    EXPECT_TRUE(refused(spec));
    spec = *owner;
    spec.n_fields = 1000;
    EXPECT_TRUE(refused(spec));
    spec = *owner;
    spec.fields = nullptr;
    EXPECT_TRUE(refused(spec));
    spec = *owner;
    spec.offset_kind = 9;
    EXPECT_TRUE(refused(spec));
    spec = *owner;
    spec.levels[0].n_row_splits = 3;  // and no array
    EXPECT_TRUE(refused(spec));
    std::vector<mortise_field> fields(owner->fields, owner->fields + owner->n_fields);
    spec = *owner;
    spec.fields = fields.data();
    auto with = [&](auto change) {
        auto kept = fields[0];
        change(fields[0]);
        bool out = refused(spec);
        fields[0] = kept;
        return out;
    };
    EXPECT_FALSE(refused(spec));
    EXPECT_TRUE(with([](mortise_field& f) { f.n_dtypes = 8; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.dtypes[0] = 200; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.n_shapes = 5; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.shapes[0].rank = 7; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.layout.n_planes = 4; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.layout.planes[0].n_terms = 11; }));
    EXPECT_TRUE(with([](mortise_field& f) { f.head.size = 8; }));
}

TEST(AbiSpec, of_an_older_writer_lacks_what_came_later) {
    QuantSpec spec = testing::spec_of(testing::vector("bnb_nf4_nested"));
    AbiSpec owner(spec);
    mortise_spec old = *owner;
    old.head.size = offsetof(mortise_spec, scale_addend);
    auto read = from_abi(old);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->scale_addend, 0);
    old.head.size = 64;
    EXPECT_FALSE(from_abi(old));
}

TEST(AbiSpec, of_a_newer_writer_has_larger_fields) {
    AbiSpec owner(good());
    struct Larger {
        mortise_field field;
        uint64_t later;
    };
    std::vector<Larger> fields;
    for (uint32_t i = 0; i < owner->n_fields; ++i) {
        fields.push_back({owner->fields[i], 42});
        fields.back().field.head.size = sizeof(Larger);
    }
    mortise_spec spec = *owner;
    spec.fields = &fields[0].field;
    auto read = from_abi(spec);
    ASSERT_TRUE(read) << to_string(read.error());
    EXPECT_EQ(*read, good());
}

}  // namespace
}  // namespace mortise::quant
