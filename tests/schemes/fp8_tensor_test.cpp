#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(const std::string& scheme, const std::string& more = "") {
    return R"({"quantization_config": {"quant_method": "fp8", "activation_scheme": ")" + scheme + "\"" +
           more + "}}";
}

class Fp8Tensor : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void coded(const std::string& module, std::vector<int64_t> scale = {},
               std::vector<int64_t> shape = {64, 64}) {
        host.tensor(module + ".weight", MORTISE_DTYPE_F8_E4M3, std::move(shape));
        host.tensor(module + ".weight_scale", MORTISE_DTYPE_F32, std::move(scale));
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Fp8Tensor, ClaimsFp8ThatHasNeitherBlocksNorScalesPerRow) {
    host.file("config.json", config("dynamic"));
    coded("a", {1});
    EXPECT_TRUE(claims("fp8_tensor"));
    EXPECT_FALSE(claims("fp8_channel"));
    coded("a", {64, 1});
    EXPECT_FALSE(claims("fp8_tensor"));
    EXPECT_TRUE(claims("fp8_channel"));
}

TEST_F(Fp8Tensor, ReadsBareScalesThatNoConfigSpeaksOf) {
    host.file("config.json", "{}");
    EXPECT_FALSE(claims("fp8_tensor"));
    coded("a");
    EXPECT_TRUE(claims("fp8_tensor"));
    Opened opened("fp8_tensor");
    EXPECT_EQ(opened.module({.name = "a"}).dynamic, 1u);
    host.tensor("a.input_scale", MORTISE_DTYPE_F32, {});
    EXPECT_EQ(opened.module({.name = "a"}).dynamic, 0u) << "a stored input scale is there to be used";
}

TEST_F(Fp8Tensor, HasOneScaleForTheMatrixInEveryShapeOfOne) {
    host.file("config.json", config("dynamic"));
    coded("a");
    const Seen seen = Opened("fp8_tensor").module({.name = "a", .bias = true});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    const SeenField& scale = *seen.find(MORTISE_ROLE_SCALE);
    for (const auto& shape : std::vector<std::vector<int64_t>>{{}, {1}, {1, 1}})
        EXPECT_TRUE(scale.accepts(shape));
    EXPECT_FALSE(scale.accepts(std::vector<int64_t>{64}));
    EXPECT_EQ(seen.find(MORTISE_ROLE_BIAS)->tensor, "a.bias");
    EXPECT_EQ(seen.divides, (std::vector<uint32_t>{0}));
}

TEST_F(Fp8Tensor, KeepsOneScaleForEachShardOfAFusedMatrixOverItsOwnRows) {
    host.file("config.json", config("dynamic"));
    const ModuleOf qkv{.name = "l.0.qkv_proj",
                       .parts = {{"l.0.q_proj", 32}, {"l.0.k_proj", 16}, {"l.0.v_proj", 16}}};
    coded("l.0.qkv_proj", {3});
    const Seen seen = Opened("fp8_tensor").module(qkv);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.piece_ends, (std::vector<uint64_t>{32, 48, 64}));
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->rows, 3u);
    coded("l.0.qkv_proj", {1});
    const Seen one = Opened("fp8_tensor").module(qkv);
    EXPECT_TRUE(one.piece_ends.empty()) << "a scalar beside a fused matrix is the scale of all of it";
    coded("l.0.qkv_proj", {2});
    EXPECT_FALSE(Opened("fp8_tensor").module(qkv).find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{2}))
        << "which rows would be whose?";
}

TEST_F(Fp8Tensor, ReadsStacksOfExpertsWithOneScaleForEachHalf) {
    host.file("config.json", config("dynamic"));
    host.tensor("l.0.experts.gate_up_proj", MORTISE_DTYPE_F8_E4M3, {4, 64, 64});
    host.tensor("l.0.experts.gate_up_proj_scale_inv", MORTISE_DTYPE_F32, {4, 2, 1});
    const Seen seen =
        Opened("fp8_tensor")
            .module({.name = "l.0.experts.gate_up_proj", .experts = 4, .parts = {{"gate", 32}, {"up", 32}}});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.piece_ends, (std::vector<uint64_t>{32, 64}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{4, 2, 1}));
}

