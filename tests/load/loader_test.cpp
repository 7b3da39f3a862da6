#include "load/loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "load/memory_limit.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace mortise::load {
namespace {

using testing::guarded_provider;
using testing::HandMade;
using testing::open_provider;

std::shared_ptr<const void> nothing() { return {}; }

class LoaderTest : public ::testing::Test {
  protected:
    void SetUp() override { testing::reset(); }
    Team team{2};
};

TEST_F(LoaderTest, ClosesTheBooksOfAWholeModel) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    const auto model = load(made->origin(), nothing(), team);
    ASSERT_TRUE(model) << to_string(model.error());
    const Receipt& receipt = (*model)->receipt();
    EXPECT_EQ(receipt.tensors_read, made->catalog.size());
    EXPECT_EQ(receipt.tensors_dropped, 0u);
    const uint64_t compared = 2 * made->entry("head.weight").bytes;  // with the embedding: are they one?
    EXPECT_EQ(receipt.bytes_read, made->catalog.total_bytes() + compared);
    EXPECT_EQ(receipt.elements_written * sizeof(float), made->catalog.total_bytes());
    EXPECT_EQ(receipt.obligations_met, made->plan.obligations.size());
    EXPECT_EQ(receipt.values_checked, made->plan.vectors.size() * 8);
}

TEST_F(LoaderTest, PacksOnlyIntoPoisonedMemoryAndLeavesNoPoisonBehind) {
    for (const auto* provider : {open_provider(), guarded_provider()}) {
        testing::reset();
        const auto made = testing::tiny_model({.provider = provider});
        ASSERT_TRUE(load(made->origin(), nothing(), team));
        EXPECT_GT(testing::seen().packs, 0u);
        EXPECT_EQ(testing::seen().dirty_packs, 0u);
        EXPECT_EQ(testing::seen().packs_after_seal, 0u);
        EXPECT_EQ(testing::seen().unwritten_at_seal, 0u);
        EXPECT_EQ(testing::seen().seals, made->plan.parts.size());
    }
}

TEST_F(LoaderTest, TouchesPackedMemoryThroughTheProviderOnly) {
    const auto made = testing::tiny_model({.provider = guarded_provider()});
    const auto model = load(made->origin(), nothing(), team);  // a touch of its own would be a signal
    ASSERT_TRUE(model) << to_string(model.error());
}

TEST_F(LoaderTest, GivesEverythingBack) {
    {
        const auto made = testing::tiny_model({.provider = guarded_provider()});
        ASSERT_TRUE(load(made->origin(), nothing(), team));
    }
    EXPECT_EQ(testing::seen().kernels, 0u);
    EXPECT_EQ(testing::seen().allocated, 0u);
}

TEST_F(LoaderTest, AFailureOfTheProviderEndsTheLoadAndLeaksNothing) {
    for (const char* function : {"alloc", "create", "pack", "seal"}) {
        testing::reset();
        const auto made = testing::tiny_model({.provider = open_provider()});
        testing::fail_in(function);
        const auto model = load(made->origin(), nothing(), team);
        ASSERT_FALSE(model) << function;
        EXPECT_EQ(model.error().code(), Code::plugin_failed) << function;
        EXPECT_EQ(testing::seen().kernels, 0u) << function;
        EXPECT_EQ(testing::seen().allocated, 0u) << function;
    }
}

TEST_F(LoaderTest, ADeviceWithoutMemoryIsOutOfMemory) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    testing::fail_in("alloc", MORTISE_NO_MEMORY);
    const auto model = load(made->origin(), nothing(), team);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), Code::out_of_memory);
}

TEST_F(LoaderTest, AModelThatDoesNotFitIsRefusedWithTheFigures) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    made->plan.memory.packed = uint64_t{1} << 50;
    const auto model = load(made->origin(), nothing(), team);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), Code::out_of_memory);
    EXPECT_NE(model.error().first().expected.find("1073741824.0 MiB"), std::string::npos);
    EXPECT_NE(model.error().first().found.find("MiB left by"), std::string::npos);
    EXPECT_EQ(testing::seen().allocated, 0u);
}

