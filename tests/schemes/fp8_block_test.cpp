#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(const std::string& more = "", const std::string& block = "[128, 128]") {
    return R"({"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": )" +
           block + more + "}}";
}

class Fp8Block : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void coded(const std::string& module, std::vector<int64_t> shape, std::vector<int64_t> grid,
               uint32_t dtype = MORTISE_DTYPE_F32) {
        host.tensor(module + ".weight", MORTISE_DTYPE_F8_E4M3, std::move(shape));
        host.tensor(module + ".weight_scale_inv", dtype, std::move(grid));
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Fp8Block, ClaimsFp8WithABlockSize) {
    host.file("config.json", config());
    EXPECT_TRUE(claims("fp8_block"));
    EXPECT_FALSE(claims("fp8_tensor"));
    EXPECT_FALSE(claims("fp8_channel"));
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": null}})");
    EXPECT_FALSE(claims("fp8_block"));
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "fp8_pb", "weight_block_size": [128, 128]}})");
    EXPECT_FALSE(claims("fp8_block")) << "methods are compared whole";
}

TEST_F(Fp8Block, LeavesUnreadWhatATunerRepeats) {
    host.file("config.json",
              config(R"(, "act_bits": 8, "act_data_type": "fp", "act_dynamic": true, "act_group_size": 128,
        "act_sym": true, "autoround_version": "0.16.1", "bits": 8, "block_name_to_quantize": "model.layers", "data_type": "fp",
        "extra_config": {".*gate.*": {"bits": 16}}, "fmt": "e4m3", "group_size": [128, 128], "sym": true)"));
    EXPECT_EQ(Opened("fp8_block").status, MORTISE_OK);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Fp8Block, ReadsTheDtypeOfExpertsAndRefusesSmallerOnes) {
    host.file("config.json", config(R"(, "expert_dtype": "fp8", "scale_fmt": "float")"));
    EXPECT_EQ(Opened("fp8_block").status, MORTISE_OK);
    EXPECT_EQ(host.unread(), "");
    host.file("config.json", config(R"(, "expert_dtype": "fp4")"));
    EXPECT_EQ(Opened("fp8_block").status, MORTISE_UNSUPPORTED);
}

TEST_F(Fp8Block, MultipliesByTheScaleWhoseNameSaysInverse) {
    host.file("config.json", config());
    coded("a", {256, 128}, {2, 1});
    const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 256, .columns = 128});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, "a.weight_scale_inv");
    EXPECT_EQ(seen.divides, (std::vector<uint32_t>{0}));
    EXPECT_EQ(seen.row_group, (std::vector<uint64_t>{128}));
    EXPECT_EQ(seen.column_group, (std::vector<uint64_t>{128}));
}

TEST_F(Fp8Block, RoundsTheGridOfScalesUpWhereTheLastBlocksAreShort) {
    host.file("config.json", config());
    coded("a", {200, 300}, {2, 3});
    const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 200, .columns = 300});
    const SeenField& scale = *seen.find(MORTISE_ROLE_SCALE);
    EXPECT_TRUE(scale.accepts(std::vector<int64_t>{2, 3}));
    EXPECT_FALSE(scale.accepts(std::vector<int64_t>{1, 2}));
    EXPECT_FALSE(scale.accepts(std::vector<int64_t>{3, 2})) << "never transposed";
    EXPECT_FALSE(scale.accepts(std::vector<int64_t>{3})) << "never squeezed blindly";
}

TEST_F(Fp8Block, TakesTheBlockFromTheConfigAndNotFromTheShapes) {
    host.file("config.json", config("", "[64, 32]"));
    coded("a", {64, 64}, {64, 1});  // as many scales as rows: looks like one per row
    const Seen seen = Opened("fp8_block").module({.name = "a"});
    EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{64, 1}));
    EXPECT_EQ(seen.row_group, (std::vector<uint64_t>{64}));
    EXPECT_EQ(seen.column_group, (std::vector<uint64_t>{32}));
}

TEST_F(Fp8Block, QuantizesInputsPerTokenAndRunOfBlockColumns) {
    host.file("config.json", config("", "[128, 64]"));
    coded("a", {128, 128}, {1, 2});
    const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 128, .columns = 128});
    EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_GROUP});
    EXPECT_EQ(seen.activation.group, 64u);
    EXPECT_EQ(seen.activation.divisor, 448);
    EXPECT_EQ(seen.activation.amax_floor, 1e-10);
    EXPECT_EQ(seen.activation.exponent_rule, uint32_t{MORTISE_EXPONENT_NONE});
}

TEST_F(Fp8Block, HoldsScalesToPowersOfTwoWhereTheConfigSaysSo) {
    host.file("config.json", config(R"(, "scale_fmt": "ue8m0")"));
    coded("a", {128, 128}, {1, 1});
    const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 128, .columns = 128});
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_POWER_OF_TWO);
    EXPECT_EQ(seen.activation.exponent_rule, uint32_t{MORTISE_EXPONENT_CEIL})
        << "scales of weights and inputs are of one kind";
    host.file("config.json", config());
    EXPECT_FALSE(Opened("fp8_block")
                     .module({.name = "a", .rows = 128, .columns = 128})
                     .find(MORTISE_ROLE_SCALE)
                     ->flags &
                 MORTISE_FIELD_POWER_OF_TWO);
}

