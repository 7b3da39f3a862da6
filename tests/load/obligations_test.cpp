#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "load/loader.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace mortise::load {
namespace {

using plan::Promise;
using testing::bytes_of;
using testing::HandMade;

constexpr uint64_t rows = 3, columns = 8;

quant::Field field(uint32_t role, const std::string& tensor, quant::Extent extent, DType dtype, Shape shape,
                   uint32_t flags) {
    quant::Field f;
    f.role = role;
    f.tensor = tensor;
    f.extent = extent;
    f.dtypes = {dtype};
    f.shapes = {std::move(shape)};
    f.flags = flags;
    return f;
}

template <class T>
std::vector<std::byte> raw(const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

// An int8 linear with every kind of promise, all kept: scales by group of 4 columns, constant zero points, a
// column map, a zero bias that is dropped, the stored shape, and a scale that nobody uses.
struct Promising {
    Promising() : made(testing::open_provider()) {
        made.tensor("a.codes", DType::i8, {3, 8}, raw(std::vector<int8_t>(24, 5)));
        made.tensor("a.scale", {3, 2}, std::vector<float>(6, 0.5f));
        made.tensor("a.zeros", DType::i8, {3, 2}, raw(std::vector<int8_t>(6, 7)));
        made.tensor("a.g_idx", DType::i32, {8}, raw(std::vector<int32_t>{1, 0, 1, 0, 1, 0, 1, 0}));
        made.tensor("a.bias", {3}, {0, 0, -0.0f});
        made.tensor("a.shape", DType::i64, {2}, raw(std::vector<int64_t>{3, 8}));
        made.tensor("a.spare", {1}, {2});
        quant::QuantSpec spec;
        spec.extent = {1, rows, columns};
        spec.encoding = MORTISE_ENCODING_TWOS;
        spec.bits = 8;
        spec.fields = {
            field(MORTISE_ROLE_CODES, "a.codes", spec.extent, DType::i8, {3, 8}, 0),
            field(MORTISE_ROLE_SCALE, "a.scale", {1, 3, 2}, DType::f32, {3, 2},
                  MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE),
            field(MORTISE_ROLE_ZERO_POINT, "a.zeros", {1, 3, 2}, DType::i8, {3, 2}, MORTISE_FIELD_CONSTANT),
            field(MORTISE_ROLE_G_IDX, "a.g_idx", {1, 1, 8}, DType::i32, {8}, MORTISE_FIELD_BELOW_GROUPS),
            field(MORTISE_ROLE_BIAS, "a.bias", {1, 3, 1}, DType::f32, {3}, MORTISE_FIELD_DROP_IF_ZERO),
            field(MORTISE_ROLE_SHAPE, "a.shape", {1, 1, 2}, DType::i64, {2}, 0),
            field(MORTISE_ROLE_UNUSED, "a.spare", {1, 1, 1}, DType::f32, {1}, MORTISE_FIELD_FINITE),
        };
        spec.fields[2].default_value = 7;
        spec.fields[4].drop_rule = spec.fields[6].drop_rule = "test";
        for (quant::Field& f : spec.fields)
            if (f.dtypes[0] == DType::i8) f.encoding = MORTISE_ENCODING_TWOS, f.bits = 8;
        spec.levels = {{.role = MORTISE_ROLE_SCALE, .row_group = 1, .column_group = 4, .row_splits = {}}};
        const uint32_t source = made.source("a", spec);
        made.part("a", {source}, rows, columns);
        made.plan.parts[0].has_bias = false;
        const Promise promises[] = {Promise::finite,       Promise::positive, Promise::constant,
                                    Promise::below_groups, Promise::zero,     Promise::equals_shape,
                                    Promise::finite};
        const uint32_t fields[] = {1, 1, 2, 3, 4, 5, 6};
        for (int i = 0; i < 7; ++i)
            made.obligation(promises[i], source, fields[i], promises[i] == Promise::constant ? 7 : 0);
        for (uint32_t f : {4u, 5u, 6u}) made.plan.drops.push_back({made.plan.sources[0].tensors[f]});
        made.finish();
    }
    Result<Receipt> verify() {
        Team team(2);
        return load::verify(made.origin(), team);
    }
    // What verify() says after the bytes of one tensor were changed.
    Problem after(const std::string& tensor, uint64_t begin, const std::vector<std::byte>& bytes) {
        made.overwrite(tensor, begin, bytes);
        const auto receipt = verify();
        EXPECT_FALSE(receipt) << tensor;
        return receipt ? Problem{} : receipt.error().first();
    }
    HandMade made;
};

const float nan = std::nanf(""), infinity = INFINITY;

TEST(Obligations, AllKeptAllMet) {
    Promising p;
    const auto receipt = p.verify();
    ASSERT_TRUE(receipt) << to_string(receipt.error());
    EXPECT_EQ(receipt->obligations_met, 7u);
    EXPECT_EQ(receipt->tensors_read, 7u);  // dropped ones too: they were promised something
    EXPECT_EQ(receipt->values_checked, 6u + 6 + 8 + 3 + 2 + 1);
}

TEST(Obligations, AScaleThatIsNotFiniteOrNotPositiveIsCaughtWhereverItLies) {
    for (const float bad : {nan, infinity, -infinity, 0.0f, -0.0f, -1.0f})
        for (uint64_t at = 0; at < 6; ++at) {
            const Problem problem = Promising().after("a.scale", at * 4, bytes_of({bad}));
            const bool finite = std::isfinite(bad);
            EXPECT_EQ(problem.code, finite ? Code::value_range : Code::value_not_finite) << bad;
            EXPECT_EQ(problem.tensor, "a.scale");
            EXPECT_EQ(problem.file, "data.bin");
            EXPECT_NE(problem.found.find("row " + std::to_string(at / 2)), std::string::npos);
        }
}

TEST(Obligations, AZeroPointThatIsNotTheConstantIsCaught) {
    EXPECT_EQ(Promising().after("a.zeros", 5, {std::byte{8}}).code, Code::value_obligation);
}

TEST(Obligations, AScaleThatShouldBeAPowerOfTwoAndIsNotIsCaught) {
    Promising p;
    p.made.plan.obligations[1].promise = Promise::power_of_two;
    p.made.overwrite("a.scale", 0, bytes_of({1, 2, 0.5f, 0x1p-127f, 4, 3}));
    const auto receipt = p.verify();
    ASSERT_FALSE(receipt);
    EXPECT_EQ(receipt.error().code(), Code::value_obligation);
    EXPECT_NE(receipt.error().first().found.find("row 2, column 1"), std::string::npos);
}

TEST(Obligations, AColumnMapOutsideTheGroupsIsCaught) {
    for (const int32_t bad : {2, 100, -2, INT32_MIN}) {
        const Problem problem = Promising().after("a.g_idx", 12, raw(std::vector<int32_t>{bad}));
        EXPECT_EQ(problem.code, Code::value_range) << bad;
        EXPECT_EQ(problem.tensor, "a.g_idx");
    }
}

TEST(Obligations, ADroppedBiasThatIsNotZeroIsCaught) {
    for (const float bad : {1e-30f, nan, -1.0f}) {
        const Problem problem = Promising().after("a.bias", 8, bytes_of({bad}));
        EXPECT_EQ(problem.code, Code::value_obligation) << bad;
        EXPECT_EQ(problem.tensor, "a.bias");
    }
}

TEST(Obligations, AStoredShapeOfAnotherModuleIsCaught) {
    EXPECT_EQ(Promising().after("a.shape", 8, raw(std::vector<int64_t>{9})).code, Code::value_obligation);
}

TEST(Obligations, ValuesOfDroppedRolesAreCheckedToo) {
    const Problem problem = Promising().after("a.spare", 0, bytes_of({nan}));
    EXPECT_EQ(problem.code, Code::value_not_finite);
    EXPECT_EQ(problem.tensor, "a.spare");
}

TEST(Obligations, AnObligationOnThePlainWeightIsCheckedTileByTile) {
    HandMade made(testing::open_provider());
    const uint32_t part = made.random_part("a", 500, 9);
    made.obligation(Promise::finite, made.plan.parts[part].sources[0], 0);
    made.finish();
    Team team(2);
    const auto good = verify(made.origin(), team);
    ASSERT_TRUE(good);
    EXPECT_EQ(good->values_checked, 4500u);
    made.overwrite("a.weight", 4 * (321 * 9 + 4), bytes_of({nan}));
    const auto bad = verify(made.origin(), team);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code(), Code::value_not_finite);
    EXPECT_NE(bad.error().first().found.find("row 321, column 4"), std::string::npos);
}

TEST(Obligations, AFailedOneEndsALoadBeforeAnythingRuns) {
    testing::reset();
    Promising p;
    p.made.overwrite("a.bias", 0, bytes_of({1.0f}));
    Team team(1);
    const auto model = load(p.made.origin(), {}, team);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), Code::value_obligation);
    EXPECT_EQ(testing::seen().allocated, 0u);
}

}  // namespace
}  // namespace mortise::load
