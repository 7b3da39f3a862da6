// Tensor-parallel plans: any rank of any size in milliseconds, and the ranks together are the whole.
#include <gtest/gtest.h>

#include "golden_plan.h"

namespace mortise::plan {
namespace {

std::vector<std::shared_ptr<const Planned>> ranks_of(const std::string& name, uint32_t size) {
    std::vector<std::shared_ptr<const Planned>> ranks;
    for (uint32_t rank = 0; rank < size; ++rank) {
        Options options;
        options.rank = rank;
        options.size = size;
        options.bind_kernels = false;
        auto planned = plan_of(golden(name), options);
        EXPECT_TRUE(planned) << to_string(planned.error());
        if (planned) ranks.push_back(*planned);
    }
    return ranks;
}

// The ragged one has 3 query heads and 320 intermediate rows: no size shares both evenly.
std::vector<uint32_t> sizes_of(const std::string& name) {
    if (name == "gptq4_g128_ragged") return {};
    if (name.starts_with("mo_")) return {};  // one head
    return {2, 4};
}

TEST(Ranks, TogetherAreTheWholeForEveryFormat) {
    for (const std::string& name : golden_names()) {
        const auto whole = plan_of(golden(name));
        if (!whole) continue;  // held apart: the scheme may not be installed
        for (uint32_t size : sizes_of(name)) {
            const auto ranks = ranks_of(name, size);
            ASSERT_EQ(ranks.size(), size) << name;
            std::vector<const LoadPlan*> plans;
            for (const auto& rank : ranks) plans.push_back(&rank->plan());
            const Status status = prove_union(plans, (*whole)->plan());
            EXPECT_TRUE(status) << name << " over " << size << ": " << to_string(status.error());
        }
    }
}

TEST(Ranks, AMissingRankIsFound) {
    const auto whole = plan_of(golden("llama"));
    ASSERT_TRUE(whole);
    const auto ranks = ranks_of("llama", 4);
    ASSERT_EQ(ranks.size(), 4u);
    EXPECT_FALSE(prove_union({&ranks[0]->plan(), &ranks[1]->plan(), &ranks[3]->plan()}, (*whole)->plan()));
}

TEST(Ranks, KeyValueHeadsAreReplicatedWhenThereAreFewerThanRanks) {
    // 4 query heads, 2 key/value heads, 4 ranks: ranks 0 and 1 hold key/value head 0.
    const auto ranks = ranks_of("llama", 4);
    const auto rows = [&](uint32_t rank, const std::string& part) {
        for (const PartPlan& each : ranks[rank]->plan().parts)
            if (each.name == part) return each.first_row;
        return ~uint64_t{0};
    };
    EXPECT_EQ(rows(0, "model.layers.0.self_attn.k_proj"), rows(1, "model.layers.0.self_attn.k_proj"));
    EXPECT_NE(rows(1, "model.layers.0.self_attn.k_proj"), rows(2, "model.layers.0.self_attn.k_proj"));
    EXPECT_NE(rows(0, "model.layers.0.self_attn.q_proj"), rows(1, "model.layers.0.self_attn.q_proj"));
}

TEST(Ranks, ASplitThatDoesNotDivideIsRefusedByName) {
    Options options;
    options.size = 3;
    const auto planned = plan_of(golden("llama"), options);
    ASSERT_FALSE(planned);
    EXPECT_EQ(planned.error().code(), Code::partition_indivisible);
    EXPECT_NE(to_string(planned.error()).find("q_proj"), std::string::npos);
}

}  // namespace
}  // namespace mortise::plan