TEST_F(Fp8Block, ReadsScaleBytesAsExponentsAndNeverAsNumbers) {
    host.file("config.json", config(R"(, "scale_fmt": "ue8m0")"));
    coded("a", {128, 128}, {1, 1}, MORTISE_DTYPE_U8);
    const Seen bytes = Opened("fp8_block").module({.name = "a", .rows = 128, .columns = 128});
    EXPECT_EQ(bytes.find(MORTISE_ROLE_SCALE)->encoding, uint32_t{MORTISE_ENCODING_E8M0});
    EXPECT_TRUE(bytes.find(MORTISE_ROLE_SCALE)->accepts(MORTISE_DTYPE_U8));
    host.file("config.json", config());
    EXPECT_FALSE(Opened("fp8_block")
                     .module({.name = "a", .rows = 128, .columns = 128})
                     .find(MORTISE_ROLE_SCALE)
                     ->accepts(MORTISE_DTYPE_U8));
}

TEST_F(Fp8Block, KnowsTheOtherNamesOfTheScale) {
    host.file("config.json", config());
    for (const char* name : {"a.weight_scale_inv", "a.weight_scale", "a.scale", "a.scale_inv"}) {
        host.reset();
        host.file("config.json", config());
        host.tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {128, 128});
        host.tensor(name, MORTISE_DTYPE_F8_E8M0, {1, 1});
        const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 128, .columns = 128});
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, name);
        EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(MORTISE_DTYPE_F8_E8M0));
    }
}

TEST_F(Fp8Block, AsksForTheScaleOfAWeightThatHasNone) {
    host.file("config.json", config());
    host.tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {128, 128});
    const Seen seen = Opened("fp8_block").module({.name = "a", .rows = 128, .columns = 128});
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, "a.weight_scale_inv");
    EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_OPTIONAL);
}

TEST_F(Fp8Block, LeavesListedModulesAloneByWholeComponents) {
    host.file("config.json", config(R"(, "modules_to_not_convert": ["mlp.gate", "lm_head"])"));
    host.tensor("l.0.mlp.gate.weight", MORTISE_DTYPE_BF16, {64, 64});
    coded("l.0.mlp.gate_up_proj", {64, 64}, {1, 1});
    Opened opened("fp8_block");
    const Seen router = opened.module({.name = "l.0.mlp.gate"});
    EXPECT_TRUE(router.plain);
    EXPECT_EQ(router.rule, "modules_to_not_convert[0] = mlp.gate");
    EXPECT_EQ(router.note, "");
    const Seen fused = opened.module(
        {.name = "l.0.mlp.gate_up_proj", .parts = {{"l.0.mlp.gate_proj", 32}, {"l.0.mlp.up_proj", 32}}});
    EXPECT_FALSE(fused.plain);
    EXPECT_EQ(fused.note, "") << "the rule is no substring";
}

TEST_F(Fp8Block, HonoursFusedNamesAndPatternsInBothLists) {
    host.file(
        "config.json",
        config(R"(, "modules_to_not_convert": ["model.l.*.down_proj"], "ignored_layers": ["l.0.qkv_proj"])"));
    host.tensor("l.0.qkv_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    host.tensor("model.l.1.down_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("fp8_block");
    EXPECT_EQ(opened
                  .module({.name = "l.0.qkv_proj",
                           .parts = {{"l.0.q_proj", 32}, {"l.0.k_proj", 16}, {"l.0.v_proj", 16}}})
                  .rule,
              "ignored_layers[0] = l.0.qkv_proj");
    EXPECT_EQ(opened.module({.name = "model.l.1.down_proj"}).rule,
              "modules_to_not_convert[0] = model.l.*.down_proj");
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Fp8Block, ReadsExpertsOneByOneAndStacked) {
    host.file("config.json", config("", "[32, 32]"));
    coded("l.0.mlp.experts.3.up_proj", {64, 64}, {2, 2});
    EXPECT_FALSE(Opened("fp8_block").module({.name = "l.0.mlp.experts.3.up_proj"}).plain);
    host.tensor("l.0.mlp.experts.down_proj", MORTISE_DTYPE_F8_E4M3, {4, 64, 64});
    host.tensor("l.0.mlp.experts.down_proj_scale_inv", MORTISE_DTYPE_F32, {4, 2, 2});
    const Seen stack = Opened("fp8_block").module({.name = "l.0.mlp.experts.down_proj", .experts = 4});
    ASSERT_EQ(stack.status, MORTISE_OK) << stack.error;
    EXPECT_EQ(stack.find(MORTISE_ROLE_CODES)->tensor, "l.0.mlp.experts.down_proj");
    EXPECT_EQ(stack.find(MORTISE_ROLE_SCALE)->tensor, "l.0.mlp.experts.down_proj_scale_inv");
    EXPECT_TRUE(stack.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{4, 2, 2}));
}

