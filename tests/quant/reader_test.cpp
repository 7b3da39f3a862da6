#include "quant/reader.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>

#include "base/codes.h"
#include "base/small_float.h"
#include "quant/decode.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

// A module made by hand: tensors by role.
struct Made {
    QuantSpec spec;
    std::map<uint32_t, std::vector<std::byte>> bytes;

    template <class T>
    Field& add(uint32_t role, Extent extent, DType dtype, const std::vector<T>& values) {
        auto& to = bytes[role];
        to.resize(values.size() * sizeof(T));
        std::memcpy(to.data(), values.data(), to.size());
        Field field;
        field.role = role;
        field.extent = extent;
        field.tensor = std::string(role_name(role));
        field.dtypes = {dtype};
        field.shapes = {{static_cast<int64_t>(values.size())}};
        return spec.fields.emplace_back(field);
    }
    Sources sources() const {
        Sources out;
        for (const Field& field : spec.fields) {
            out[field.role] = {.bytes = bytes.at(field.role), .dtype = field.dtypes.front()};
        }
        return out;
    }
};

// int8 codes 0, 1, 2, ... of [rows][columns], one scale for each of the groups given.
Made int8(uint64_t rows, uint64_t columns, const Level& level, Extent scales, std::vector<float> values) {
    Made made;
    made.spec.extent = {1, rows, columns};
    made.spec.encoding = MORTISE_ENCODING_TWOS;
    made.spec.bits = 8;
    std::vector<int8_t> codes;
    for (uint64_t i = 0; i < rows * columns; ++i) codes.push_back(static_cast<int8_t>(i));
    made.add(MORTISE_ROLE_CODES, made.spec.extent, DType::i8, codes);
    made.add(MORTISE_ROLE_SCALE, scales, DType::f32, values);
    made.spec.levels = {level};
    return made;
}

void expect_weights(const Made& made, const std::function<float(uint64_t, uint64_t)>& weight) {
    auto all = decode_all(made.spec, made.sources());
    ASSERT_TRUE(all) << to_string(all.error());
    for (uint64_t r = 0; r < made.spec.extent.rows; ++r) {
        for (uint64_t c = 0; c < made.spec.extent.columns; ++c) {
            EXPECT_EQ((*all)[r * made.spec.extent.columns + c], weight(r, c)) << r << " " << c;
        }
    }
}

TEST(Reader, gives_each_shard_of_fused_rows_its_own_scale) {
    Made made = int8(6, 2, {.role = MORTISE_ROLE_SCALE, .row_splits = {1, 4, 6}}, {1, 3, 1}, {1, 10, 100});
    expect_weights(made, [](uint64_t r, uint64_t c) {
        return static_cast<float>(r * 2 + c) * (r < 1 ? 1 : r < 4 ? 10 : 100);
    });
}

TEST(Reader, lets_the_last_group_be_short) {
    Made made = int8(2, 5, {.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = 2}, {1, 2, 3},
                     {1, 2, 3, 4, 5, 6});
    expect_weights(
        made, [](uint64_t r, uint64_t c) { return static_cast<float>((r * 5 + c) * (r * 3 + c / 2 + 1)); });
}

TEST(Reader, runs_flat_groups_across_row_ends) {
    Made made =
        int8(4, 6, {.role = MORTISE_ROLE_SCALE, .column_group = 8, .flat = true}, {1, 1, 3}, {1, 10, 100});
    expect_weights(made, [](uint64_t r, uint64_t c) {
        uint64_t at = r * 6 + c;
        return static_cast<float>(at) * (at < 8 ? 1 : at < 16 ? 10 : 100);
    });
}

TEST(Reader, divides_last_whatever_the_order_of_levels) {
    for (bool first : {true, false}) {
        Made made = int8(1, 2, {.role = MORTISE_ROLE_SCALE, .row_group = 1}, {1, 1, 1}, {0.3f});
        Level constant{.role = MORTISE_ROLE_NONE, .divide = true, .constant = 127};
        made.spec.levels.insert(first ? made.spec.levels.begin() : made.spec.levels.end(), constant);
        expect_weights(made, [](uint64_t, uint64_t c) { return static_cast<float>(c) * (0.3f / 127.0f); });
    }
}

