#include "engine/text/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace mortise::text {
namespace {

using Logits = std::vector<float>;

std::map<uint32_t, int> histogram(SamplingOptions options, const Logits& logits, int draws,
                                  const std::vector<uint32_t>& seen = {}) {
    Sampler sampler(options);
    std::map<uint32_t, int> counts;
    for (int i = 0; i < draws; ++i) ++counts[sampler.next(logits, seen).value()];
    return counts;
}

std::set<uint32_t> kept(SamplingOptions options, const Logits& logits) {
    std::set<uint32_t> ids;
    for (const auto& [id, count] : histogram(options, logits, 4000)) ids.insert(id);
    return ids;
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
    Sampler sampler({.temperature = 0});
    EXPECT_EQ(sampler.next(Logits{0, 3, 1, 3}, {}).value(), 1u);
    EXPECT_EQ(sampler.draws(), 0u);
}

TEST(Sampler, DrawsInProportionToTheSoftmaxOverTemperature) {
    const Logits logits{std::log(1.f), std::log(2.f), std::log(5.f)};
    const auto counts = histogram({.seed = 1}, logits, 80000);
    EXPECT_NEAR(counts.at(0), 10000, 400);
    EXPECT_NEAR(counts.at(1), 20000, 500);
    EXPECT_NEAR(counts.at(2), 50000, 600);
    const auto sharp = histogram({.temperature = 0.5f, .seed = 1}, logits, 30000);  // 1 : 4 : 25
    EXPECT_NEAR(sharp.at(0), 1000, 150);
    EXPECT_NEAR(sharp.at(2), 25000, 400);
}

TEST(Sampler, TopKKeepsWhatEqualsTheKth) {
    EXPECT_EQ(kept({.top_k = 1}, {1, 2, 2, 0}), (std::set<uint32_t>{1, 2}));
    EXPECT_EQ(kept({.top_k = 3}, {1, 2, 2, 0}), (std::set<uint32_t>{0, 1, 2}));
    EXPECT_EQ(kept({.top_k = 99}, {1, 2}), (std::set<uint32_t>{0, 1}));
}

TEST(Sampler, TopPKeepsTheTokenThatReachesP) {
    const Logits logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
    EXPECT_EQ(kept({.top_p = 0.4f}, logits), (std::set<uint32_t>{0}));
    EXPECT_EQ(kept({.top_p = 0.6f}, logits), (std::set<uint32_t>{0, 1}));
    EXPECT_EQ(kept({.top_p = 0.9f}, logits), (std::set<uint32_t>{0, 1, 2}));
    EXPECT_EQ(kept({.top_p = 1e-6f}, logits), (std::set<uint32_t>{0}));
}

TEST(Sampler, MinPIsRelativeToTheHighest) {
    const Logits logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
    EXPECT_EQ(kept({.min_p = 0.5f}, logits), (std::set<uint32_t>{0, 1}));
    EXPECT_EQ(kept({.min_p = 0.3f}, logits), (std::set<uint32_t>{0, 1, 2}));
    EXPECT_EQ(kept({.min_p = 1}, logits), (std::set<uint32_t>{0}));
}

TEST(Sampler, FiltersFollowEachOtherInOrder) {
    // Top-k leaves 0.5 and 0.3, of which 0.5 is 0.625: top-p 0.6 keeps it alone only when it comes second.
    const Logits logits{std::log(0.5f), std::log(0.3f), std::log(0.2f)};
    EXPECT_EQ(kept({.top_k = 2, .top_p = 0.6f}, logits), (std::set<uint32_t>{0}));
    // Temperature comes before top-p: at 2 the probabilities are 0.415, 0.322, 0.263.
    EXPECT_EQ(kept({.temperature = 2, .top_p = 0.45f}, logits), (std::set<uint32_t>{0, 1}));
    // The penalty comes before everything: 2 / 2 < 1.5.
    Sampler greedy({.temperature = 0, .repetition_penalty = 2});
    EXPECT_EQ(greedy.next(Logits{2, 1.5f}, std::vector<uint32_t>{0, 0}).value(), 1u);
}

TEST(Sampler, RepetitionPenaltyPushesNegativeLogitsDownToo) {
    Sampler greedy({.temperature = 0, .repetition_penalty = 2});
    EXPECT_EQ(greedy.next(Logits{-1, -1.5f}, std::vector<uint32_t>{0, 77}).value(), 1u);
}

TEST(Sampler, EqualSeedsGiveEqualTokensAndOtherSeedsOthers) {
    const Logits logits(100, 0.f);
    const auto run = [&](uint64_t seed) {
        Sampler sampler({.seed = seed});
        std::vector<uint32_t> ids;
        for (int i = 0; i < 50; ++i) ids.push_back(sampler.next(logits, {}).value());
        return ids;
    };
    EXPECT_EQ(run(5), run(5));
    EXPECT_NE(run(5), run(6));
}

TEST(Sampler, TheGeneratorIsTheOneThatIsDocumented) {
    // First outputs of SplitMix64 with seed 1234567: 6457827717110365317, 3203168211198807973.
    EXPECT_EQ(random_unit(1234567, 0), static_cast<double>(6457827717110365317u >> 11) * 0x1p-53);
    EXPECT_EQ(random_unit(1234567, 1), static_cast<double>(3203168211198807973u >> 11) * 0x1p-53);
}

TEST(Sampler, NamesTheLogitThatIsNotFinite) {
    Sampler sampler({});
    EXPECT_EQ(sampler.next(Logits{0, NAN}, {}).error().code(), Code::value_not_finite);
    EXPECT_EQ(sampler.next(Logits{INFINITY, 0}, {}).error().code(), Code::value_not_finite);
    EXPECT_EQ(sampler.next(Logits{-INFINITY}, {}).error().code(), Code::value_not_finite);
    EXPECT_EQ(sampler.next(Logits{}, {}).error().code(), Code::value_not_finite);
    EXPECT_EQ(sampler.next(Logits{-INFINITY, 1}, {}).value(), 1u);
}

TEST(Sampler, OptionsOutOfRangeAreAllNamed) {
    EXPECT_TRUE(check_sampling({}));
    const auto status = check_sampling({.temperature = -1, .top_p = 0, .min_p = 2, .repetition_penalty = 0});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().problems().size(), 4u);
    EXPECT_EQ(status.error().code(), Code::usage);
    EXPECT_FALSE(check_sampling({.temperature = NAN}));
}

}  // namespace
}  // namespace mortise::text