TEST_F(Fp8Tensor, QuantizesInputsUnderTheStoredScale) {
    host.file("config.json", config("static"));
    coded("a", {1});
    for (const char* name : {"a.activation_scale", "a.input_scale"}) {
        host.tensor(name, MORTISE_DTYPE_F32, {1});
        const Seen seen = Opened("fp8_tensor").module({.name = "a"});
        EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_TENSOR});
        EXPECT_EQ(seen.dynamic, 0u);
        EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_SCALE)->tensor, name);
        EXPECT_TRUE(seen.find(MORTISE_ROLE_INPUT_SCALE)->flags & MORTISE_FIELD_POSITIVE);
    }
}

TEST_F(Fp8Tensor, DemandsTheInputScaleThatAStaticSchemeNeeds) {
    host.file("config.json", config("static"));
    coded("l.0.experts.0.up_proj");
    const Seen seen = Opened("fp8_tensor").module({.name = "l.0.experts.0.up_proj"});
    EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_SCALE)->tensor, "l.0.experts.0.up_proj.input_scale");
    EXPECT_FALSE(seen.find(MORTISE_ROLE_INPUT_SCALE)->flags & MORTISE_FIELD_OPTIONAL) << "never 0, never 1";
}

TEST_F(Fp8Tensor, DropsAnInputScaleThatADynamicSchemeDoesNotUse) {
    host.file("config.json", config("dynamic"));
    coded("a");
    host.tensor("a.input_scale", MORTISE_DTYPE_F32, {});
    const Seen seen = Opened("fp8_tensor").module({.name = "a"});
    EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_TOKEN});
    EXPECT_EQ(seen.find(MORTISE_ROLE_UNUSED)->tensor, "a.input_scale");
    EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_SCALE), nullptr);
}

TEST_F(Fp8Tensor, ReadsAHeadThatIsCodedWithItsScale) {
    host.file("config.json", config("dynamic", R"(, "ignored_layers": ["lm_head"])"));
    coded("lm_head");
    const Seen seen = Opened("fp8_tensor").module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, "lm_head.weight_scale");
    EXPECT_EQ(seen.note, "the config leaves it out, and its weight is quantized");
}

TEST_F(Fp8Tensor, WantsCodesWithTheDtypeOfFloats) {
    host.file("config.json", config("dynamic"));
    host.tensor("a.weight", MORTISE_DTYPE_U8, {64, 64});
    const Seen seen = Opened("fp8_tensor").module({.name = "a"});
    EXPECT_FALSE(seen.plain);
    EXPECT_EQ(seen.find(MORTISE_ROLE_CODES)->dtypes, (std::vector<uint32_t>{MORTISE_DTYPE_F8_E4M3}));
}

TEST_F(Fp8Tensor, AsksForTheScalesOfACacheThatTheConfigNames) {
    host.file("config.json", config("static", R"(, "kv_cache_scheme": "static")"));
    EXPECT_EQ(Opened("fp8_tensor").cache("l.0.self_attn", 2).n_fields, 2u);
    host.file("config.json", config("static"));
    EXPECT_EQ(Opened("fp8_tensor").cache("l.0.self_attn", 2).n_fields, 0u);
}

TEST_F(Fp8Tensor, FindsCacheScalesUnderTheirOldNames) {
    host.file("config.json", config("static"));
    host.tensor("l.0.self_attn.kv_scale", MORTISE_DTYPE_F32, {1});
    for (const char* name : {"l.1.self_attn.qkqkv_proj.k_scale", "l.1.self_attn.qkqkv_proj.v_scale"})
        host.tensor(name, MORTISE_DTYPE_F32, {});
    Opened opened("fp8_tensor");
    EXPECT_EQ(opened.cache("l.0.self_attn", 2).n_fields, 2u) << "one for both";
    EXPECT_EQ(opened.cache("l.1.self_attn", 2).n_fields, 2u);
}

TEST_F(Fp8Tensor, AsksForTheSisterOfALoneCacheScale) {
    host.file("config.json", config("static"));
    host.tensor("l.0.self_attn.k_proj.k_scale", MORTISE_DTYPE_F32, {1});
    Opened opened("fp8_tensor");
    const mortise_cache_answer answer = opened.cache("l.0.self_attn", 2);
    ASSERT_EQ(answer.n_fields, 2u);
    EXPECT_EQ(copy(answer.fields[1].tensor), "l.0.self_attn.v_proj.v_scale");
}

