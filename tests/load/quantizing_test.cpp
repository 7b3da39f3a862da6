// Quantizing while loading is converting and then loading: the same digests, under exact books.
#include <gtest/gtest.h>

#include "load/convert.h"
#include "load/digest.h"
#include "load/ledger.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

using test::golden;
using test::plan_of;
using test::plugins;

struct Case {
    const char *name, *dialect, *parameters;
};
class QuantizingWhileLoading : public ::testing::TestWithParam<Case> {
  protected:
    Digests digests(const plan::Planned& planned) {
        auto out = digest(Origin(planned), team_);
        EXPECT_TRUE(out) << to_string(out.error());
        return out ? std::move(*out) : Digests{};
    }
    test::TempFolder folder_;
    Team team_{2};
};

TEST_P(QuantizingWhileLoading, HasTheDigestsOfConvertingFirst) {
    const Case& c = GetParam();
    const std::string dialect = std::string(c.dialect) + (*c.parameters ? std::string(":") + c.parameters : "");
    const auto online = digests(*plan_of(golden(c.name), dialect));
    ASSERT_TRUE(convert(*plan_of(golden(c.name)), plugins(), folder_.at("out"),
                        {.dialect = c.dialect, .parameters = c.parameters, .requantize = true}, team_));
    const auto offline = digests(*plan_of(folder_.at("out")));
    EXPECT_EQ(online.model, offline.model);
    ASSERT_EQ(online.parts.size(), offline.parts.size());
    size_t coded = 0;
    for (size_t p = 0; p < online.parts.size(); ++p) {
        EXPECT_EQ(online.parts[p].values, offline.parts[p].values) << online.parts[p].name;
        EXPECT_EQ(online.parts[p].spec, offline.parts[p].spec) << online.parts[p].name;
        EXPECT_EQ(online.parts[p].act, offline.parts[p].act) << online.parts[p].name;
        coded += !online.parts[p].plain;
    }
    EXPECT_GT(coded, 0u);
}
INSTANTIATE_TEST_SUITE_P(Golden, QuantizingWhileLoading,
                         ::testing::Values(Case{"llama", "awq", "g32"}, Case{"llama_bias", "fp8_channel", ""},
                                           Case{"qwen2", "awq", "g16"}, Case{"llama_tied", "fp8_channel", "compute=f32"}),
                         [](const auto& one) { return std::string(one.param.name) + "_" + one.param.dialect; });

TEST(QuantizingPlan, SaysWhatBecomesOfEachModuleAndTensor) {
    const auto planned = plan_of(golden("llama"), "fp8_channel");
    const plan::LoadPlan& plan = planned->plan();
    EXPECT_EQ(plan.quantization, "fp8_channel");
    size_t made = 0, marked = 0;
    for (const plan::Source& source : plan.sources) made += source.remake != nullptr;
    for (const plan::Move& move : plan.moves)
        marked += std::ranges::count(move.transforms, plan::Transform::quantize) == 1;
    EXPECT_EQ(made, 14u);
    EXPECT_EQ(marked, made);
    EXPECT_FALSE(plan.notes.empty());  // why the head stays a float
}

TEST(QuantizingPlan, RefusesCodedCheckpointsButNotTheirOwnDialect) {
    const auto refused = test::try_plan(golden("ct-fp8-dynamic"), "awq:g32");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::lossy);
    EXPECT_TRUE(test::try_plan(golden("ct-fp8-dynamic"), "fp8_channel"));
}

TEST(QuantizingPlan, RefusesADialectThatOnlyReads) {
    const auto refused = test::try_plan(golden("llama"), "gguf");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::unsupported_scheme);
}

// A tensor that comes late would change what is packed already: the books refuse a second writing.
TEST(ExactBooks, ASealedPartIsNotWrittenAgain) {
    const auto planned = plan_of(golden("llama"));
    Ledger ledger(planned->plan(), planned->checkpoint().catalog);
    const plan::PartPlan& part = planned->plan().parts[1];
    const uint64_t elements = part.experts * part.n_rows * part.n_columns;
    EXPECT_TRUE(ledger.close_part(1, elements));
    const auto again = ledger.close_part(1, elements);
    ASSERT_FALSE(again);
    EXPECT_NE(to_string(again.error()).find("sealed"), std::string::npos);
}

TEST(ExactBooks, APartWithAHoleIsNotSealed) {
    const auto planned = plan_of(golden("llama"));
    Ledger ledger(planned->plan(), planned->checkpoint().catalog);
    const plan::PartPlan& part = planned->plan().parts[1];
    EXPECT_FALSE(ledger.close_part(1, part.experts * part.n_rows * part.n_columns - 1));
}

}  // namespace
}  // namespace mortise::load
