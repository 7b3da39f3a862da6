#include "plan/slow.h"

#include <gtest/gtest.h>

#include "plan/kernel_problem.h"

namespace mortise::plan {
namespace {

// A linear of 1000 x 2000 bound to some kernel; its problem borrows the spec.
struct OneGroup {
    quant::QuantSpec spec;
    LoadPlan plan;
    explicit OneGroup(bool fallback, uint64_t experts = 1, int64_t chosen = 0) {
        spec.extent = {experts, 1000, 2000};
        model::Op op;
        op.kind = chosen ? MORTISE_OP_MOE : MORTISE_OP_LINEAR;
        if (chosen) op.attributes.push_back({.key = MORTISE_ATTR_TOP_K, .integer = chosen});
        const ProblemFacts facts{.max_rows = 4, .threads = 2};
        KernelPlan kernel;
        kernel.problem = KernelProblem::make(op.kind, op, {2000}, {1000},
                                             {{&spec, experts, 1000, 2000, 0, 0, false}}, facts);
        kernel.parts = {0};
        kernel.fallback = fallback;
        kernel.reason = "no fast one";
        plan.parts.emplace_back().name = "model.layers.0.mlp.up_proj";
        plan.kernels.push_back(kernel);
    }
};

TEST(Slow, NothingIsSaidOfOptimizedKernels) { EXPECT_EQ(slow_kernels(OneGroup(false).plan), std::nullopt); }

TEST(Slow, AReferenceKernelIsAnnouncedWithPartReasonAndCost) {
    const auto line = slow_kernels(OneGroup(true).plan);
    ASSERT_TRUE(line);
    for (const char* word :
         {"1 of 1", "model.layers.0.mlp.up_proj", "no fast one", "2 M weights", "s a token"})
        EXPECT_NE(line->find(word), std::string::npos) << word << " in " << *line;
}

TEST(Slow, OnlyTheChosenExpertsCount) {
    const OneGroup all(true), some(true, 64, 2);
    EXPECT_EQ(weights_per_token(some.plan.kernels[0]), 2 * weights_per_token(all.plan.kernels[0]));
}

TEST(Slow, TheCostFallsWithTheThreads) {
    EXPECT_EQ(reference_cost(1'400'000'000, 1), "about 2 s a token");
    EXPECT_EQ(reference_cost(1'400'000'000, 4), "about 0.5 s a token");
}

}  // namespace
}  // namespace mortise::plan
