// Every known format, bit for bit.
#include "quant/vectors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "quant/decode.h"

namespace mortise::quant {
namespace {

using testing::Vector;

class FormatVector : public ::testing::TestWithParam<std::string> {};

void expect_bits(const std::vector<float>& found, const std::vector<float>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(expected[i]))
            << "element " << i << ": " << found[i] << " instead of " << expected[i];
    }
}

TEST_P(FormatVector, decodes_bit_for_bit) {
    const Vector& v = testing::vector(GetParam());
    QuantSpec spec = testing::spec_of(v);
    auto weights = decode_all(spec, testing::sources_of(v, spec));
    ASSERT_TRUE(weights) << to_string(weights.error());
    expect_bits(*weights, testing::expected_floats(v, v.id == "modelopt_w4a8_awq" ? "w_int4" : "w"));
}

TEST_P(FormatVector, survives_the_border) {
    const Vector& v = testing::vector(GetParam());
    QuantSpec spec = testing::spec_of(v);
    AbiSpec abi(spec);
    auto back = from_abi(abi.abi());
    ASSERT_TRUE(back) << to_string(back.error());
    EXPECT_EQ(*back, spec);
    EXPECT_FALSE(spec.describe().empty());
}

TEST_P(FormatVector, gives_the_same_weights_column_range_by_column_range) {
    const Vector& v = testing::vector(GetParam());
    QuantSpec spec = testing::spec_of(v);
    Sources sources = testing::sources_of(v, spec);
    auto whole = decode_all(spec, sources);
    ASSERT_TRUE(whole);
    std::vector<uint64_t> rows;
    for (uint64_t r = spec.extent.rows; r-- > 0;) rows.push_back(r);  // any order of rows
    for (uint64_t first : {uint64_t{0}, uint64_t{1}, spec.extent.columns / 2}) {
        uint64_t columns = std::min<uint64_t>(spec.extent.columns - first, spec.extent.columns / 2 + 1);
        auto reader = PartReader::make(spec, sources, {.column0 = first, .columns = columns});
        ASSERT_TRUE(reader) << to_string(reader.error());
        Tile tile;
        ASSERT_TRUE(reader->read({.rows = rows}, tile));
        std::vector<float> part(rows.size() * columns), expected;
        decode_tile(tile.view(), part.data());
        for (uint64_t r : rows) {
            const float* row = whole->data() + r * spec.extent.columns + first;
            expected.insert(expected.end(), row, row + columns);
        }
        expect_bits(part, expected);
    }
}

TEST_P(FormatVector, reads_codes_through_windows) {
    const Vector& v = testing::vector(GetParam());
    QuantSpec spec = testing::spec_of(v);
    Sources sources = testing::sources_of(v, spec);
    auto whole = decode_all(spec, sources);
    ASSERT_TRUE(whole);
    FieldBytes codes = sources[MORTISE_ROLE_CODES];
    sources[MORTISE_ROLE_CODES] = {};
    auto reader = PartReader::make(spec, sources, {.need_codes = false});
    ASSERT_TRUE(reader) << to_string(reader.error());
    const Field& field = *spec.find(MORTISE_ROLE_CODES);
    uint32_t bits = field.stored_as(codes.dtype).second;
    for (uint64_t row = 0; row < spec.extent.rows; row += 2) {
        std::vector<uint64_t> rows{row};
        if (row + 1 < spec.extent.rows) rows.push_back(row + 1);
        Window w = window(field.layout, spec.extent, bits, 0, row, rows.size());
        std::vector<std::byte> bytes;
        for (const ByteRange& range : w.ranges) {
            ASSERT_LE(range.begin + range.bytes, codes.bytes.size());
            auto piece = codes.bytes.subspan(range.begin, range.bytes);
            bytes.insert(bytes.end(), piece.begin(), piece.end());
        }
        Tile tile;
        auto status =
            reader->read({.rows = rows}, {.bytes = bytes, .dtype = codes.dtype, .window = &w.layout}, tile);
        ASSERT_TRUE(status) << to_string(status.error());
        std::vector<float> part(rows.size() * spec.extent.columns);
        decode_tile(tile.view(), part.data());
        const float* from = whole->data() + row * spec.extent.columns;
        expect_bits(part, {from, from + part.size()});
    }
}

std::vector<std::string> ids() {
    std::vector<std::string> out;
    for (const Vector& v : testing::vectors()) out.push_back(v.id);
    return out;
}

INSTANTIATE_TEST_SUITE_P(all, FormatVector, ::testing::ValuesIn(ids()),
                         [](const auto& one) { return one.param; });

TEST(FormatVectors, are_all_there) { EXPECT_EQ(ids().size(), 54u); }

TEST(ExecutionCast, rounds_stored_weights_to_what_is_executed) {
    const Vector& v = testing::vector("modelopt_w4a8_awq");
    QuantSpec spec = testing::spec_of(v);
    auto reader = PartReader::make(spec, testing::sources_of(v, spec), {.cast = true});
    ASSERT_TRUE(reader);
    std::vector<uint64_t> rows{0, 1, 2, 3};
    Tile tile;
    ASSERT_TRUE(reader->read({.rows = rows}, tile));
    std::vector<float> weights(32);
    decode_tile(tile.view(), weights.data());
    expect_bits(weights, testing::expected_floats(v, "w_after_fp8"));
}

}  // namespace
}  // namespace mortise::quant
