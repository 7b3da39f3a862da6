#include "load/part_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "load/ledger.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"
#include "quant/decode.h"

namespace mortise::load {
namespace {

using testing::HandMade;
using testing::pseudo_random;

// Puts tiles together: [experts][rows][columns].
struct Collected {
    std::vector<float> values;
    std::vector<int> writes;
    uint64_t tiles = 0;
};

Result<Collected> collect(const Origin& origin, uint32_t part, StreamOptions options) {
    const plan::PartPlan& p = origin.plan.parts[part];
    Collected all;
    all.values.resize(p.experts * p.n_rows * p.n_columns);
    all.writes.resize(p.experts * p.n_rows);
    std::mutex mutex;
    MORTISE_CHECK(for_each_tile(origin, part, options, [&](const mortise_tile& tile) -> Status {
        std::vector<float> decoded(tile.rows * tile.columns);
        quant::decode_tile(tile, decoded.data());
        const std::lock_guard lock(mutex);
        ++all.tiles;
        const uint64_t first = tile.expert * p.n_rows + tile.row;
        std::ranges::copy(decoded, all.values.begin() + static_cast<ptrdiff_t>(first * p.n_columns));
        for (uint64_t r = 0; r < tile.rows; ++r) ++all.writes[first + r];
        return {};
    }));
    return all;
}

float at(const std::vector<float>& values, uint64_t columns, uint64_t row, uint64_t column) {
    return values[row * columns + column];
}

TEST(PartStream, EveryRowComesOnceForAnyTeamAndTile) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 37, 5);
    made.finish();
    const std::vector<float> want = pseudo_random(37 * 5, 1);
    for (const int threads : {0, 1, 2, 3})
        for (const uint32_t row_tile : {0u, 1u, 4u, 16u, 64u}) {
            std::optional<Team> team;
            if (threads) team.emplace(threads);
            const auto got =
                collect(made.origin(), part, {.row_tile = row_tile, .team = team ? &*team : nullptr});
            ASSERT_TRUE(got);
            EXPECT_EQ(got->values, want);
            EXPECT_TRUE(std::ranges::all_of(got->writes, [](int n) { return n == 1; }));
        }
}

TEST(PartStream, TilesStartAtMultiplesOfTheKernelsTile) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 50, 3);
    made.finish();
    Team team(2);
    std::mutex mutex;
    ASSERT_TRUE(for_each_tile(made.origin(), part, {.row_tile = 8, .team = &team},
                              [&](const mortise_tile& tile) -> Status {
                                  const std::lock_guard lock(mutex);
                                  EXPECT_EQ(tile.row % 8, 0u);
                                  EXPECT_TRUE(tile.rows % 8 == 0 || tile.row + tile.rows == 50);
                                  return {};
                              }));
}

TEST(PartStream, WithoutATeamRowsAscend) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 50, 3);
    made.finish();
    uint64_t next = 0;
    ASSERT_TRUE(for_each_tile(made.origin(), part, {}, [&](const mortise_tile& tile) -> Status {
        EXPECT_EQ(tile.row, next);
        next += tile.rows;
        return {};
    }));
    EXPECT_EQ(next, 50u);
}

TEST(PartStream, ARankGetsItsRowsThroughTheRowMapAndItsColumns) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 12, 6);
    plan::PartPlan& p = made.plan.parts[part];
    p.rows_on_disk.digits = {{1, 2, 6}, {2, 0, 1}};  // row r lies at (r % 2) * 6 + r / 2
    p.first_row = 3;
    p.n_rows = 5;
    p.first_column = 2;
    p.n_columns = 3;
    made.finish();
    const auto got = collect(made.origin(), part, {});
    ASSERT_TRUE(got) << to_string(got.error());
    const std::vector<float> file = pseudo_random(12 * 6, 1);
    for (uint64_t r = 0; r < 5; ++r)
        for (uint64_t c = 0; c < 3; ++c)
            EXPECT_EQ(at(got->values, 3, r, c), at(file, 6, (r + 3) % 2 * 6 + (r + 3) / 2, c + 2));
}

TEST(PartStream, OneSourcePerExpertFillsTheBankInOrder) {
    HandMade made(testing::open_provider());
    std::vector<uint32_t> sources;
    std::vector<float> want;
    for (uint64_t e = 0; e < 3; ++e) {
        const std::string name = "experts." + std::to_string(e);
        const auto values = pseudo_random(4 * 5, 100 + e);
        made.tensor(name + ".weight", {4, 5}, values);
        sources.push_back(made.source(name, HandMade::plain(name + ".weight", 4, 5)));
        want.insert(want.end(), values.begin(), values.end());
    }
    const uint32_t part = made.part("experts.{e}", sources, 4, 5);
    made.finish();
    Team team(2);
    const auto got = collect(made.origin(), part, {.team = &team});
    ASSERT_TRUE(got);
    EXPECT_EQ(got->values, want);
}

