// The proof finds every way in which a plan can be wrong, without knowing how plans are made.
#include <gtest/gtest.h>

#include "golden_plan.h"

namespace mortise::plan {
namespace {

class Proof : public ::testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        auto planned = plan_of(golden(GetParam()));
        if (!planned && planned.error().exit_code() == 5)
            GTEST_SKIP() << "no scheme installed for " << GetParam();
        ASSERT_TRUE(planned) << to_string(planned.error());
        planned_ = *planned;
        plan_ = planned_->plan();
    }
    Status proof() const { return prove(plan_, planned_->checkpoint().catalog); }
    std::shared_ptr<const Planned> planned_;
    LoadPlan plan_;
};

TEST_P(Proof, HoldsForTheRealPlan) { EXPECT_TRUE(proof()); }

TEST_P(Proof, MissesNoMoveThatIsLeftOut) {
    for (size_t m = 0; m < plan_.moves.size(); m += 7) {
        LoadPlan saved = plan_;
        plan_.moves.erase(plan_.moves.begin() + static_cast<ptrdiff_t>(m));
        EXPECT_FALSE(proof()) << "move " << m;
        plan_ = saved;
    }
}

TEST_P(Proof, FindsAMoveDoneTwice) {
    plan_.moves.push_back(plan_.moves.front());
    EXPECT_FALSE(proof());
}

TEST_P(Proof, FindsADestinationThatIsShifted) {
    plan_.moves.back().destination.begin[2] += 1;
    EXPECT_FALSE(proof());
}

TEST_P(Proof, FindsElementsThatNobodyWrites) {
    plan_.moves.back().destination.begin[2] += 1;
    plan_.moves.back().source.begin[2] += 1;
    EXPECT_FALSE(proof());
}

TEST_P(Proof, FindsASourceOutsideItsTensor) {
    plan_.moves.front().source.begin[2] += 1;
    plan_.moves.front().source.end[2] += 1;
    EXPECT_FALSE(proof());
}

TEST_P(Proof, FindsATensorThatIsConsumedAndDropped) {
    plan_.drops.push_back({plan_.moves.front().tensor, DropCode::rotary_cache, "rotary_cache", "planted"});
    EXPECT_FALSE(proof());
}

TEST_P(Proof, FindsADropThatIsForgotten) {
    if (plan_.drops.empty()) return;
    plan_.drops.pop_back();
    EXPECT_FALSE(proof());
}

TEST_P(Proof, ReadsHeadersAndProbesOnly) {
    uint64_t probed = 0;
    for (const std::string& name : plan_.probed) probed += planned_->checkpoint().catalog.find(name)->bytes;
    EXPECT_EQ(plan_.bytes_read_before_proof, probed);
    EXPECT_EQ(planned_->reader().bytes_read(), probed);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& parameter) {
    std::string name = parameter.param;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return name;
}
INSTANTIATE_TEST_SUITE_P(Golden, Proof, ::testing::ValuesIn(golden_names()), test_name);

}  // namespace
}  // namespace mortise::plan
