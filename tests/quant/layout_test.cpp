#include "quant/layout.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/codes.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

using testing::plane;

constexpr uint32_t ROW = MORTISE_SOURCE_ROW, COLUMN = MORTISE_SOURCE_COLUMN, BIT = MORTISE_SOURCE_BIT,
                   EXPERT = MORTISE_SOURCE_EXPERT, COLUMNS = MORTISE_SOURCE_COLUMN_STREAM,
                   FLAT = MORTISE_SOURCE_FLAT;

// The definition, element by element.
bool is_one_to_one(const Layout& layout, Extent extent, uint32_t bits, uint64_t tensor_bits) {
    std::set<int64_t> seen;
    for (uint64_t e = 0; e < extent.experts; ++e) {
        for (uint64_t r = 0; r < extent.rows; ++r) {
            for (uint64_t c = 0; c < extent.columns; ++c) {
                for (uint32_t b = 0; b < bits; ++b) {
                    int64_t at = bit_address(layout, extent, bits, e, r, c, b);
                    if (at < 0 || at >= static_cast<int64_t>(tensor_bits) || !seen.insert(at).second)
                        return false;
                }
            }
        }
    }
    return true;
}

struct Made {
    Layout layout;
    Extent extent;
    uint32_t bits = 0;
    uint64_t tensor_bits = 0;
};