TEST_F(Fp8Tensor, WritesWhatItReads) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    mortise_quantizer recipe{};
    std::string text;
    const Seen seen = written("fp8_tensor", {}, {.name = "a"}, current, &recipe, &text);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->first_dtype, uint32_t{MORTISE_DTYPE_F32});
    EXPECT_EQ(recipe.divisor, 448);
    EXPECT_EQ(recipe.zero_scale, 1);
    host.file("config.json", R"({"quantization_config": )" + text + "}");
    EXPECT_TRUE(claims("fp8_tensor"));
    EXPECT_EQ(Opened("fp8_tensor").status, MORTISE_OK);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Fp8Tensor, WritesNoBlockSizeAndTheSourcesOwnNameOfAScale) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    std::string text;
    EXPECT_EQ(
        written("fp8_tensor", {}, {.name = "a"}, current, nullptr, &text).find(MORTISE_ROLE_SCALE)->tensor,
        "a.weight_scale");
    EXPECT_NE(text.find(R"("weight_block_size":null)"), std::string::npos)
        << "left out, some readers assume 128";
    const std::vector<mortise_option> inverse = {{{"inv", 3}, {nullptr, 0}}};
    EXPECT_EQ(written("fp8_tensor", inverse, {.name = "a"}, current).find(MORTISE_ROLE_SCALE)->tensor,
              "a.weight_scale_inv");
    host.file("config.json", config("dynamic"));
    host.tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
    host.tensor("a.weight_scale_inv", MORTISE_DTYPE_F32, {});
    current.encoding = MORTISE_ENCODING_E4M3;
    EXPECT_EQ(written("fp8_tensor", {}, {.name = "a"}, current).find(MORTISE_ROLE_SCALE)->tensor,
              "a.weight_scale_inv");
}

TEST_F(Fp8Tensor, RefusesWhatItDoesNotKnow) {
    for (const auto& [scheme, more] : {std::pair{"token", ""},
                                       {"static", R"(, "fmt": "e5m2")"},
                                       {"static", R"(, "expert_dtype": "fp4")"},
                                       {"static", R"(, "kv_cache_scheme": "dynamic")"}}) {
        host.file("config.json", config(scheme, more));
        EXPECT_EQ(Opened("fp8_tensor").status, MORTISE_UNSUPPORTED) << scheme << more;
    }
}

// One scale of 8-bit floats is all that the config can say of a cache.
TEST_F(Fp8Tensor, WritesACacheOfEightBitFloatsUnderOneScale) {
    host.file("config.json", "{}");
    void* writer = nullptr;
    const mortise_scheme_v1& table = scheme("fp8_tensor");
    ASSERT_EQ(table.open_writer(host.checkpoint(), nullptr, 0, &writer), MORTISE_OK);
    mortise_field numbers[2]{};
    for (mortise_field& number : numbers) {
        number.role = MORTISE_ROLE_SCALE;
        number.experts = number.rows = number.columns = 1;
    }
    mortise_cache_answer current{}, out{};
    current.encoding = MORTISE_ENCODING_TWOS;
    current.n_fields = 2;
    current.fields = numbers;
    current.letters = "kv";
    ASSERT_EQ(table.target_cache(writer, borrow("s"), &current, &out), MORTISE_OK);
    EXPECT_EQ(out.n_fields, 0u);
    EXPECT_NE(copy(out.rule), "");
    current.encoding = MORTISE_ENCODING_E4M3;
    ASSERT_EQ(table.target_cache(writer, borrow("s"), &current, &out), MORTISE_OK);
    ASSERT_EQ(out.n_fields, 2u);
    EXPECT_EQ(copy(out.fields[1].tensor), "s.v_scale");
    std::string text;
    const auto keep = [](void* to, mortise_str piece) { *static_cast<std::string*>(to) = copy(piece); };
    ASSERT_EQ(table.write_config(writer, keep, &text), MORTISE_OK);
    EXPECT_NE(text.find(R"("kv_cache_scheme":"static")"), std::string::npos) << text;
    table.close_writer(writer);
}

}  // namespace
}  // namespace mortise::test