TEST(Reader, follows_a_column_map_and_tells_a_plain_one_from_it) {
    Made made =
        int8(1, 4, {.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = 2}, {1, 1, 2}, {1, 10});
    made.add(MORTISE_ROLE_G_IDX, {1, 1, 4}, DType::i32, std::vector<int32_t>{1, 0, 1, 0});
    expect_weights(made, [](uint64_t, uint64_t c) { return static_cast<float>(c * (c % 2 ? 1 : 10)); });
    auto indexed = [&](std::vector<int32_t> map) {
        std::memcpy(made.bytes[MORTISE_ROLE_G_IDX].data(), map.data(), 16);
        auto reader = PartReader::make(made.spec, made.sources(), {});
        EXPECT_TRUE(reader);
        return reader->indexed();
    };
    EXPECT_TRUE(indexed({1, 0, 1, 0}));
    EXPECT_FALSE(indexed({0, 0, 1, 1}));
    EXPECT_FALSE(indexed({0, -1, 1, 1}));  // never set: columns in order
}

TEST(Reader, refuses_a_column_map_that_points_outside) {
    Made made =
        int8(1, 4, {.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = 2}, {1, 1, 2}, {1, 10});
    made.add(MORTISE_ROLE_G_IDX, {1, 1, 4}, DType::i32, std::vector<int32_t>{1, 0, 2, 0});
    auto reader = PartReader::make(made.spec, made.sources(), {});
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code(), Code::value_range);
    EXPECT_NE(to_string(reader.error()).find("2 at column 2"), std::string::npos);
}

TEST(Reader, starts_inside_a_group_with_the_right_phase) {
    Made made =
        int8(1, 8, {.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = 3}, {1, 1, 3}, {1, 10, 100});
    auto reader = PartReader::make(made.spec, made.sources(), {.column0 = 2, .columns = 5});
    ASSERT_TRUE(reader);
    Tile tile;
    std::vector<uint64_t> rows{0};
    ASSERT_TRUE(reader->read({.rows = rows}, tile));
    EXPECT_EQ(tile.view().phase, 2u);
    EXPECT_EQ(tile.view().groups, 3u);
    std::vector<float> out(5);
    decode_tile(tile.view(), out.data());
    EXPECT_EQ(out, (std::vector<float>{2, 30, 40, 50, 600}));
}

TEST(Reader, takes_small_integers_stored_in_bytes_and_refuses_larger_ones) {
    Made made = int8(1, 4, {.role = MORTISE_ROLE_SCALE, .row_group = 1}, {1, 1, 1}, {1});
    made.spec.bits = 4;
    made.bytes[MORTISE_ROLE_CODES] = {std::byte{0xF8}, std::byte{0}, std::byte{7}, std::byte{0xFF}};
    expect_weights(made, [](uint64_t, uint64_t c) { return std::array{-8.0f, 0.0f, 7.0f, -1.0f}[c]; });
    made.bytes[MORTISE_ROLE_CODES][2] = std::byte{8};
    auto all = decode_all(made.spec, made.sources());
    ASSERT_FALSE(all);
    EXPECT_EQ(all.error().code(), Code::value_range);
    EXPECT_NE(to_string(all.error()).find("row 0, column 2"), std::string::npos);
}

TEST(Reader, uses_the_default_of_an_absent_optional_field) {
    Made made = int8(1, 3, {.role = MORTISE_ROLE_SCALE, .row_group = 1}, {1, 1, 1}, {2});
    Field& zero = made.add(MORTISE_ROLE_ZERO_POINT, {1, 1, 1}, DType::i8, std::vector<int8_t>{5});
    made.spec.offset = Offset::zero_point;
    made.spec.zero_map = {.role = MORTISE_ROLE_ZERO_POINT, .row_group = 1};
    expect_weights(made, [](uint64_t, uint64_t c) { return (static_cast<float>(c) - 5) * 2; });
    Sources sources = made.sources();
    sources[MORTISE_ROLE_ZERO_POINT] = {};
    EXPECT_EQ(PartReader::make(made.spec, sources, {}).error().code(), Code::tensor_missing);
    zero.flags = MORTISE_FIELD_OPTIONAL;
    zero.default_value = 1;
    EXPECT_EQ(*decode_all(made.spec, sources), (std::vector<float>{-2, 0, 2}));
}

