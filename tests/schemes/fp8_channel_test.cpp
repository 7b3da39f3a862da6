#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

const std::string weights =
    R"("weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": true, "dynamic": false})";
const std::string tokens =
    R"("input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true})";

std::string groups(const std::string& group, const std::string& more = "") {
    return R"({"quantization_config": {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"targets": ["Linear"], )" +
           group + R"(}}, "ignore": ["lm_head"])" + more + "}}";
}

class Fp8Channel : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void coded(const std::string& module, std::vector<int64_t> scale = {64, 1}) {
        host.tensor(module + ".weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
        host.tensor(module + ".weight_scale", MORTISE_DTYPE_BF16, std::move(scale));
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Fp8Channel, ClaimsFilesInWhichEveryGroupIsOfItsKind) {
    host.file("config.json", groups(weights + ", " + tokens));
    EXPECT_TRUE(claims("fp8_channel"));
    host.file("config.json", groups(weights + R"(, "input_activations": null)"));
    EXPECT_TRUE(claims("fp8_channel"));
}

TEST_F(Fp8Channel, LeavesOtherKindsToOtherSchemesAndSaysWhy) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {R"("weights": {"num_bits": 8, "type": "float", "strategy": "tensor"})", "per channel"},
        {R"("weights": {"num_bits": 4, "type": "float", "strategy": "channel"})", "per channel"},
        {R"("weights": {"num_bits": 8, "type": "int", "strategy": "channel"})", "per channel"},
        {weights + R"(, "format": "pack-quantized")", "pack-quantized"},
        {weights +
             R"(, "input_activations": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": false})",
         "per token"},
        {weights +
             R"(, "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": "local"})",
         "per token"}};
    for (const auto& [group, word] : cases) {
        host.file("config.json", groups(group));
        std::string reason;
        EXPECT_FALSE(claims("fp8_channel", &reason)) << group;
        EXPECT_NE(reason.find(word), std::string::npos) << reason;
    }
}

TEST_F(Fp8Channel, TellsRowScalesFromTensorScalesByTheirCount) {
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}})");
    coded("a");
    EXPECT_TRUE(claims("fp8_channel"));
    coded("a", {1});
    EXPECT_FALSE(claims("fp8_channel"));
    coded("a", {64});
    host.tensor("a.input_scale", MORTISE_DTYPE_F32, {1});
    EXPECT_FALSE(claims("fp8_channel"));
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})");
    EXPECT_FALSE(claims("fp8_channel"));
}

TEST_F(Fp8Channel, ReadsBareScalesThatNoConfigSpeaksOf) {
    host.file("config.json", "{}");
    EXPECT_FALSE(claims("fp8_channel"));
    EXPECT_TRUE(claims("unquantized"));
    coded("a", {64});
    EXPECT_TRUE(claims("fp8_channel"));
    EXPECT_FALSE(claims("unquantized"));
}

TEST_F(Fp8Channel, ReadsFbgemmWithItsBoundOnTheInputs) {
    host.file(
        "config.json",
        R"({"quantization_config": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]}})");
    coded("a");
    EXPECT_TRUE(claims("fp8_channel"));
    const Seen seen = Opened("fp8_channel").module({.name = "a"});
    EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_TOKEN});
    EXPECT_EQ(seen.amax_ceiling, 1200);
    EXPECT_EQ(host.unread(), "");
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "fbgemm_fp8", "activation_scale_ub": -1}})");
    EXPECT_EQ(Opened("fp8_channel").status, MORTISE_REFUSED);
}

TEST_F(Fp8Channel, TakesAScalePerRowAsVectorOrColumnAndNeverAsRow) {
    host.file("config.json", groups(weights));
    coded("a", {64, 1});
    const Seen seen = Opened("fp8_channel").module({.name = "a", .rows = 64, .columns = 32});
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{64, 1}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{64}));
    EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{1, 64}));
}

TEST_F(Fp8Channel, DescribesALinearWithOneScalePerRow) {
    host.file("config.json", groups(weights + ", " + tokens));
    coded("a.q_proj");
    const Seen seen = Opened("fp8_channel").module({.name = "a.q_proj", .bias = true});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, "a.q_proj.weight_scale");
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->rows, 64u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_BIAS)->tensor, "a.q_proj.bias");
    EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_TOKEN});
    EXPECT_EQ(seen.dynamic, 1u);
    EXPECT_EQ(seen.rule, "config_groups.group_0");
    EXPECT_EQ(seen.note, "");
}