// A valid layout: mixed-radix digits of each axis, laid out in a random order, with some padding.
Made random_layout(std::mt19937& random) {
    auto pick = [&](uint64_t low, uint64_t high) {
        return std::uniform_int_distribution<uint64_t>(low, high)(random);
    };
    Made made;
    made.bits = static_cast<uint32_t>(pick(1, 6));
    std::vector<Term> terms;
    std::vector<uint64_t> counts;
    auto axis = [&](uint32_t source) {
        uint64_t extent = 1, digits = pick(1, 3);
        for (uint64_t i = 0; i < digits; ++i) {
            uint64_t count = pick(2, 4);
            terms.push_back({source, extent, i + 1 < digits || pick(0, 1) ? count : 0, 0});
            counts.push_back(count);
            extent *= count;
        }
        return extent;
    };
    made.extent = {pick(0, 3) ? 1 : axis(EXPERT), 1, 1};
    uint64_t kind = pick(0, 3);
    if (kind == 0) {
        uint64_t all = axis(FLAT);
        for (made.extent.columns = pick(1, all); all % made.extent.columns;) --made.extent.columns;
        made.extent.rows = all / made.extent.columns;
    } else {
        made.extent.rows = axis(ROW);
        if (kind != 1) made.extent.columns = axis(COLUMN);
    }
    if (kind == 1) {  // dense bits along the columns, cut into words
        made.extent.columns = pick(1, 9);
        uint64_t stream = made.extent.columns * made.bits, word = pick(2, 8);
        terms.push_back({COLUMNS, 1, word, 0});
        counts.push_back(word);
        terms.push_back({COLUMNS, word, 0, 0});
        counts.push_back((stream + word - 1) / word);
    } else {
        terms.push_back({BIT, 1, 0, 0});
        counts.push_back(made.bits);
    }
    std::vector<size_t> order(terms.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    int64_t stride = 1, offset = static_cast<int64_t>(pick(0, 5));
    for (size_t i : order) {
        terms[i].stride = stride;
        int64_t span = stride * static_cast<int64_t>(counts[i] - 1);
        stride = span + stride + static_cast<int64_t>(pick(0, 2));
        if (pick(0, 4) == 0) {
            offset += span;
            terms[i].stride = -terms[i].stride;
        }
    }
    made.layout = plane(made.bits, std::move(terms), offset);
    made.tensor_bits = static_cast<uint64_t>(stride + offset) + pick(0, 7);
    return made;
}

// Changes one number so that the layout is usually wrong.
void spoil(Made& made, std::mt19937& random) {
    auto pick = [&](uint64_t low, uint64_t high) {
        return std::uniform_int_distribution<uint64_t>(low, high)(random);
    };
    Plane& plane = made.layout.planes.front();
    Term& term = plane.terms[pick(0, plane.terms.size() - 1)];
    switch (pick(0, 6)) {
        case 0: term.stride = static_cast<int64_t>(pick(0, 12)) - 4; break;
        case 1: term.div = pick(1, 6); break;
        case 2: term.mod = pick(0, 5); break;
        case 3: plane.offset = static_cast<int64_t>(pick(0, 30)) - 15; break;
        case 4: term.source = static_cast<uint32_t>(pick(1, 7)); break;
        case 5: made.tensor_bits -= std::min(made.tensor_bits, pick(1, 20)); break;
        default: made.extent.rows += 1; break;
    }
}

TEST(Proof, accepts_every_well_formed_layout) {
    std::mt19937 random(1);
    for (int i = 0; i < 1500; ++i) {
        Made made = random_layout(random);
        auto proof = prove(made.layout, made.extent, made.bits, made.tensor_bits);
        ASSERT_TRUE(proof) << to_string(proof.error());
        ASSERT_TRUE(is_one_to_one(made.layout, made.extent, made.bits, made.tensor_bits));
        EXPECT_EQ(proof->padding_bits, made.tensor_bits - made.extent.experts * made.extent.rows *
                                                              made.extent.columns * made.bits);
    }
}

TEST(Proof, accepts_no_layout_that_enumeration_refutes) {
    std::mt19937 random(2);
    int refuted = 0;
    for (int i = 0; i < 6000; ++i) {
        Made made = random_layout(random);
        spoil(made, random);
        bool good = is_one_to_one(made.layout, made.extent, made.bits, made.tensor_bits);
        auto proof = prove(made.layout, made.extent, made.bits, made.tensor_bits);
        ASSERT_TRUE(good || !proof);
        refuted += !good;
        if (!proof) {
            EXPECT_EQ(proof.error().code(), Code::layout_invalid);
        }
    }
    EXPECT_GT(refuted, 2000);  // else the test would say nothing
}

TEST(Proof, finds_two_planes_that_share_a_bit) {
    Layout good{{{.bits = 4, .offset = 0, .terms = {{COLUMN, 1, 2, 4}, {COLUMN, 2, 0, 16}, {BIT, 1, 0, 1}}},
                 {.bits = 2, .offset = 8, .terms = {{COLUMN, 1, 2, 2}, {COLUMN, 2, 0, 16}, {BIT, 1, 0, 1}}}}};
    Extent extent{1, 1, 8};
    EXPECT_TRUE(prove(good, extent, 6, 64));
    Layout bad = good;
    bad.planes[1].offset = 6;
    EXPECT_FALSE(is_one_to_one(bad, extent, 6, 64));
    EXPECT_FALSE(prove(bad, extent, 6, 64));
}

TEST(Proof, costs_nothing_for_huge_tensors) {
    Extent extent{256, 1u << 20, 1u << 20};
    auto n = static_cast<int64_t>(extent.rows), k = static_cast<int64_t>(extent.columns);
    Layout layout = plane(4, {{ROW, 1, 2, 16},
                              {ROW, 2, 4, 4},
                              {ROW, 8, 0, 32},
                              {COLUMN, 1, 0, n * 4},
                              {EXPERT, 1, 0, n * k * 4},
                              {BIT, 1, 0, 1}});
    EXPECT_TRUE(prove(layout, extent, 4, extent.experts * extent.rows * extent.columns * 4));
    EXPECT_FALSE(prove(layout, extent, 4, extent.experts * extent.rows * extent.columns * 4 - 8));
}

TEST(Proof, refuses_numbers_that_would_overflow) {
    Extent extent{1, 4, 4};
    int64_t huge = int64_t{1} << 62;
    EXPECT_FALSE(
        prove(plane(4, {{ROW, 1, 0, huge}, {COLUMN, 1, 0, 4}, {BIT, 1, 0, 1}}), extent, 4, ~uint64_t{0}));
    EXPECT_FALSE(prove(plane(4, {{ROW, 1, 0, 16}, {COLUMN, 1, 0, 4}, {BIT, 1, 0, 1}}),
                       {1u << 31, 1u << 31, 1u << 31}, 4, ~uint64_t{0}));
    EXPECT_FALSE(prove(plane(4, {{ROW, 0, 0, 16}, {COLUMN, 1, 0, 4}, {BIT, 1, 0, 1}}), extent, 4, 64));
    uint64_t wide = uint64_t{1} << 63;
    EXPECT_FALSE(
        prove(plane(4, {{ROW, 1, wide, 16}, {ROW, wide, wide, 1}, {COLUMN, 1, 0, 4}, {BIT, 1, 0, 1}}),
              {1, 1u << 20, 4}, 4, 100));
}

// Random bytes, all rows from the last one on.
void expect_definition(const Made& made, uint64_t expert, uint64_t column0, uint64_t columns,
                       std::mt19937& random) {
    std::vector<std::byte> bytes((made.tensor_bits + 7) / 8), copy(bytes.size());
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    std::vector<uint64_t> rows;
    for (uint64_t r = made.extent.rows; r-- > 0;) rows.push_back(r);
    Copier copier(made.layout, made.extent, made.bits, column0, columns);
    std::vector<uint8_t> narrow(rows.size() * columns), again(narrow.size());
    std::vector<uint64_t> wide(narrow.size());
    copier.extract(bytes, expert, rows, narrow.data());
    copier.extract(bytes, expert, rows, wide.data());
    for (size_t at = 0; at < narrow.size(); ++at) {
        uint64_t expected = 0;
        for (uint32_t b = 0; b < made.bits; ++b) {
            int64_t address = bit_address(made.layout, made.extent, made.bits, expert, rows[at / columns],
                                          column0 + at % columns, b);
            uint64_t bit =
                static_cast<uint64_t>(bytes[static_cast<size_t>(address / 8)]) >> (address % 8) & 1;
            expected |= bit << b;
        }
        ASSERT_EQ(narrow[at], expected);
        ASSERT_EQ(wide[at], expected);
    }
    copier.deposit(copy, expert, rows, narrow.data());
    copier.extract(copy, expert, rows, again.data());
    ASSERT_EQ(again, narrow);
}

TEST(Copier, agrees_with_the_definition_and_deposits_what_it_extracts) {
    std::mt19937 random(3);
    for (int i = 0; i < 600; ++i) {
        Made made = random_layout(random);
        uint64_t column0 = random() % made.extent.columns,
                 columns = 1 + random() % (made.extent.columns - column0);
        expect_definition(made, random() % made.extent.experts, column0, columns, random);
    }
}

// Each of the ways in which elements are unpacked many at a time, with ends that are no multiple of anything.
TEST(Copier, agrees_with_the_definition_on_words_bytes_and_blocks) {
    constexpr uint64_t N = 24, K = 520;  // more than one pass of columns
    const std::vector<Made> all = {
        // words of eight rows in an order of their own, columns outside
        {plane(4, {{ROW, 1, 2, 16}, {ROW, 2, 4, 4}, {ROW, 8, 0, 32}, {COLUMN, 1, 0, N * 4}, {BIT, 1, 0, 1}}),
         {1, N, K},
         4,
         N * K * 4},
        // words of eight or four columns, rows inside
        {plane(4, {{COLUMN, 1, 8, 4}, {COLUMN, 8, 0, N * 32}, {ROW, 1, 0, 32}, {BIT, 1, 0, 1}}),
         {1, N, K},
         4,
         N * K * 4},
        {plane(8, {{COLUMN, 1, 4, 8}, {COLUMN, 4, 0, N * 32}, {ROW, 1, 0, 32}, {BIT, 1, 0, 1}}),
         {1, N, K},
         8,
         N * K * 8},
        {plane(2, {{COLUMN, 1, 8, 2}, {COLUMN, 8, 0, N * 16}, {ROW, 1, 0, 16}, {BIT, 1, 0, 1}}),
         {1, N, K},
         2,
         N * K * 2},
        // runs of three and five bits, packed without a gap
        {plane(3, {{COLUMN, 1, 8, 3}, {COLUMN, 8, 0, N * 24}, {ROW, 1, 0, 24}, {BIT, 1, 0, 1}}),
         {1, N, K},
         3,
         N * K * 3},
        {plane(5, {{COLUMN, 1, 8, 5}, {COLUMN, 8, 0, N * 40}, {ROW, 1, 0, 40}, {BIT, 1, 0, 1}}),
         {1, N, K},
         5,
         N * K * 5},
        // blocks of low nibbles, then high ones, behind two bytes of something else
        {plane(
             4,
             {{COLUMN, 1, 4, 8}, {COLUMN, 4, 2, 4}, {COLUMN, 8, 0, 48}, {ROW, 1, 0, K * 6}, {BIT, 1, 0, 1}}),
         {1, N, K},
         4,
         N * K * 6},
        // two rows in a byte
        {plane(4, {{COLUMN, 1, 0, 8}, {ROW, 1, 2, 4}, {ROW, 2, 0, K * 8}, {BIT, 1, 0, 1}}),
         {1, N, K},
         4,
         N * K * 4},
        // fields of six bits one byte apart that lie across bytes
        {plane(6, {{COLUMN, 1, 0, 8}, {ROW, 1, 0, K * 8 + 4}, {BIT, 1, 0, 1}}),
         {1, N, K},
         6,
         N * (K * 8 + 4)},
    };
    std::mt19937 random(7);
    for (const Made& made : all) {
        for (uint64_t column0 : {0, 1, 8})
            expect_definition(made, 0, column0, K - column0 - column0 % 2, random);
    }
}

TEST(Window, holds_exactly_what_its_rows_need) {
    std::mt19937 random(4);
    for (int i = 0; i < 600; ++i) {
        Made made = random_layout(random);
        std::vector<std::byte> bytes((made.tensor_bits + 7) / 8), some;
        for (auto& byte : bytes) byte = static_cast<std::byte>(random());
        uint64_t row0 = random() % made.extent.rows, n = 1 + random() % (made.extent.rows - row0);
        uint64_t expert = random() % made.extent.experts, end = 0;
        Window w = window(made.layout, made.extent, made.bits, expert, row0, n);
        for (const ByteRange& range : w.ranges) {
            ASSERT_GE(range.begin, end);
            end = range.begin + range.bytes;
            ASSERT_LE(end, bytes.size());
            some.insert(some.end(), bytes.begin() + static_cast<long>(range.begin),
                        bytes.begin() + static_cast<long>(end));
        }
        ASSERT_EQ(some.size(), w.bytes());
        std::vector<uint64_t> rows(n);
        std::iota(rows.begin(), rows.end(), row0);
        std::vector<uint8_t> whole(n * made.extent.columns), part(whole.size());
        Copier(made.layout, made.extent, made.bits, 0, made.extent.columns)
            .extract(bytes, expert, rows, whole.data());
        Copier(w.layout, made.extent, made.bits, 0, made.extent.columns)
            .extract(some, expert, rows, part.data());
        ASSERT_EQ(part, whole);
    }
}

TEST(Window, of_rows_that_lie_together_is_one_range_of_their_size) {
    Extent extent{4, 128, 256};
    Window w = window({}, extent, 4, 2, 16, 8);
    ASSERT_EQ(w.ranges.size(), 1u);
    EXPECT_EQ(w.ranges[0], (ByteRange{(2 * 128 + 16) * 128, 8 * 128}));
}

TEST(Window, of_rows_spread_over_the_tensor_takes_their_share_only) {
    int64_t n = 1024;
    Extent extent{1, 1024, 512};
    Layout layout = plane(4, {{ROW, 1, 0, 32}, {COLUMNS, 1, 32, 1}, {COLUMNS, 32, 0, n * 32}});
    Window w = window(layout, extent, 4, 0, 64, 32);
    EXPECT_EQ(w.ranges.size(), 64u);
    EXPECT_EQ(w.bytes(), 32u * 512 / 2);
}

TEST(DisjointFields, of_one_tensor_are_told_from_overlapping_ones) {
    const auto& v = testing::vector("gguf_q4_K");
    QuantSpec spec = testing::spec_of(v);
    for (const Field& a : spec.fields) {
        for (const Field& b : spec.fields) {
            bool apart = prove_disjoint(a.layout, a.extent, a.bits, b.layout, b.extent, b.bits).has_value();
            EXPECT_EQ(apart, a.role != b.role) << role_name(a.role) << " " << role_name(b.role);
        }
    }
}

}  // namespace
}  // namespace mortise::quant