TEST(Reader, checks_dtype_and_size_of_what_it_gets) {
    Made made = int8(2, 3, {.role = MORTISE_ROLE_SCALE, .row_group = 1}, {1, 2, 1}, {1, 2});
    Sources sources = made.sources();
    sources[MORTISE_ROLE_SCALE].dtype = DType::bf16;
    EXPECT_EQ(PartReader::make(made.spec, sources, {}).error().code(), Code::tensor_dtype);
    sources = made.sources();
    sources[MORTISE_ROLE_CODES].bytes = sources[MORTISE_ROLE_CODES].bytes.first(5);
    EXPECT_EQ(PartReader::make(made.spec, sources, {}).error().code(), Code::layout_invalid);
    sources = made.sources();
    sources[MORTISE_ROLE_SCALE] = {};
    EXPECT_EQ(PartReader::make(made.spec, sources, {}).error().code(), Code::tensor_missing);
}

TEST(Reader, takes_every_expert_with_its_own_scales) {
    Made made;
    made.spec.extent = {3, 2, 4};
    made.spec.encoding = MORTISE_ENCODING_E2M1;
    made.spec.bits = 4;
    std::vector<uint8_t> codes(12);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 37);
    Field& field = made.add(MORTISE_ROLE_CODES, made.spec.extent, DType::u8, codes);
    field.encoding = MORTISE_ENCODING_E2M1;
    field.bits = 4;
    made.add(MORTISE_ROLE_SCALE, {3, 1, 1}, DType::f32, std::vector<float>{1, 2, 4});
    made.spec.levels = {{.role = MORTISE_ROLE_SCALE}};
    auto all = decode_all(made.spec, made.sources());
    ASSERT_TRUE(all) << to_string(all.error());
    const float* values = code_values(MORTISE_ENCODING_E2M1);
    for (size_t i = 0; i < 24; ++i) {
        EXPECT_EQ((*all)[i], values[codes[i / 2] >> (i % 2 * 4) & 15] * static_cast<float>(1 << i / 8));
    }
}

TEST(Reader, reads_plain_weights_of_every_float) {
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
        Made made;
        made.spec.extent = {1, 2, 2};
        made.spec.encoding = MORTISE_ENCODING_AS_DTYPE;
        if (dtype == DType::f64)
            made.add(MORTISE_ROLE_CODES, made.spec.extent, dtype, std::vector<double>{1, -2, 0.5, 3});
        if (dtype == DType::f32)
            made.add(MORTISE_ROLE_CODES, made.spec.extent, dtype, std::vector<float>{1, -2, 0.5, 3});
        if (dtype == DType::f16)
            made.add(MORTISE_ROLE_CODES, made.spec.extent, dtype,
                     std::vector<uint16_t>{0x3C00, 0xC000, 0x3800, 0x4200});
        if (dtype == DType::bf16)
            made.add(MORTISE_ROLE_CODES, made.spec.extent, dtype,
                     std::vector<uint16_t>{0x3F80, 0xC000, 0x3F00, 0x4040});
        EXPECT_EQ(*decode_all(made.spec, made.sources()), (std::vector<float>{1, -2, 0.5, 3})) << name(dtype);
    }
}

TEST(Extras, are_read_by_rows_and_columns_as_numbers) {
    Made made = int8(3, 4, {.role = MORTISE_ROLE_SCALE}, {1, 1, 1}, {1});
    made.add(MORTISE_ROLE_BIAS, {1, 3, 1}, DType::bf16, std::vector<uint16_t>{0x3F80, 0x4000, 0x4040});
    made.add(MORTISE_ROLE_PRE_SCALE, {1, 1, 4}, DType::f16,
             std::vector<uint16_t>{0x3C00, 0x4000, 0x4200, 0x4400});
    std::vector<uint64_t> rows{2, 0};
    auto extras = read_extras(made.spec, made.sources(), 0, rows, 1, 2);
    ASSERT_TRUE(extras);
    EXPECT_EQ(extras->bias, (std::vector<float>{3, 1}));
    EXPECT_EQ(extras->pre_scale, (std::vector<float>{2, 3}));
    mortise_extras abi = extras->abi();
    EXPECT_EQ(abi.bias[0], 3.0f);
    EXPECT_EQ(abi.rotation, nullptr);
}

