// Which modules the config of the dialect means, whose caches it codes, whose inputs it rotates.
#include <cmath>

#include "schemes/compressed_tensors_case.h"

namespace mortise::test {
namespace {

// --- which modules

TEST_F(CompressedTensors, PrefersAGroupThatNamesAModuleToOneThatNamesItsClass) {
    use(config(R"("one": )" + group("float-quantized", whole8, R"("l.1.q_proj")") + R"(, "all": )" +
               group("pack-quantized", int4) + R"(, "some": )" +
               group("int-quantized", int8, R"("re:.*q_proj$")")));
    packed("l.0.up_proj");
    coded("l.0.q_proj", MORTISE_DTYPE_I8, {64, 1});
    coded("l.1.q_proj", MORTISE_DTYPE_F8_E4M3, {1});
    Opened opened("compressed_tensors");
    EXPECT_EQ(opened.module({.name = "l.0.up_proj"}).rule, "config_groups.all");
    EXPECT_EQ(opened.module({.name = "l.0.q_proj"}).rule, "config_groups.some");
    EXPECT_EQ(opened.module({.name = "l.1.q_proj"}).rule, "config_groups.one");
}

TEST_F(CompressedTensors, RefusesTwoGroupsThatTargetOneModuleAlike) {
    use(config(R"("a": )" + group("pack-quantized", int4) + R"(, "b": )" + group("int-quantized", int8)));
    packed("l.0.up_proj");
    EXPECT_EQ(ask({.name = "l.0.up_proj"}).status, MORTISE_REFUSED);
}

TEST_F(CompressedTensors, AppliesAGroupOfPartsToTheFusedMatrixBeforeTheClass) {
    use(config(R"("all": )" + group("pack-quantized", int4) + R"(, "attn": )" +
               group("float-quantized", whole8, R"("re:.*[qkv]_proj$")")));
    coded("a.fused", MORTISE_DTYPE_F8_E4M3, {1});
    const Seen seen =
        ask({.name = "a.fused", .parts = {{"a.q_proj", 32}, {"a.k_proj", 16}, {"a.v_proj", 16}}});
    EXPECT_EQ(seen.rule, "config_groups.attn");
}

TEST_F(CompressedTensors, HonoursIgnoreByFusedNameByPartsAndByPattern) {
    host.tensor("a.qkv_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    const ModuleOf fused{.name = "a.qkv_proj",
                         .parts = {{"a.q_proj", 32}, {"a.k_proj", 16}, {"a.v_proj", 16}}};
    for (const char* rule : {"\"a.qkv_proj\"", "\"re:.*[qkv]_proj\"", "\"re:a.*\""}) {
        use(only("pack-quantized", int4, R"(, "ignore": [)" + std::string(rule) + "]"));
        const Seen seen = ask(fused);
        EXPECT_TRUE(seen.plain) << rule;
        EXPECT_EQ(seen.note, "") << rule;
    }
}

TEST_F(CompressedTensors, HonoursAnIgnoreListOfAllPartsOfAFusedMatrix) {
    use(only("pack-quantized", int4, R"(, "ignore": ["a.q_proj", "a.k_proj", "a.v_proj"])"));
    host.tensor("a.qkv_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    const ModuleOf fused{.name = "a.qkv_proj",
                         .parts = {{"a.q_proj", 32}, {"a.k_proj", 16}, {"a.v_proj", 16}}};
    EXPECT_EQ(ask(fused).note, "");
    use(only("pack-quantized", int4, R"(, "ignore": ["a.q_proj", "a.k_proj"])"));
    EXPECT_EQ(ask(fused).status, MORTISE_REFUSED) << "which rows would be whose?";
}

// A file that quantizes the MLP alone: an attention without scales is never run with some that nobody wrote.
TEST_F(CompressedTensors, LeavesTheAttentionOfAnMlpOnlyFileAsFloats) {
    for (const char* ignore : {R"(, "ignore": ["re:.*self_attn.*"])", ""}) {
        use(only("pack-quantized", int4, ignore));
        host.tensor("l.0.self_attn.q_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
        const Seen seen = ask({.name = "l.0.self_attn.q_proj"});
        EXPECT_TRUE(seen.plain);
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE), nullptr);
        EXPECT_EQ(seen.note.empty(), *ignore != 0) << "told where the list does not say so";
    }
}

TEST_F(CompressedTensors, DoesNotIgnoreGateUpProjBecauseGateIsListed) {
    use(only("pack-quantized", int4, R"(, "ignore": ["l.0.mlp.gate"])"));
    packed("l.0.mlp.gate_up_proj");
    const Seen seen = ask({.name = "l.0.mlp.gate_up_proj"});
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.note, "");
}

