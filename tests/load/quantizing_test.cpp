// Quantizing while loading is converting and then loading: the same digests, under exact books.
#include <gtest/gtest.h>

#include "load/convert.h"
#include "load/digest.h"
#include "load/ledger.h"
#include "load/part_stream.h"
#include "load/support/part_weights.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

using test::golden;
using test::plan_of;
using test::plugins;
using testing::weights_of;

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
    const std::string dialect =
        std::string(c.dialect) + (*c.parameters ? std::string(":") + c.parameters : "");
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
                                           Case{"qwen2", "awq", "g16"},
                                           Case{"llama_tied", "fp8_channel", "compute=f32"}),
                         [](const auto& one) {
                             return std::string(one.param.name) + "_" + one.param.dialect;
                         });

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

std::vector<float> biases(const plan::Planned& planned, uint32_t part) {
    quant::Extras extras;
    const auto read = for_each_tile(Origin(planned), part, {.extras = &extras},
                                    [](const mortise_tile&) -> Status { return {}; });
    EXPECT_TRUE(read) << to_string(read.error());
    return extras.bias;
}

// Online FP8 quantization once dropped the biases of Qwen2: they were registered after the layer was made.
TEST(QuantizingPlan, OnlineQuantizationDropsNoBias) {
    const auto plain = plan_of(golden("qwen2")), made = plan_of(golden("qwen2"), "fp8_channel");
    size_t with_bias = 0;
    for (uint32_t p = 0; p < plain->plan().parts.size(); ++p) {
        const auto before = biases(*plain, p);
        EXPECT_EQ(biases(*made, p), before) << plain->plan().parts[p].name;
        with_bias += !before.empty() && made->plan().sources[made->plan().parts[p].sources[0]].remake;
    }
    EXPECT_EQ(with_bias, 6u);  // q, k and v of two layers
}

// Scales come from the whole module, whatever part of it a rank holds.
TEST(QuantizingPlan, ARankHoldsItsShareOfTheWholeModulesCodes) {
    const auto whole = plan_of(golden("llama"), "awq:g16");
    for (uint32_t rank = 0; rank < 2; ++rank) {
        plan::Options options;
        options.path = golden("llama");
        options.quantization = "awq:g16";
        options.bind_kernels = false;
        options.rank = rank;
        options.size = 2;
        const auto share = plan::make(options, plugins());
        ASSERT_TRUE(share) << to_string(share.error());
        for (uint32_t p = 0; p < whole->plan().parts.size(); ++p) {
            const plan::PartPlan &part = (*share)->plan().parts[p], &all = whole->plan().parts[p];
            const auto mine = weights_of(**share, p), theirs = weights_of(*whole, p);
            for (uint64_t r = 0; r < part.n_rows; ++r)
                for (uint64_t c = 0; c < part.n_columns; ++c)
                    ASSERT_EQ(mine[r * part.n_columns + c],
                              theirs[(part.first_row + r) * all.n_columns + part.first_column + c])
                        << part.name << " " << r << "," << c;
        }
    }
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
