#include "plan/arena.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mortise::plan {
namespace {

// A graph written down as (kind, inputs, output width); every op is one step.
struct Graph {
    model::ModuleTree tree;
    std::vector<Step> steps;
    uint32_t op(uint32_t kind, std::vector<uint32_t> inputs, uint64_t width) {
        model::Op op;
        op.kind = kind;
        op.inputs = std::move(inputs);
        op.outputs = {static_cast<uint32_t>(tree.widths.size())};
        tree.widths.push_back(width);
        steps.push_back({static_cast<uint32_t>(tree.ops.size()), 0, op.outputs, {}});
        tree.ops.push_back(op);
        return op.outputs[0];
    }
};

constexpr uint64_t width = 32, vocabulary = 100, max_rows = 4;

// Embedding, `layers` times (norm, linear, add), norm, head, soft cap.
Graph decoder(uint32_t layers) {
    Graph graph;
    uint32_t x = graph.op(MORTISE_OP_EMBED, {}, width);
    for (uint32_t i = 0; i < layers; ++i) {
        const uint32_t normed = graph.op(MORTISE_OP_NORM, {x}, width);
        x = graph.op(MORTISE_OP_ADD, {x, graph.op(MORTISE_OP_LINEAR, {normed}, width)}, width);
    }
    const uint32_t last = graph.op(MORTISE_OP_NORM, {x}, width);
    graph.tree.logits =
        graph.op(MORTISE_OP_SOFTCAP, {graph.op(MORTISE_OP_LINEAR, {last}, vocabulary)}, vocabulary);
    return graph;
}

bool used_from(const Graph& graph, uint32_t value, uint32_t step) {
    for (uint32_t s = step; s < graph.steps.size(); ++s)
        if (std::ranges::count(graph.tree.ops[graph.steps[s].op].inputs, value)) return true;
    return value == graph.tree.logits;
}

TEST(Arena, AnOutputNeverLiesOnAValueThatIsStillNeeded) {
    const Graph graph = decoder(5);
    const Arena arena = arrange(graph.tree, graph.steps, max_rows);
    for (uint32_t s = 0; s < graph.steps.size(); ++s)
        for (uint32_t value = 0; value < graph.steps[s].outputs[0]; ++value) {
            const uint64_t a = arena.offsets[value], b = arena.offsets[graph.steps[s].outputs[0]];
            if (a == Arena::outside || b == Arena::outside || !used_from(graph, value, s)) continue;
            const uint64_t bytes = max_rows * width * sizeof(float);
            EXPECT_TRUE(a + bytes <= b || b + bytes <= a) << "step " << s << ", value " << value;
        }
}

TEST(Arena, DeeperModelsNeedNoMoreMemory) {
    const Graph shallow = decoder(2), deep = decoder(40);
    const Arena a = arrange(shallow.tree, shallow.steps, max_rows),
                b = arrange(deep.tree, deep.steps, max_rows);
    EXPECT_EQ(a.bytes, b.bytes);
    EXPECT_EQ(a.bytes, 3 * max_rows * width * sizeof(float));  // residual, branch in, branch out
}

TEST(Arena, EverySlotIsAlignedAndInside) {
    const Graph graph = decoder(3);
    const Arena arena = arrange(graph.tree, graph.steps, 3);
    for (uint32_t value = 0; value < graph.tree.widths.size(); ++value) {
        if (arena.offsets[value] == Arena::outside) continue;
        EXPECT_EQ(arena.offsets[value] % Arena::alignment, 0u);
        EXPECT_LE(arena.offsets[value] + 3 * graph.tree.widths[value] * sizeof(float), arena.bytes);
    }
}

TEST(Arena, TheTailIsTheHeadAndWhatFollowsItElementByElement) {
    const Graph graph = decoder(2);
    const Arena arena = arrange(graph.tree, graph.steps, max_rows);
    ASSERT_EQ(arena.tail, graph.steps.size() - 2);
    EXPECT_EQ(arena.tail_input, graph.tree.ops[arena.tail].inputs[0]);
    EXPECT_EQ(arena.offsets[graph.tree.logits], Arena::outside);
}

TEST(Arena, AGraphWhoseLogitsAreUsedTwiceHasNoTail) {
    Graph graph = decoder(1);
    graph.tree.logits = graph.op(MORTISE_OP_ADD, {graph.tree.logits, graph.tree.logits}, vocabulary);
    const Arena arena = arrange(graph.tree, graph.steps, max_rows);
    EXPECT_EQ(arena.tail, none);
    EXPECT_NE(arena.offsets[graph.tree.logits], Arena::outside);
}

}  // namespace
}  // namespace mortise::plan
