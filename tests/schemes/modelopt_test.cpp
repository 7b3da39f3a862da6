#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string flat(const std::string& more) {
    return R"({"quantization_config": {"quant_method": "modelopt", )" + more + "}}";
}
std::string side(const std::string& more) {
    return R"({"producer": {"name": "modelopt", "version": "0.47.0"}, "quantization": {)" + more + "}}";
}
std::string algorithm(const std::string& name) { return R"("quant_algo": ")" + name + '"'; }

class ModelOpt : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void only_flat(const std::string& more) { host.file("config.json", flat(more)); }
    void both(const std::string& in_flat, const std::string& in_side) {
        host.file("config.json", flat(in_flat));
        host.file("hf_quant_config.json", side(in_side));
    }
    void tensor(const std::string& name, uint32_t dtype, std::vector<int64_t> shape) {
        host.tensor(name, dtype, std::move(shape));
    }
    void float8(const std::string& module, std::vector<int64_t> scale) {
        tensor(module + ".weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
        tensor(module + ".weight_scale", MORTISE_DTYPE_F32, std::move(scale));
    }
    void nvfp4(const std::string& module) {
        tensor(module + ".weight", MORTISE_DTYPE_U8, {64, 32});
        tensor(module + ".weight_scale", MORTISE_DTYPE_F8_E4M3, {64, 4});
        tensor(module + ".weight_scale_2", MORTISE_DTYPE_F32, {});
        tensor(module + ".input_scale", MORTISE_DTYPE_F32, {});
    }
    // What one linear is under an algorithm; the scheme lives as long as the test.
    Seen seen(const std::string& name, const ModuleOf& module = {.name = "a"}) {
        only_flat(algorithm(name));
        opened_ = std::make_unique<Opened>("modelopt");
        EXPECT_EQ(opened_->status, MORTISE_OK) << opened_->error;
        return opened_->module(module);
    }
    mortise_status opens() { return Opened("modelopt").status; }
    FakeHost& host = FakeHost::instance();
    std::unique_ptr<Opened> opened_;
};

TEST_F(ModelOpt, ClaimsWhatItsProducerWroteInEitherFile) {
    only_flat(algorithm("FP8"));
    EXPECT_TRUE(claims("modelopt"));
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "modelopt_fp4", "quant_algo": "NVFP4"}})");
    EXPECT_TRUE(claims("modelopt"));
    host.file("config.json", "{}");
    EXPECT_FALSE(claims("modelopt"));
    host.file("hf_quant_config.json", side(algorithm("FP8")));
    EXPECT_TRUE(claims("modelopt"));
    host.file("config.json", R"({"quantization_config": {"quant_method": "fp8"}})");
    EXPECT_FALSE(claims("modelopt")) << "a side file that was left behind";
}

// "FP4", "FP8" and "INT4" occur in the names of other algorithms.
TEST_F(ModelOpt, ComparesAlgorithmsWholeNeverBySubstring) {
    only_flat(algorithm("MY_NVFP4"));
    EXPECT_EQ(opens(), MORTISE_UNSUPPORTED);
    only_flat(algorithm("FP8_PB_REAL"));
    EXPECT_EQ(opens(), MORTISE_UNSUPPORTED);
    float8("a", {64});
    EXPECT_EQ(seen("MXFP8").find(MORTISE_ROLE_SCALE)->columns, 2u) << "not FP8";
    EXPECT_EQ(seen("W4A16_NVFP4").granularity, uint32_t{MORTISE_ACTIVATION_NONE}) << "not NVFP4";
    EXPECT_EQ(seen("FP8_PB_WO").granularity, uint32_t{MORTISE_ACTIVATION_NONE})
        << "not FP8, in any case of letters";
}

TEST_F(ModelOpt, ReadsTheNameOfTheProducersConfigBeforeTheAlgorithm) {
    float8("a", {64});
    only_flat(R"("quant_cfg": "FP8_PER_CHANNEL_PER_TOKEN_CFG")");
    EXPECT_EQ(Opened("modelopt").module({.name = "a"}).granularity, uint32_t{MORTISE_ACTIVATION_TOKEN});
    only_flat(R"("recipe": "nvfp4_default_cfg", "quant_algo": "NVFP4")");
    EXPECT_EQ(opens(), MORTISE_OK);
    only_flat(R"("recipe": "NVFP4_DEFAULT_CFG", "quant_algo": "FP8")");
    EXPECT_EQ(opens(), MORTISE_REFUSED) << "two algorithms";
    only_flat(R"("quant_cfg": "FP8_DEFAULT", "quant_algo": "FP8")");
    EXPECT_EQ(opens(), MORTISE_UNSUPPORTED) << "no falling back";
}

