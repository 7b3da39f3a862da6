// The builder refuses what cannot be a model, at the step that is wrong.
#include "model/builder.h"

#include <gtest/gtest.h>

namespace mortise::model {
namespace {

Linear linear(const std::string& name, uint64_t rows, uint64_t columns) {
    Linear out;
    out.parts = {{name, rows, 0, false}};
    out.columns = columns;
    return out;
}

Op op(uint32_t kind, std::vector<uint32_t> inputs, std::vector<uint32_t> weights = {}) {
    Op out{.kind = kind, .name = "m"};
    out.inputs = std::move(inputs);
    out.weights = std::move(weights);
    return out;
}

// embed -> linear head.
Builder tiny() {
    Builder b;
    const uint32_t table = b.add(Embedding{"embed", 8, 4}).value();
    const uint32_t head = b.add(linear("head", 8, 4)).value();
    const auto x = b.add(op(MORTISE_OP_EMBED, {}, {table}), 1).value();
    const auto logits = b.add(op(MORTISE_OP_LINEAR, x, {head}), 1).value();
    b.set_logits(logits[0]);
    return b;
}

TEST(Builder, GivesWidthsFromTheWeights) {
    const ModuleTree tree = tiny().take().value();
    EXPECT_EQ(tree.widths, (std::vector<uint64_t>{4, 8}));
    EXPECT_EQ(tree.logits, 1u);
}

TEST(Builder, RefusesANameTwice) {
    Builder b;
    ASSERT_TRUE(b.add(linear("a", 4, 4)));
    EXPECT_FALSE(b.add(linear("a", 4, 4)));
}

TEST(Builder, RefusesRowsThatAreNoMultipleOfTheUnits) {
    Builder b;
    Linear l = linear("a", 10, 4);
    l.parts[0].units = 4;
    EXPECT_FALSE(b.add(l));
}

TEST(Builder, RefusesALinearThatDoesNotFitItsInput) {
    Builder b;
    const uint32_t table = b.add(Embedding{"embed", 8, 4}).value();
    const uint32_t wide = b.add(linear("wide", 8, 5)).value();
    const auto x = b.add(op(MORTISE_OP_EMBED, {}, {table}), 1).value();
    EXPECT_FALSE(b.add(op(MORTISE_OP_LINEAR, x, {wide}), 1));
}

TEST(Builder, RefusesAWeightThatNoOperatorUses) {
    Builder b = tiny();
    ASSERT_TRUE(b.add(Vector{"lonely", 1, 4, Partition::replicated, 0}));
    EXPECT_FALSE(std::move(b).take());
}

TEST(Builder, RefusesFusionsThatOverlapOrLeaveRows) {
    Linear l;
    l.parts = {{"q", 4, 0, false}, {"k", 2, 0, false}};
    l.columns = 4;
    l.fusions = {{"qk", 6, {RowMap{0, {}}, RowMap{3, {}}}, false}};
    EXPECT_FALSE(Builder().add(l)) << "rows 3 is in both";
    l.fusions = {{"qk", 7, {RowMap{0, {}}, RowMap{4, {}}}, false}};
    EXPECT_FALSE(Builder().add(l)) << "row 6 is in none";
    l.fusions = {{"qk", 6, {RowMap{0, {}}, RowMap{4, {}}}, false}};
    EXPECT_TRUE(Builder().add(l));
}

TEST(Builder, RefusesTwoAttentionsOnOneCache) {
    Builder b;
    const uint32_t table = b.add(Embedding{"embed", 8, 4}).value();
    const auto x = b.add(op(MORTISE_OP_EMBED, {}, {table}), 1).value();
    Op attention = op(MORTISE_OP_ATTENTION, {x[0], x[0], x[0]});
    for (uint32_t key : {MORTISE_ATTR_HEADS, MORTISE_ATTR_KV_HEADS})
        attention.attributes.push_back({key, 1, 0, {}});
    attention.attributes.push_back({MORTISE_ATTR_HEAD_DIM, 4, 0, {}});
    attention.attributes.push_back({MORTISE_ATTR_LAYER, 0, 0, {}});
    ASSERT_TRUE(b.add(attention, 1));
    const auto y = b.add(attention, 1).value();
    b.set_logits(y[0]);
    EXPECT_FALSE(std::move(b).take());
}

TEST(RowMap, TurnsPairsIntoHalves) {
    // head of 4: file rows 0 1 2 3 hold rows 0 2 1 3.
    const RowMap map{0, {{1, 2, 2}, {2, 2, 1}, {4, 0, 4}}};
    EXPECT_EQ(map(0), 0u);
    EXPECT_EQ(map(1), 2u);
    EXPECT_EQ(map(2), 1u);
    EXPECT_EQ(map(3), 3u);
    EXPECT_EQ(map(5), 6u);
}

}  // namespace
}  // namespace mortise::model