struct Content {
    uint32_t flag;
    std::vector<float> good, bad;
    Code code;
};
TEST(Contents, keep_their_promises_or_are_named) {
    for (const Content& c :
         {Content{MORTISE_FIELD_FINITE, {1, -1, 0}, {1, NAN, 0}, Code::value_not_finite},
          Content{MORTISE_FIELD_FINITE, {1, 2, 3}, {1, 2, INFINITY}, Code::value_not_finite},
          Content{MORTISE_FIELD_POSITIVE, {1, 2, 3}, {1, 0, 3}, Code::value_range},
          Content{MORTISE_FIELD_POSITIVE, {1, 2, 3}, {1, NAN, 3}, Code::value_range},
          Content{MORTISE_FIELD_DROP_IF_ZERO, {0, -0.0f, 0}, {0, 0, 1e-30f}, Code::value_obligation},
          Content{MORTISE_FIELD_POWER_OF_TWO, {1, 0x1p-127f, 256}, {1, 3, 4}, Code::value_obligation},
          Content{MORTISE_FIELD_POWER_OF_TWO, {1, 2, 4}, {1, -2, 4}, Code::value_obligation},
          Content{MORTISE_FIELD_CONSTANT, {8, 8, 8}, {8, 7, 8}, Code::value_obligation},
          Content{MORTISE_FIELD_BELOW_GROUPS, {0, 1, 3}, {0, 4, 1}, Code::value_range},
          Content{MORTISE_FIELD_BELOW_GROUPS, {0, 1, 3}, {0, -2, 1}, Code::value_range}}) {
        Made made;
        Field& field = made.add(MORTISE_ROLE_SCALE, {1, 1, 3}, DType::f32, c.good);
        field.flags = c.flag;
        field.default_value = 8;
        ContentRules rules = content_rules(field, 4);
        auto good = check_contents(field, made.sources()[MORTISE_ROLE_SCALE], rules, 0, 0, 1);
        ASSERT_TRUE(good) << to_string(good.error());
        EXPECT_EQ(*good, 3u);
        std::memcpy(made.bytes[MORTISE_ROLE_SCALE].data(), c.bad.data(), 12);
        auto bad = check_contents(field, made.sources()[MORTISE_ROLE_SCALE], rules, 0, 0, 1);
        ASSERT_FALSE(bad) << c.flag;
        EXPECT_EQ(bad.error().code(), c.code);
        EXPECT_EQ(bad.error().first().tensor, "scale");
        EXPECT_NE(bad.error().first().found.find("column"), std::string::npos);
    }
}

TEST(Contents, of_small_floats_have_not_a_numbers_too) {
    for (auto [dtype, bad] : {std::pair{DType::f8_e4m3, 0xFF},
                              {DType::f8_e5m2, 0x7C},
                              {DType::f8_e8m0, 0xFF},
                              {DType::f8_e4m3fnuz, 0x80}}) {
        Made made;
        Field& field = made.add(MORTISE_ROLE_SCALE, {1, 1, 2}, dtype, std::vector<uint8_t>{0x38, 0x40});
        field.flags = MORTISE_FIELD_FINITE;
        auto check = [&] {
            return check_contents(field, made.sources()[MORTISE_ROLE_SCALE], content_rules(field, 1), 0, 0,
                                  1);
        };
        EXPECT_TRUE(check()) << name(dtype);
        made.bytes[MORTISE_ROLE_SCALE][1] = static_cast<std::byte>(bad);
        EXPECT_FALSE(check()) << name(dtype);
    }
}

}  // namespace
}  // namespace mortise::quant