TEST_F(CompressedTensors, BelievesFloatTensorsThatNoIgnoreRuleNames) {
    use(only("pack-quantized", int4));
    host.tensor("l.0.q_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    const Seen seen = ask({.name = "l.0.q_proj"});
    EXPECT_TRUE(seen.plain) << "never codes without scales";
    EXPECT_NE(seen.note, "");
}

TEST_F(CompressedTensors, NeverReadsFloatsAsCodesNorCodesAsFloats) {
    use(only("float-quantized", whole8));
    coded("a", MORTISE_DTYPE_BF16, {1});
    EXPECT_EQ(ask({.name = "a"}).find(MORTISE_ROLE_CODES)->first_dtype, uint32_t{MORTISE_DTYPE_F8_E4M3})
        << "BF16 there is an error";
    host.tensors.clear();
    host.tensor("lm_head.weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
    const Seen head = ask({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    EXPECT_FALSE(head.plain) << "although it is ignored";
    EXPECT_TRUE(head.find(MORTISE_ROLE_SCALE)) << "so that the scale is called missing";
    EXPECT_NE(head.note, "");
}

TEST_F(CompressedTensors, AppliesTheScalesOfFrozenFilesToo) {
    use(R"({"quantization_config": {"quant_method": "compressed-tensors", "quantization_status": "frozen", "config_groups": {"g": )" +
        group("float-quantized", whole8) + "}}}");
    coded("a", MORTISE_DTYPE_F8_E4M3, {1});
    EXPECT_TRUE(ask({.name = "a"}).find(MORTISE_ROLE_SCALE));
}

TEST_F(CompressedTensors, QuantizesAnEmbeddingThatIsTargetedByItsClass) {
    use(config(R"("g": )" + group("pack-quantized", int4, R"("Linear", "Embedding")")));
    packed("embed_tokens");
    const Seen seen = ask({.name = "embed_tokens", .kind = MORTISE_MODULE_EMBEDDING});
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.note, "");
}

// --- caches and rotations

TEST_F(CompressedTensors, GivesTheScalesOfACacheToTheAttentionPerTensorOrHead) {
    for (const auto& [strategy, rows] : {std::pair{"tensor", 1u}, {"attn_head", 2u}}) {
        use(R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": )" +
            group("pack-quantized", int4) +
            R"(}, "kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": ")" + strategy +
            R"(", "dynamic": false}}})");
        Opened opened("compressed_tensors");
        ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
        const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
        ASSERT_EQ(answer.n_fields, 2u);
        EXPECT_EQ(copy(answer.fields[0].tensor), "l.0.self_attn.k_scale");
        EXPECT_EQ(answer.fields[0].rows, rows);
        EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    }
}

const std::string cache8 = R"({"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": false})";

std::string cached(const std::string& groups) {
    return R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {)" + groups +
           R"(}, "kv_cache_scheme": )" + cache8 + "}}";
}

TEST_F(CompressedTensors, ReadsAFileOfWhichOnlyTheCacheIsQuantized) {
    use(cached(""));
    host.tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("compressed_tensors");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    EXPECT_TRUE(opened.module({.name = "a"}).plain);
    EXPECT_EQ(opened.cache("l.0.self_attn", 2).encoding, uint32_t{MORTISE_ENCODING_E4M3});
    coded("b", MORTISE_DTYPE_F8_E4M3, {64, 1});
    EXPECT_EQ(opened.module({.name = "b"}).status, MORTISE_REFUSED);
}

