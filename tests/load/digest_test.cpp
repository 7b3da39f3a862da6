#include "load/digest.h"

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace mortise::load {
namespace {

using testing::HandMade;
using testing::pseudo_random;

std::string sha(const std::vector<float>& values) { return sha256_hex(std::as_bytes(std::span(values))); }

Digests digest_of(const HandMade& made, int threads = 2) {
    Team team(threads);
    auto digests = digest(made.origin(), team);
    EXPECT_TRUE(digests) << to_string(digests.error());
    return digests ? *digests : Digests{};
}

TEST(Digest, OfAPartAndItsModuleIsTheHashOfItsWeights) {
    HandMade made(testing::open_provider());
    made.random_part("a", 300, 7);
    made.random_vector("norm", 5);
    made.finish();
    const Digests digests = digest_of(made);
    ASSERT_EQ(digests.parts.size(), 1u);
    EXPECT_EQ(digests.parts[0].values, sha(pseudo_random(300 * 7, 1)));
    EXPECT_EQ(digests.parts[0].n, 300u);
    ASSERT_EQ(digests.modules.size(), 1u);
    EXPECT_EQ(digests.modules[0].values, digests.parts[0].values);
    EXPECT_EQ(digests.modules[0].shape, (Shape{300, 7}));
    ASSERT_EQ(digests.vectors.size(), 1u);
    EXPECT_EQ(digests.vectors[0].values, sha(pseudo_random(5, 2)));
}

TEST(Digest, DoesNotDependOnTheThreads) {
    const auto made = testing::tiny_model({.provider = testing::open_provider()});
    const Digests one = digest_of(*made, 1);
    for (int threads : {2, 3}) {
        const Digests many = digest_of(*made, threads);
        EXPECT_EQ(many.model, one.model);
        ASSERT_EQ(many.parts.size(), one.parts.size());
        for (size_t i = 0; i < one.parts.size(); ++i)
            EXPECT_EQ(many.parts[i].name + many.parts[i].spec, one.parts[i].name + one.parts[i].spec);
    }
}

// q and k in one tensor, k's rows first: parts are canonical, the module is as it lies on disk.
TEST(Digest, FusionChangesModulesButNoPart) {
    const auto k = pseudo_random(8, 1), q = pseudo_random(12, 2);
    HandMade apart(testing::open_provider()), fused(testing::open_provider());
    apart.tensor("k.weight", {2, 4}, k);
    apart.tensor("q.weight", {3, 4}, q);
    apart.part("q", {apart.source("q", HandMade::plain("q.weight", 3, 4))}, 3, 4);
    apart.part("k", {apart.source("k", HandMade::plain("k.weight", 2, 4))}, 2, 4);
    apart.finish();
    std::vector<float> both = k;
    both.insert(both.end(), q.begin(), q.end());
    fused.tensor("kq.weight", {5, 4}, both);
    const uint32_t source = fused.source("kq", HandMade::plain("kq.weight", 5, 4));
    fused.part("q", {source}, 3, 4);
    fused.part("k", {source}, 2, 4);
    fused.plan.parts[0].rows_on_disk.offset = 2;
    fused.finish();
    const Digests a = digest_of(apart), f = digest_of(fused);
    EXPECT_EQ(a.model, f.model);
    ASSERT_EQ(f.modules.size(), 1u);
    EXPECT_EQ(f.modules[0].name, "kq");
    EXPECT_EQ(f.modules[0].values, sha(both));
    ASSERT_EQ(a.modules.size(), 2u);
    EXPECT_EQ(a.modules[1].values, sha(q));
}

TEST(Digest, ExpertsAreListedOneByOneUnderTheirNames) {
    HandMade made(testing::open_provider());
    std::vector<uint32_t> sources;
    for (uint64_t e = 0; e < 3; ++e) {
        const std::string name = "experts." + std::to_string(e) + ".up";
        made.tensor(name + ".weight", {4, 5}, pseudo_random(20, 50 + e));
        sources.push_back(made.source(name, HandMade::plain(name + ".weight", 4, 5)));
    }
    made.part("experts.{e}.up", sources, 4, 5);
    made.finish();
    const Digests digests = digest_of(made);
    ASSERT_EQ(digests.parts.size(), 3u);
    ASSERT_EQ(digests.modules.size(), 3u);
    for (size_t e = 0; e < 3; ++e) {
        EXPECT_EQ(digests.parts[e].name, "experts." + std::to_string(e) + ".up");
        EXPECT_EQ(digests.parts[e].values, sha(pseudo_random(20, 50 + e)));
        EXPECT_EQ(digests.modules[e].values, digests.parts[e].values);
    }
}

TEST(Digest, AStackUnderOneNameIsOneModuleInStoredOrder) {
    HandMade made(testing::open_provider());
    const auto file = pseudo_random(2 * 6 * 4, 7);
    made.tensor("stack", {2, 6, 4}, file);
    quant::QuantSpec spec = HandMade::plain("stack", 4, 6);
    spec.extent.experts = spec.fields[0].extent.experts = 2;
    quant::Plane plane;
    plane.bits = 32;
    plane.terms = {{MORTISE_SOURCE_EXPERT, 1, 0, 24 * 32},
                   {MORTISE_SOURCE_COLUMN, 1, 0, 4 * 32},
                   {MORTISE_SOURCE_ROW, 1, 0, 32},
                   {MORTISE_SOURCE_BIT, 1, 0, 1}};
    spec.fields[0].layout.planes = {plane};
    spec.fields[0].shapes = {{2, 6, 4}};
    made.part("experts.{e}.up", {made.source("stack", spec)}, 4, 6);
    made.plan.parts[0].experts = 2;
    made.finish();
    const Digests digests = digest_of(made);
    ASSERT_EQ(digests.modules.size(), 1u);
    EXPECT_EQ(digests.modules[0].shape, (Shape{2, 6, 4}));
    EXPECT_EQ(digests.modules[0].values, sha(file));
    EXPECT_EQ(digests.parts.size(), 2u);
}

TEST(Digest, ADroppedModuleIsListed) {
    HandMade made(testing::open_provider());
    made.random_part("a", 2, 2);
    made.tensor("spare.weight", {2, 2}, pseudo_random(4, 9));
    made.source("spare", HandMade::plain("spare.weight", 2, 2));
    made.plan.sources[1].dropped = true;
    made.finish();
    const Digests digests = digest_of(made);
    ASSERT_EQ(digests.modules.size(), 2u);
    EXPECT_EQ(digests.modules[1].name, "spare");
    EXPECT_EQ(digests.modules[1].values, sha(pseudo_random(4, 9)));
    EXPECT_EQ(digests.parts.size(), 1u);
}

TEST(Digest, OneChangedBitChangesPartModuleAndModel) {
    HandMade made(testing::open_provider());
    made.random_part("a", 4, 4);
    made.random_part("b", 4, 4);
    made.finish();
    const Digests before = digest_of(made);
    made.overwrite("b.weight", 7, {std::byte{0x3B}});
    const Digests after = digest_of(made);
    EXPECT_EQ(before.parts[0].values, after.parts[0].values);
    EXPECT_NE(before.parts[1].values, after.parts[1].values);
    EXPECT_NE(before.parts[1].spec, after.parts[1].spec);
    EXPECT_NE(before.modules[1].values, after.modules[1].values);
    EXPECT_NE(before.model, after.model);
}

}  // namespace
}  // namespace mortise::load