TEST_F(Fp8Block, TakesTheNamesOfDeepseekV3) {
    host.file("config.json", config(R"(, "fmt": "e4m3")"));
    for (const char* name :
         {"model.layers.0.self_attn.kv_a_proj_with_mqa", "model.layers.0.self_attn.kv_b_proj",
          "model.layers.0.self_attn.q_a_proj", "model.layers.3.mlp.shared_experts.up_proj",
          "model.layers.3.mlp.experts.255.down_proj"})
        coded(name, {64, 64}, {1, 1});
    host.tensor("model.layers.3.mlp.gate.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("fp8_block");
    for (const char* name :
         {"model.layers.0.self_attn.kv_a_proj_with_mqa", "model.layers.0.self_attn.kv_b_proj",
          "model.layers.0.self_attn.q_a_proj", "model.layers.3.mlp.shared_experts.up_proj",
          "model.layers.3.mlp.experts.255.down_proj"})
        EXPECT_EQ(opened.module({.name = name}).note, "") << name;
    EXPECT_TRUE(opened.module({.name = "model.layers.3.mlp.gate"}).plain)
        << "a router is a float although no list says so";
}

TEST_F(Fp8Block, NeverPutsAFloatIntoASlotForCodes) {
    host.file("config.json", config());
    host.tensor("model.layers.61.eh_proj.weight", MORTISE_DTYPE_BF16, {64, 128});
    const Seen seen =
        Opened("fp8_block").module({.name = "model.layers.61.eh_proj", .rows = 64, .columns = 128});
    EXPECT_TRUE(seen.plain);
    EXPECT_EQ(seen.note, "the config selects it, and its weight is a plain float");
}

TEST_F(Fp8Block, ReportsCacheScalesWithoutAskingForThem) {
    host.file("config.json", config());
    EXPECT_EQ(Opened("fp8_block").cache("l.0.self_attn", 2).n_fields, 0u);
    for (const char* name : {"l.0.self_attn.k_proj.k_scale", "l.0.self_attn.v_proj.v_scale"})
        host.tensor(name, MORTISE_DTYPE_F32, {1});
    Opened opened("fp8_block");
    const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
    EXPECT_EQ(answer.n_fields, 2u);
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_AS_DTYPE}) << "and unused";
}

TEST_F(Fp8Block, WritesWhatItReads) {
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    const mortise_option b64{{"b64", 3}, {}}, ue8m0{{"ue8m0", 5}, {}};
    for (const auto& options : {std::vector<mortise_option>{}, {b64, ue8m0}}) {
        host.reset();
        host.file("config.json", "{}");
        mortise_quantizer recipe{};
        std::string text;
        const Seen seen = written("fp8_block", options, {.name = "a", .rows = 200, .columns = 300}, current,
                                  &recipe, &text);
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        const bool exponents = !options.empty();
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->first_dtype,
                  exponents ? uint32_t{MORTISE_DTYPE_F8_E8M0} : uint32_t{MORTISE_DTYPE_F32});
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->shapes[0],
                  (exponents ? std::vector<int64_t>{4, 5} : std::vector<int64_t>{2, 3}));
        EXPECT_EQ(recipe.exponent_rule,
                  exponents ? uint32_t{MORTISE_EXPONENT_CEIL} : uint32_t{MORTISE_EXPONENT_NONE});
        EXPECT_EQ(recipe.zero_scale, 1);
        host.file("config.json", R"({"quantization_config": )" + text + "}");
        EXPECT_TRUE(claims("fp8_block"));
        EXPECT_EQ(Opened("fp8_block").status, MORTISE_OK);
        EXPECT_EQ(host.unread(), "");
    }
    const mortise_option other{{"g64", 3}, {}};
    EXPECT_EQ(written("fp8_block", {other}, {.name = "a"}, current).status, MORTISE_REFUSED);
}

TEST_F(Fp8Block, RefusesWhatItDoesNotKnow) {
    for (const auto& [more, block, status] :
         {std::tuple{R"(, "fmt": "e5m2")", "[128, 128]", MORTISE_UNSUPPORTED},
          {R"(, "scale_fmt": "fp32e")", "[128, 128]", MORTISE_UNSUPPORTED},
          {"", "[128]", MORTISE_REFUSED},
          {"", "[0, 128]", MORTISE_REFUSED},
          {"", "\"128x128\"", MORTISE_REFUSED}}) {
        host.file("config.json", config(more, block));
        EXPECT_EQ(Opened("fp8_block").status, status) << more << block;
    }
    host.file(
        "config.json",
        R"({"quantization_config": {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": [128, 128]}})");
    EXPECT_EQ(Opened("fp8_block").status, MORTISE_UNSUPPORTED) << "a static input scale has no place here";
}

}  // namespace
}  // namespace mortise::test