TEST_F(CompressedTensors, AsksForTheScaleOfQueriesWhereAGroupQuantizesAttentions) {
    const std::string attentions = R"(, "a": {"targets": ["LlamaAttention"], "input_activations": )";
    use(cached(R"("g": )" + group("pack-quantized", int4) + attentions + cache8 + "}"));
    Opened opened("compressed_tensors");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
    ASSERT_EQ(answer.n_fields, 3u);
    EXPECT_EQ(copy(answer.fields[2].tensor), "l.0.self_attn.q_scale");

    use(cached(R"("g": )" + group("pack-quantized", int4) + attentions +
               R"({"num_bits": 8, "type": "int"}})"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED);
}

TEST_F(CompressedTensors, RefusesFloatsThatAreToBeQuantizedAsTheyRun) {
    use(only("dense", int8));
    coded("a", MORTISE_DTYPE_BF16, {64, 1});
    const Seen seen = ask({.name = "a"});
    EXPECT_EQ(seen.status, MORTISE_UNSUPPORTED);
    EXPECT_NE(seen.error.find("quantized as they run"), std::string::npos) << seen.error;
}

std::string rotated(const std::string& scheme) {
    return R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": )" +
           group("pack-quantized", int4) +
           R"(}, "ignore": ["lm_head"], "transform_config": {"config_groups": {"v": {)" + scheme + "}}}}}";
}
std::string hadamard(const std::string& place) {
    return rotated(
        R"("type": "hadamard", "head_dim": 32, "precision": "torch.float64", "randomize": false, "requires_grad": false, "apply": [{"targets": ["Linear"], "ignore": ["lm_head"], )" +
        place + "}, {\"targets\": [\"Linear\"], \"location\": \"weight_input\", \"inverse\": true}]");
}

TEST_F(CompressedTensors, RotatesInputsByTheMatrixThatIsStoredOnce) {
    use(hadamard(R"("location": "input", "inverse": false)"));
    packed("a.q_proj");
    packed("a.k_proj");
    host.tensor("a.q_proj.v_input.weight", MORTISE_DTYPE_F64, {32, 32});
    host.tensor("lm_head.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("compressed_tensors");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    for (const char* name : {"a.q_proj", "a.k_proj"}) {
        const Seen seen = opened.module({.name = name});
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_EQ(seen.rotation_block, 32u);
        EXPECT_EQ(seen.rotation_factor, 1 / std::sqrt(32.0)) << "entries are +1 and -1: unnormalized";
        EXPECT_EQ(seen.find(MORTISE_ROLE_ROTATION)->tensor, "a.q_proj.v_input.weight");
    }
    EXPECT_EQ(opened.module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD}).rotation_block, 0u);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(CompressedTensors, RotatesTheInputsOfFloatLinearsToo) {
    use(hadamard(R"("location": "input")"));
    host.tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    host.tensor("a.v_input.weight", MORTISE_DTYPE_F64, {32, 32});
    const Seen seen = ask({.name = "a"});
    EXPECT_TRUE(seen.plain);
    EXPECT_EQ(seen.rotation_block, 32u);
}

TEST_F(CompressedTensors, MissesARotationThatWasLost) {
    use(hadamard(R"("location": "input")"));
    packed("a");
    const Seen lost = ask({.name = "a"});
    EXPECT_EQ(lost.status, MORTISE_REFUSED);
    EXPECT_NE(lost.error.find("matrix"), std::string::npos) << lost.error;
}

TEST_F(CompressedTensors, RefusesTransformsThatAreNoRotationOfAnInput) {
    for (const char* where : {"output", "k_cache", "q_attn"}) {
        use(hadamard(R"("location": ")" + std::string(where) + "\""));
        EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED) << where;
    }
    use(rotated(R"("type": "unknown-rotation", "apply": [])"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED);
    use(rotated(
        R"("type": "hadamard", "randomize": true, "apply": [{"targets": ["Linear"], "location": "input"}])"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED);
}

TEST_F(CompressedTensors, NeedsNothingForRotationsThatAreFoldedIntoTheWeights) {
    use(rotated(
        R"("type": "hadamard", "apply": [{"targets": ["embed_tokens"], "location": "weight_output"}])"));
    packed("a");
    EXPECT_EQ(ask({.name = "a"}).rotation_block, 0u);
    for (const char* where : {"weight_input", "weight_output"}) {
        use(hadamard(R"("location": ")" + std::string(where) + "\""));
        const Seen seen = ask({.name = "a"});
        EXPECT_EQ(seen.status, MORTISE_OK) << where << seen.error;
        EXPECT_EQ(seen.rotation_block, 0u) << where;
    }
}

}  // namespace
}  // namespace mortise::test
