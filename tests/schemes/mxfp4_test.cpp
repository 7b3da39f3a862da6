#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(
    const std::string& more = R"(, "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"])") {
    return R"({"quantization_config": {"quant_method": "mxfp4")" + more + "}}";
}

class Mxfp4 : public testing::Test {
  protected:
    void SetUp() override {
        host.reset();
        host.file("config.json", config());
    }
    void stack(const std::string& name) {
        host.tensor(name + "_blocks", MORTISE_DTYPE_U8, {4, 96, 2, 16});
        host.tensor(name + "_scales", MORTISE_DTYPE_U8, {4, 96, 2});
        host.tensor(name + "_bias", MORTISE_DTYPE_BF16, {4, 96});
    }
    FakeHost& host = FakeHost::instance();
    const ModuleOf experts{.name = "e.gate_up_proj", .rows = 96, .columns = 64, .bias = true, .experts = 4};
};

TEST_F(Mxfp4, ClaimsItsMethodByItsWholeName) {
    EXPECT_TRUE(claims("mxfp4"));
    for (const char* other : {"mxfp4_pack", "modelopt", ""}) {
        host.file("config.json",
                  R"({"quantization_config": {"quant_method": ")" + std::string(other) + "\"}}");
        EXPECT_FALSE(claims("mxfp4")) << other;
    }
}

TEST_F(Mxfp4, ReadsAStackWithABiasForEachExpert) {
    stack("e.gate_up_proj");
    Opened opened("mxfp4");
    const Seen seen = opened.module(experts);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_E2M1});
    EXPECT_EQ(seen.find(MORTISE_ROLE_CODES)->tensor, "e.gate_up_proj_blocks");
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, "e.gate_up_proj_scales");
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 2u);
    ASSERT_NE(seen.find(MORTISE_ROLE_BIAS), nullptr);
    EXPECT_EQ(seen.find(MORTISE_ROLE_BIAS)->tensor, "e.gate_up_proj_bias");
}

TEST_F(Mxfp4, KeepsTheAxisOfOneExpert) {
    stack("e.gate_up_proj");
    Opened opened("mxfp4");
    const Seen seen = opened.module({.name = "e.gate_up_proj", .rows = 96, .columns = 64});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_TRUE(seen.find(MORTISE_ROLE_CODES)->accepts(std::vector<int64_t>{1, 96, 2, 16}));
}

TEST_F(Mxfp4, LetsTheTensorsDecideAndNotesTheContradiction) {
    Opened opened("mxfp4");
    host.tensor("e.gate_up_proj", MORTISE_DTYPE_BF16, {4, 64, 96});
    const Seen floats = opened.module(experts);
    ASSERT_EQ(floats.status, MORTISE_OK) << floats.error;
    EXPECT_TRUE(floats.plain);
    stack("model.layers.0.self_attn.odd");
    const Seen coded =
        opened.module({.name = "model.layers.0.self_attn.odd", .rows = 96, .columns = 64, .experts = 4});
    EXPECT_FALSE(coded.plain);
    EXPECT_NE(coded.note, "") << "the config leaves it out";
}

TEST_F(Mxfp4, CountsWhatItsRulesDecide) {
    host.tensor("model.layers.0.self_attn.q_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("mxfp4");
    const Seen seen = opened.module({.name = "model.layers.0.self_attn.q_proj"});
    EXPECT_TRUE(seen.plain);
    EXPECT_NE(seen.rule.find("self_attn"), std::string::npos) << seen.rule;
}

TEST_F(Mxfp4, RefusesColumnsThatAreNoWholeBlocks) {
    stack("e.gate_up_proj");
    Opened opened("mxfp4");
    EXPECT_EQ(opened.module({.name = "e.gate_up_proj", .rows = 96, .columns = 72, .experts = 4}).status,
              MORTISE_REFUSED);
}

TEST_F(Mxfp4, ReadsEveryKeyOfAPublishedConfigAndNoOther) {
    host.file("config.json", config(R"(, "modules_to_not_convert": ["lm_head"], "odd_key": 1)"));
    const Opened opened("mxfp4");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    EXPECT_EQ(host.unread(), "quantization_config.odd_key ");
}

TEST_F(Mxfp4, WritesStacksAndNothingElse) {
    stack("e.gate_up_proj");
    Opened opened("mxfp4");
    mortise_answer answer{};
    answer.head.size = sizeof answer;
    void* model = nullptr;
    ASSERT_EQ(scheme("mxfp4").open(host.checkpoint(), &model), MORTISE_OK);
    const mortise_module module = experts.abi();
    ASSERT_EQ(scheme("mxfp4").module(model, &module, &answer), MORTISE_OK);
    std::string text;
    const Seen coded = written("mxfp4", {}, experts, *answer.spec, nullptr, &text);
    ASSERT_TRUE(coded.status == MORTISE_OK && !coded.plain) << coded.error;
    EXPECT_EQ(coded.find(MORTISE_ROLE_CODES)->tensor, "e.gate_up_proj_blocks");
    EXPECT_EQ(coded.find(MORTISE_ROLE_SCALE)->first_dtype, uint32_t{MORTISE_DTYPE_U8});
    EXPECT_EQ(coded.find(MORTISE_ROLE_BIAS)->tensor, "e.gate_up_proj_bias");
    scheme("mxfp4").close(model);
    host.file("config.json", R"({"quantization_config": )" + text + "}");
    EXPECT_TRUE(claims("mxfp4")) << text;
    mortise_spec floats{};
    floats.encoding = MORTISE_ENCODING_BF16;
    EXPECT_TRUE(written("mxfp4", {}, {.name = "a"}, floats, nullptr, &text).plain);
    EXPECT_EQ(text, "") << "nothing is coded";
}

}  // namespace
}  // namespace mortise::test