TEST_F(Fp8Channel, LeavesInputsAloneWhereTheGroupDoes) {
    host.file("config.json", groups(weights));
    coded("a");
    EXPECT_EQ(Opened("fp8_channel").module({.name = "a"}).granularity, uint32_t{MORTISE_ACTIVATION_NONE});
}

TEST_F(Fp8Channel, BelievesTheTensorsAndReportsTheContradiction) {
    host.file("config.json", groups(weights));
    coded("lm_head");
    host.tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("fp8_channel");
    const Seen head = opened.module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD}),
               linear = opened.module({.name = "a"});
    EXPECT_FALSE(head.plain);
    EXPECT_NE(head.note, "");
    EXPECT_TRUE(linear.plain);
    EXPECT_NE(linear.note, "");
}

TEST_F(Fp8Channel, ExpectsCodesWhereThereIsNothing) {
    host.file("config.json", groups(weights));
    EXPECT_FALSE(Opened("fp8_channel").module({.name = "lost"}).plain)
        << "so that the codes are called missing";
}

TEST_F(Fp8Channel, GivesTheScalesOfACacheToTheAttention) {
    host.file(
        "config.json",
        groups(
            weights,
            R"(, "kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": false})"));
    Opened opened("fp8_channel");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
    ASSERT_EQ(answer.n_fields, 2u);
    EXPECT_EQ(std::string(answer.letters, 2), "kv");
    EXPECT_EQ(copy(answer.fields[1].tensor), "l.0.self_attn.v_scale");
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E4M3});
}

TEST_F(Fp8Channel, FindsCacheScalesUnderTheirOldNameAndPerHead) {
    host.file(
        "config.json",
        groups(
            weights,
            R"(, "kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "attn_head", "dynamic": false})"));
    host.tensor("l.0.self_attn.k_proj.output_scale", MORTISE_DTYPE_BF16, {1});
    Opened opened("fp8_channel");
    const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
    ASSERT_EQ(answer.n_fields, 2u);
    EXPECT_EQ(answer.fields[0].rows, 2u);
    EXPECT_EQ(answer.per_head, 1u);
}

TEST_F(Fp8Channel, SaysNothingOfACacheThatIsNotQuantized) {
    host.file("config.json", groups(weights));
    EXPECT_EQ(Opened("fp8_channel").cache("l.0.self_attn", 2).n_fields, 0u);
}

TEST_F(Fp8Channel, RefusesCachesAndTransformsThatItCannotDo) {
    host.file(
        "config.json",
        groups(
            weights,
            R"(, "kv_cache_scheme": {"num_bits": 4, "type": "int", "strategy": "tensor", "dynamic": false})"));
    EXPECT_EQ(Opened("fp8_channel").status, MORTISE_UNSUPPORTED);
    host.file(
        "config.json",
        groups(
            weights,
            R"(, "kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": true})"));
    EXPECT_EQ(Opened("fp8_channel").status, MORTISE_UNSUPPORTED);
    host.file("config.json", groups(weights, R"(, "transform_config": {"config_groups": {"a": 1}})"));
    EXPECT_EQ(Opened("fp8_channel").status, MORTISE_UNSUPPORTED);
}

TEST_F(Fp8Channel, WritesWhatItReads) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    mortise_quantizer recipe{};
    std::string config;
    const Seen seen = written("fp8_channel", {}, {.name = "a"}, current, &recipe, &config);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->first_dtype, uint32_t{MORTISE_DTYPE_F32});
    EXPECT_EQ(recipe.compute, uint32_t{MORTISE_ENCODING_F32});
    EXPECT_EQ(recipe.zero_scale, 1) << "of a row of zeros, as ModelOpt writes it";
    EXPECT_EQ(recipe.divisor, 448);
    host.file("config.json", R"({"quantization_config": )" + config + "}");
    EXPECT_TRUE(claims("fp8_channel"));
    EXPECT_EQ(Opened("fp8_channel").status, MORTISE_OK);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Fp8Channel, ComputesInTheDtypeThatIsAskedFor) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    mortise_quantizer recipe{};
    const Seen seen =
        written("fp8_channel", {{{"compute", 7}, {"bf16", 4}}}, {.name = "a"}, current, &recipe);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->first_dtype, uint32_t{MORTISE_DTYPE_BF16});
    EXPECT_EQ(recipe.compute, uint32_t{MORTISE_ENCODING_BF16});
    EXPECT_EQ(recipe.zero_scale, 0) << "the epsilon of that dtype, as llm-compressor writes it";
    EXPECT_EQ(written("fp8_channel", {{{"compute", 7}, {"f8", 2}}}, {.name = "a"}, current).status,
              MORTISE_REFUSED);
}

}  // namespace
}  // namespace mortise::test