// The block is wrong for this algorithm; 0.47 writes it for others only.
TEST_F(ModelOpt, NeverTrustsTheConfigGroups) {
    float8("a", {64});
    only_flat(
        algorithm("FP8_PER_CHANNEL_PER_TOKEN") +
        R"(, "config_groups": {"group_0": {"weights": {"num_bits": 4}, "input_activations": {"dynamic": false}, "targets": ["X"]}})");
    Opened opened("modelopt");
    const Seen a = opened.module({.name = "a"});
    EXPECT_EQ(a.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(a.dynamic, 1u);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(ModelOpt, ReadsTheTwoFilesTogetherAndRefusesContradictions) {
    both(algorithm("W4A16_AWQ"),
         algorithm("W4A16_AWQ") + R"(, "group_size": 32, "has_zero_point": false, "pre_quant_scale": true)");
    tensor("a.weight", MORTISE_DTYPE_U8, {32, 64});
    Opened opened("modelopt");
    EXPECT_EQ(opened.module({.name = "a"}).find(MORTISE_ROLE_SCALE)->columns, 2u)
        << "group_size stands in the side file only";
    EXPECT_EQ(host.unread(), "");
    both(algorithm("FP8"), algorithm("NVFP4"));
    EXPECT_EQ(opens(), MORTISE_REFUSED);
    both(algorithm("FP8") + R"(, "kv_cache_scheme": "NVFP4")",
         algorithm("FP8") + R"(, "kv_cache_quant_algo": "FP8")");
    EXPECT_EQ(opens(), MORTISE_REFUSED);
    both(algorithm("NVFP4") + R"(, "group_size": 16)", algorithm("NVFP4") + R"(, "group_size": 32)");
    EXPECT_EQ(opens(), MORTISE_REFUSED);
    both(algorithm("FP8"), algorithm("FP8") + R"(, "has_zero_point": true)");
    EXPECT_EQ(opens(), MORTISE_UNSUPPORTED);
    host.reset();
    only_flat(R"("ignore": [])");
    EXPECT_EQ(opens(), MORTISE_REFUSED) << "nothing is quantized";
}

TEST_F(ModelOpt, NotesALeftOutModuleThatOnlyOneFileLists) {
    both(algorithm("FP8") + R"(, "ignore": ["a", "b"])", algorithm("FP8") + R"(, "exclude_modules": ["a"])");
    tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    tensor("b.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("modelopt");
    EXPECT_EQ(opened.module({.name = "a"}).note, "");
    EXPECT_NE(opened.module({.name = "b"}).note.find("only one of"), std::string::npos);
}

// Whole names with shell wildcards; "mlp.gate" is no part of "mlp.gate_up_proj".
TEST_F(ModelOpt, ExcludesByWildcardsOverWholeNames) {
    only_flat(algorithm("FP8") + R"(, "ignore": ["l.0.mlp.gate", "vision*", "l.1.self_attn.*"])");
    Opened opened("modelopt");
    for (const char* name : {"l.0.mlp.gate", "vision_tower.x", "l.1.self_attn.q_proj"}) {
        tensor(std::string(name) + ".weight", MORTISE_DTYPE_BF16, {64, 64});
        EXPECT_TRUE(opened.module({.name = name}).plain) << name;
        EXPECT_EQ(opened.module({.name = name}).note, "") << name;
    }
    float8("l.0.mlp.gate_up_proj", {});
    const Seen fused = opened.module({.name = "l.0.mlp.gate_up_proj"});
    EXPECT_FALSE(fused.plain);
    EXPECT_EQ(fused.note, "");
}

// The tensors say whether; the contradiction is told.
TEST_F(ModelOpt, BelievesTheTensorsOfAnExcludedHeadAndOfAFloatThatIsChosen) {
    only_flat(algorithm("NVFP4") + R"(, "ignore": ["lm_head"])");
    nvfp4("lm_head");
    tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("modelopt");
    const Seen head = opened.module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD}),
               linear = opened.module({.name = "a"});
    EXPECT_FALSE(head.plain);
    EXPECT_EQ(head.find(MORTISE_ROLE_INPUT_SCALE2)->tensor, "lm_head.input_scale");
    EXPECT_NE(head.note.find("leaves it out"), std::string::npos);
    EXPECT_TRUE(linear.plain);
    EXPECT_NE(linear.note.find("it is a float"), std::string::npos);
    EXPECT_FALSE(opened.module({.name = "lost"}).plain) << "so that the codes are called missing";
}

TEST_F(ModelOpt, LeavesHeadAndEmbeddingAsFloatsByDefault) {
    only_flat(algorithm("FP8"));
    tensor("embed_tokens.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("modelopt");
    const Seen table = opened.module({.name = "embed_tokens", .kind = MORTISE_MODULE_EMBEDDING});
    EXPECT_TRUE(table.plain);
    EXPECT_EQ(table.note, "");
}

TEST_F(ModelOpt, DispatchesFp8OnTheRankOfItsScale) {
    float8("a", {});
    tensor("a.input_scale", MORTISE_DTYPE_F32, {});
    const Seen one = seen("FP8");
    EXPECT_EQ(one.find(MORTISE_ROLE_SCALE)->rows, 1u);
    EXPECT_EQ(one.find(MORTISE_ROLE_INPUT_SCALE)->tensor, "a.input_scale");
    EXPECT_EQ(one.granularity, uint32_t{MORTISE_ACTIVATION_TENSOR});
    EXPECT_EQ(one.dynamic, 0u);
    float8("a", {64});
    EXPECT_EQ(seen("FP8").find(MORTISE_ROLE_SCALE)->rows, 64u)
        << "quantized along an axis, under the same name";
}

// An all-zero linear has scale 0 and NaN codes; both are promised not to be there.
TEST_F(ModelOpt, PromisesPositiveScalesAndFiniteCodesOfFloats) {
    float8("a", {});
    const Seen a = seen("FP8");
    EXPECT_TRUE(a.find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_POSITIVE);
    EXPECT_TRUE(a.find(MORTISE_ROLE_CODES)->flags & MORTISE_FIELD_FINITE);
    tensor("a.weight", MORTISE_DTYPE_I8, {64, 64});
    EXPECT_FALSE(seen("W8A16").find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_POSITIVE)
        << "a row of zeros has scale 0";
}

// Four axes, ragged, never "_inv"; weights only, whatever an engine does to their inputs.
TEST_F(ModelOpt, ReadsBlockScalesOfFourAxesAndLeavesInputsAsTheyAre) {
    tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {320, 192});
    tensor("a.weight_scale", MORTISE_DTYPE_F32, {3, 1, 2, 1});
    const Seen a = seen("fp8_pb_wo", {.name = "a", .rows = 320, .columns = 192});
    EXPECT_TRUE(a.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{3, 1, 2, 1}));
    EXPECT_EQ(a.find(MORTISE_ROLE_SCALE)->tensor, "a.weight_scale");
    EXPECT_EQ(a.find(MORTISE_ROLE_SCALE)->rows, 3u);
    EXPECT_EQ(a.find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_EQ(a.granularity, uint32_t{MORTISE_ACTIVATION_NONE});
    only_flat(algorithm("fp8_pb_wo") + R"(, "weight_block_size": [64, 64])");
    EXPECT_EQ(
        Opened("modelopt").module({.name = "a", .rows = 320, .columns = 192}).find(MORTISE_ROLE_SCALE)->rows,
        5u);
    only_flat(algorithm("fp8_pb_wo") + R"(, "weight_block_size": [64])");
    EXPECT_EQ(opens(), MORTISE_REFUSED);
}

// Bytes [N/2][K], and the group from the scales where no file says it.
TEST_F(ModelOpt, PacksTwoRowsOfFourBitsInAByte) {
    tensor("a.weight", MORTISE_DTYPE_U8, {32, 64});
    tensor("a.weight_scale", MORTISE_DTYPE_F32, {64, 2});
    only_flat(algorithm("W4A16_AWQ"));
    mortise_answer answer{};
    answer.head.size = sizeof answer;
    void* model = nullptr;
    ASSERT_EQ(scheme("modelopt").open(host.checkpoint(), &model), MORTISE_OK) << host.error();
    const ModuleOf module{.name = "a"};
    const mortise_module m = module.abi();
    ASSERT_EQ(scheme("modelopt").module(model, &m, &answer), MORTISE_OK) << host.error();
    const mortise_field& codes = answer.spec->fields[0];
    EXPECT_EQ(codes.shapes[0].dims[0], 32);
    EXPECT_EQ(codes.shapes[0].dims[1], 64);
    EXPECT_EQ(codes.encoding, uint32_t{MORTISE_ENCODING_TWOS});
    EXPECT_EQ(answer.spec->levels[0].column_group, 32u);
    scheme("modelopt").close(model);
}

// The vector stays where it could not be folded away; plain variants carry the same names.
TEST_F(ModelOpt, TakesThePreScaleWhereItIsAndNeverFromTheFlag) {
    tensor("a.weight", MORTISE_DTYPE_I8, {64, 64});
    const Seen a = seen("W8A8_SQ_PER_CHANNEL");
    const SeenField* vector = a.find(MORTISE_ROLE_PRE_SCALE);
    ASSERT_NE(vector, nullptr);
    EXPECT_TRUE(vector->flags & MORTISE_FIELD_OPTIONAL);
    EXPECT_TRUE(vector->flags & MORTISE_FIELD_POSITIVE);
    EXPECT_EQ(vector->columns, 64u);
    EXPECT_EQ(seen("W8A16").find(MORTISE_ROLE_PRE_SCALE), nullptr);
}

TEST_F(ModelOpt, CastsTheWeightsOfW4A8UnderTheirSecondScale) {
    tensor("a.weight", MORTISE_DTYPE_U8, {32, 64});
    tensor("a.weight_scale", MORTISE_DTYPE_F32, {64, 2});
    const Seen a = seen("W4A8_AWQ");
    EXPECT_EQ(a.levels, 1u) << "the second scale is no level of the weight";
    EXPECT_EQ(a.find(MORTISE_ROLE_CAST_SCALE)->tensor, "a.weight_scale_2");
}

// The second level multiplies; a missing scale of the inputs is missing.
TEST_F(ModelOpt, MultipliesTheSecondLevelOfNvfp4AndNeedsTheScaleOfItsInputs) {
    nvfp4("a");
    const Seen a = seen("NVFP4");
    EXPECT_EQ(a.levels, 2u);
    EXPECT_EQ(a.divides, (std::vector<uint32_t>{0, 0}));
    EXPECT_FALSE(a.find(MORTISE_ROLE_INPUT_SCALE2)->flags & MORTISE_FIELD_OPTIONAL);
    const Seen only_weights = seen("W4A16_NVFP4");
    EXPECT_EQ(only_weights.granularity, uint32_t{MORTISE_ACTIVATION_NONE});
    EXPECT_NE(only_weights.find(MORTISE_ROLE_UNUSED), nullptr)
        << "a stray scale of inputs is dropped by rule";
}

TEST_F(ModelOpt, TakesGroupsOf32WhereTheAlgorithmHasThem) {
    tensor("a.weight", MORTISE_DTYPE_U8, {64, 32});
    EXPECT_EQ(seen("W4A8_NVFP4_FP8").find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_EQ(seen("mxfp4").find(MORTISE_ROLE_SCALE)->columns, 2u);
    only_flat(algorithm("NVFP4") + R"(, "group_size": 24)");
    EXPECT_EQ(Opened("modelopt").module({.name = "a"}).status, MORTISE_REFUSED) << "24 does not divide 64";
}

// No scale of inputs unless calibrated.
TEST_F(ModelOpt, TakesInputsOfW4A8Mxfp4FromTheDataUnlessCalibrated) {
    tensor("a.weight", MORTISE_DTYPE_U8, {64, 32});
    EXPECT_EQ(seen("W4A8_MXFP4_FP8").dynamic, 1u);
    tensor("b.input_scale", MORTISE_DTYPE_F32, {});
    const Seen a = seen("W4A8_MXFP4_FP8");
    EXPECT_EQ(a.dynamic, 0u);
    EXPECT_NE(a.find(MORTISE_ROLE_INPUT_SCALE), nullptr) << "one calibrated linear, and all must be";
}

// The exporter leaks the names of its buffers.
TEST_F(ModelOpt, FindsTheLowRankTermUnderBothNames) {
    nvfp4("a");
    for (const std::string prefix : {"a.weight_quantizer._svdquant_lora_", "a.svdquant_lora_"}) {
        tensor(prefix + "a", MORTISE_DTYPE_BF16, {8, 64});
        tensor(prefix + "b", MORTISE_DTYPE_BF16, {64, 8});
        const Seen a = seen("NVFP4_SVD");
        EXPECT_EQ(a.find(MORTISE_ROLE_LOW_RANK_A)->tensor, prefix + "a");
        EXPECT_EQ(a.find(MORTISE_ROLE_LOW_RANK_A)->rows, 8u);
        EXPECT_EQ(a.find(MORTISE_ROLE_LOW_RANK_B)->columns, 8u);
    }
}

// [expert][column][row] under bare names; of FP8 per channel one scale per expert.
TEST_F(ModelOpt, ReadsStacksOfExpertsTransposed) {
    tensor("e.down_proj", MORTISE_DTYPE_U8, {4, 16, 64});
    tensor("e.down_proj_weight_scale_2", MORTISE_DTYPE_F32, {});
    const ModuleOf stack{.name = "e.down_proj", .rows = 64, .columns = 32, .bias = true, .experts = 4};
    const Seen a = seen("NVFP4", stack);
    EXPECT_EQ(a.find(MORTISE_ROLE_CODES)->tensor, "e.down_proj");
    EXPECT_TRUE(a.find(MORTISE_ROLE_CODES)->accepts(std::vector<int64_t>{4, 16, 64}))
        << "columns before rows";
    EXPECT_EQ(a.find(MORTISE_ROLE_SCALE)->tensor, "e.down_proj_weight_scale");
    EXPECT_EQ(a.find(MORTISE_ROLE_INPUT_SCALE2)->tensor, "e.down_proj_input_scale");
    EXPECT_EQ(a.find(MORTISE_ROLE_BIAS)->tensor, "e.down_proj_bias");
    tensor("e.down_proj", MORTISE_DTYPE_F8_E4M3, {4, 32, 64});
    tensor("e.down_proj_weight_scale", MORTISE_DTYPE_F32, {4});
    EXPECT_EQ(seen("FP8_PER_CHANNEL_PER_TOKEN", stack).find(MORTISE_ROLE_SCALE)->rows, 1u);
}

// No list of exclusions; experts by their container.
TEST_F(ModelOpt, ReadsLayersOfMixedPrecisionByNameAndByContainer) {
    const std::string layers =
        R"("quantized_layers": {"l.q_proj": {"quant_algo": "FP8"}, "l.experts": {"quant_algo": "NVFP4", "group_size": 16}})";
    both(algorithm("MIXED_PRECISION") + R"(, "ignore": [], )" + layers,
         algorithm("MIXED_PRECISION") + ", " + layers);
    float8("l.q_proj", {});
    nvfp4("l.experts.3.up_proj");
    tensor("l.o_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    float8("l.k_proj", {});
    Opened opened("modelopt");
    EXPECT_EQ(opened.module({.name = "l.q_proj"}).encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(opened.module({.name = "l.experts.3.up_proj"}).encoding, uint32_t{MORTISE_ENCODING_E2M1});
    EXPECT_TRUE(opened.module({.name = "l.o_proj"}).plain);
    EXPECT_EQ(opened.module({.name = "l.k_proj"}).status, MORTISE_REFUSED) << "codes without an algorithm";
    EXPECT_EQ(host.unread(), "");
    both(algorithm("MIXED_PRECISION") + R"(, "quantized_layers": {"l.q_proj": {"quant_algo": "NVFP4"}})",
         algorithm("MIXED_PRECISION") + ", " + layers);
    EXPECT_EQ(opens(), MORTISE_REFUSED);
}

// Beside the projections; an object, or a bare text; affine by its biases.
TEST_F(ModelOpt, FindsTheCacheBesideTheProjections) {
    only_flat(algorithm("FP8") +
              R"(, "kv_cache_scheme": {"dynamic": false, "num_bits": 8, "type": "float"})");
    tensor("s.k_proj.k_scale", MORTISE_DTYPE_F32, {});
    tensor("s.v_proj.v_scale", MORTISE_DTYPE_F32, {});
    opened_ = std::make_unique<Opened>("modelopt");
    mortise_cache_answer answer = opened_->cache("s", 2);
    ASSERT_EQ(answer.n_fields, 2u);
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    EXPECT_EQ(copy(answer.fields[1].tensor), "s.v_proj.v_scale");
    EXPECT_EQ(answer.affine, 0u);
    tensor("s.k_proj.k_bias", MORTISE_DTYPE_BF16, {1, 2, 1, 16});
    tensor("s.v_proj.v_bias", MORTISE_DTYPE_BF16, {1, 2, 1, 16});
    opened_ = std::make_unique<Opened>("modelopt");
    EXPECT_EQ(opened_->cache("s", 2).affine, 1u) << "labelled like the one without";
    only_flat(algorithm("FP8") + R"(, "kv_cache_scheme": "NVFP4_AFFINE")");
    opened_ = std::make_unique<Opened>("modelopt");
    answer = opened_->cache("s", 2);
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E2M1});
    EXPECT_EQ(answer.scale_divisor, 6);
    only_flat(algorithm("FP8") + R"(, "kv_cache_scheme": "FP6")");
    EXPECT_EQ(opens(), MORTISE_UNSUPPORTED);
    host.file("hf_quant_config.json", side(R"("quant_algo": null, "kv_cache_quant_algo": "INT8")"));
    host.file("config.json", "{}");
    opened_ = std::make_unique<Opened>("modelopt");
    EXPECT_EQ(opened_->cache("s", 2).encoding, uint32_t{MORTISE_ENCODING_TWOS}) << "only the cache";
}

}  // namespace
}  // namespace mortise::test
