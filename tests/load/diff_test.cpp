// Two checkpoints against each other: dialects do not matter, weights do, and the largest error is found.
#include "load/diff.h"

#include <gtest/gtest.h>

#include <cmath>

#include "load/convert.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

using test::golden;
using test::plan_of;
using test::plugins;

class Diff : public ::testing::Test {
  protected:
    DiffReport compare(const std::string& a, const std::string& b) {
        auto report = diff(*plan_of(a), *plan_of(b), team_);
        EXPECT_TRUE(report) << to_string(report.error());
        return report ? std::move(*report) : DiffReport{};
    }
    std::string converted(const std::string& from, const std::string& dialect, const std::string& parameters,
                          bool requantize) {
        const std::string out = folder_.at("out" + std::to_string(made_++));
        const auto report =
            convert(*plan_of(from), plugins(), out,
                    {.dialect = dialect, .parameters = parameters, .requantize = requantize}, team_);
        EXPECT_TRUE(report) << to_string(report.error());
        return out;
    }
    test::TempFolder folder_;
    Team team_{2};
    int made_ = 0;
};

TEST_F(Diff, OfACheckpointWithItselfIsEmpty) {
    const DiffReport report = compare(golden("awq_gemm_g128"), golden("awq_gemm_g128"));
    EXPECT_TRUE(report.same());
    EXPECT_TRUE(report.differences.empty());
    EXPECT_GT(report.parts, 10u);
    EXPECT_GT(report.vectors, 2u);
}

TEST_F(Diff, SeesEqualWeightsUnderAnotherSpec) {
    const DiffReport report =
        compare(golden("awq_gemm_g128"), converted(golden("awq_gemm_g128"), "unquantized", "f32", false));
    EXPECT_TRUE(report.same_values());
    EXPECT_FALSE(report.same());
    for (const Difference& d : report.differences) {
        EXPECT_FALSE(d.values) << d.name;
        EXPECT_TRUE(d.spec) << d.name;
        EXPECT_EQ(d.changed, 0u);
    }
}

TEST_F(Diff, FindsTheLargestErrorAndItsPlace) {
    const std::string made = converted(golden("llama"), "awq", "g32", true);
    const auto a = plan_of(golden("llama")), b = plan_of(made);
    const DiffReport report = compare(golden("llama"), made);
    ASSERT_FALSE(report.same_values());
    for (const Difference& d : report.differences) {
        if (d.changed == 0) continue;
        EXPECT_NE(d.a, d.b);
        EXPECT_GT(d.max_error, 0) << d.name;
        EXPECT_GE(d.max_error, d.rms) << d.name;
        EXPECT_EQ(std::fabs(double{d.value_a} - d.value_b), d.max_error) << d.name;
        EXPECT_LE(d.changed, d.weights);
    }
}

TEST_F(Diff, ReportsTheRuleForInputsApart) {
    // The same codes and scales, once with inputs quantized per token and once without.
    const DiffReport report =
        compare(golden("ct-fp8-dynamic"), converted(golden("ct-fp8-dynamic"), "fp8_channel", "", false));
    EXPECT_TRUE(report.same());
    for (const Difference& d : report.differences) EXPECT_TRUE(d.act && !d.spec && !d.values) << d.name;
}

TEST_F(Diff, NamesPartsThatOneSideLacks) {
    const DiffReport report = compare(golden("llama"), golden("llama_tied"));
    EXPECT_FALSE(report.same());
    bool one_sided = false;
    for (const Difference& d : report.differences) one_sided |= !d.in_a || !d.in_b;
    EXPECT_TRUE(one_sided);
}

}  // namespace
}  // namespace mortise::load