// A stack kept as [experts][columns][rows]: rows are spread over the tensor, experts are not.
TEST(PartStream, AStackKeptTransposedIsReadExpertByExpert) {
    HandMade made(testing::open_provider());
    const auto file = pseudo_random(3 * 6 * 4, 7);
    made.tensor("stack", {3, 6, 4}, file);
    quant::QuantSpec spec = HandMade::plain("stack", 4, 6);
    spec.extent.experts = spec.fields[0].extent.experts = 3;
    quant::Plane plane;
    plane.bits = 32;
    plane.terms = {{MORTISE_SOURCE_EXPERT, 1, 0, 24 * 32},
                   {MORTISE_SOURCE_COLUMN, 1, 0, 4 * 32},
                   {MORTISE_SOURCE_ROW, 1, 0, 32},
                   {MORTISE_SOURCE_BIT, 1, 0, 1}};
    spec.fields[0].layout.planes = {plane};
    spec.fields[0].shapes = {{3, 6, 4}};
    const uint32_t part = made.part("stack", {made.source("stack", spec)}, 4, 6);
    made.plan.parts[part].experts = 3;
    made.finish();
    Team team(2);
    Ledger ledger(made.plan, made.catalog);
    const auto got = collect(made.origin(), part, {.team = &team, .ledger = &ledger});
    ASSERT_TRUE(got) << to_string(got.error());
    for (uint64_t e = 0; e < 3; ++e)
        for (uint64_t r = 0; r < 4; ++r)
            for (uint64_t c = 0; c < 6; ++c)
                EXPECT_EQ(at(got->values, 6, e * 4 + r, c), file[e * 24 + c * 4 + r]);
    EXPECT_EQ(ledger.reader.bytes_read(), made.catalog.total_bytes());
}

TEST(PartStream, ExtrasFollowTheRowMapAndTheRank) {
    HandMade made(testing::open_provider());
    made.tensor("a.weight", {4, 2}, pseudo_random(8, 1));
    made.tensor("a.bias", {4}, {10, 11, 12, 13});
    quant::QuantSpec spec = HandMade::plain("a.weight", 4, 2);
    quant::Field bias;
    bias.role = MORTISE_ROLE_BIAS;
    bias.extent = {1, 4, 1};
    bias.tensor = "a.bias";
    bias.dtypes = {DType::f32};
    bias.shapes = {{4}};
    spec.fields.push_back(bias);
    const uint32_t part = made.part("a", {made.source("a", spec)}, 4, 2);
    plan::PartPlan& p = made.plan.parts[part];
    p.rows_on_disk.digits = {{1, 2, 2}, {2, 0, 1}};
    p.first_row = 1;
    p.n_rows = 3;
    made.finish();
    quant::Extras extras;
    ASSERT_TRUE(collect(made.origin(), part, {.extras = &extras}));
    EXPECT_EQ(extras.bias, (std::vector<float>{12, 11, 13}));
    p.has_bias = false;
    ASSERT_TRUE(collect(made.origin(), part, {.extras = &extras}));
    EXPECT_TRUE(extras.bias.empty());
}

TEST(PartStream, AnErrorOfTheConsumerEndsTheStream) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 64, 4);
    made.finish();
    Team team(2);
    const auto status =
        for_each_tile(made.origin(), part, {.team = &team},
                      [](const mortise_tile&) -> Status { return fail(Code::lossy, "enough"); });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::lossy);
}

TEST(PartStream, AModuleStreamsInItsOwnRowOrder) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 6, 2);
    made.plan.parts[part].rows_on_disk.digits = {{1, 2, 3}, {2, 0, 1}};
    made.finish();
    std::vector<float> got;
    ASSERT_TRUE(for_each_source_tile(made.origin(), 0, {}, [&](const mortise_tile& tile) -> Status {
        std::vector<float> rows(tile.rows * tile.columns);
        quant::decode_tile(tile, rows.data());
        got.insert(got.end(), rows.begin(), rows.end());
        return {};
    }));
    EXPECT_EQ(got, pseudo_random(12, 1));
}

}  // namespace
}  // namespace mortise::load