TEST_F(LoaderTest, AFileThatWasTouchedDuringTheLoadIsReported) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    std::ofstream(made->file_path(), std::ios::app) << "x";
    const auto model = load(made->origin(), nothing(), team);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), Code::value_changed);
}

TEST_F(LoaderTest, AFileThatShrankIsReportedAtEveryLength) {
    for (uint64_t keep : {0, 1, 100, 1000, 3000}) {
        const auto made = testing::tiny_model({.provider = open_provider()});
        ASSERT_LT(keep, made->catalog.total_bytes());
        std::filesystem::resize_file(made->file_path(), keep);
        const auto model = load(made->origin(), nothing(), team);
        ASSERT_FALSE(model);
        EXPECT_EQ(model.error().code(), Code::value_changed) << keep;
    }
}

TEST_F(LoaderTest, AParameterWithoutSourceIsABrokenBook) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    made->plan.parameters.push_back({"ghost", MORTISE_ROLE_CODES, {1, 1, 1}});
    const auto receipt = verify(made->origin(), team);
    ASSERT_FALSE(receipt);
    EXPECT_EQ(receipt.error().code(), Code::internal);
    EXPECT_EQ(receipt.error().first().tensor, "ghost");
}

TEST_F(LoaderTest, ATensorThatNobodyReadsIsABrokenBook) {
    HandMade made(open_provider());
    made.random_part("a", 4, 4);
    made.tensor("stray", {2}, {1, 2});
    made.finish();
    const auto receipt = verify(made.origin(), team);
    ASSERT_FALSE(receipt);
    EXPECT_EQ(receipt.error().first().tensor, "stray");
    made.plan.drops.push_back(
        {static_cast<uint32_t>(made.catalog.find("stray") - made.catalog.tensors().data())});
    EXPECT_TRUE(verify(made.origin(), team));
}

TEST_F(LoaderTest, ANormWeightThatIsNotFiniteNamesItsElement) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    made->overwrite("norm", 12, testing::bytes_of({std::numeric_limits<float>::infinity()}));
    const auto model = load(made->origin(), nothing(), team);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code(), Code::value_not_finite);
    EXPECT_EQ(model.error().first().tensor, "norm");
    EXPECT_NE(model.error().first().found.find("element 3"), std::string::npos);
}

TEST_F(LoaderTest, ProgressEndsAtTheTotal) {
    const auto made = testing::tiny_model({.provider = open_provider()});
    uint64_t last = 0, total = 0;
    ASSERT_TRUE(load(made->origin(), nothing(), team, [&](uint64_t done, uint64_t of) {
        EXPECT_GE(done, last);
        last = done;
        total = of;
    }));
    EXPECT_EQ(last, made->catalog.total_bytes());
    EXPECT_EQ(total, made->catalog.total_bytes());
}

TEST(MemoryLimit, IsKnownOnThisSystem) {
    const MemoryLimit limit = memory_limit();
    EXPECT_GT(limit.bytes, 0u);
    EXPECT_LT(limit.bytes, uint64_t{1} << 50);
    EXPECT_FALSE(limit.name.empty());
}

TEST(MemoryLimit, ExactlyFittingIsEnough) {
    plan::Memory memory;
    memory.packed = 100;
    memory.cache = 20;
    EXPECT_TRUE(check_memory(memory, {120, "test"}));
    EXPECT_FALSE(check_memory(memory, {119, "test"}));
}

TEST(MemoryLimit, TheControlGroupLeavesItsLimitLessWhatIsNoCache) {
    const testing::TemporaryFolder folder;
    EXPECT_EQ(control_group_left(folder.path()), ~uint64_t{0});
    std::ofstream(folder.path() + "/memory.max") << "max\n";
    std::ofstream(folder.path() + "/memory.current") << "900\n";
    std::ofstream(folder.path() + "/memory.stat") << "anon 600\ninactive_file 200\nactive_file 100\n";
    EXPECT_EQ(control_group_left(folder.path()), ~uint64_t{0});
    std::ofstream(folder.path() + "/memory.max") << "1000\n";
    EXPECT_EQ(control_group_left(folder.path()), 400u);
    std::ofstream(folder.path() + "/memory.max") << "500\n";
    EXPECT_EQ(control_group_left(folder.path()), 0u);
}

}  // namespace
}  // namespace mortise::load
