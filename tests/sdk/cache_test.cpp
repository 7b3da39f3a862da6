#include "mortise/sdk/cache.h"

#include <gtest/gtest.h>

#include "mortise/sdk/plugin.h"
#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

using test::copy;
using test::FakeHost;

constexpr const char* attention = "model.layers.3.self_attn";

class CacheFieldsTest : public testing::Test {
  protected:
    void SetUp() override {
        host.reset();
        host_slot() = host.table();
    }
    void TearDown() override { host.reset(); }
    void scale(const std::string& name, std::vector<int64_t> shape = {1}) {
        host.tensor(std::string(attention) + "." + name, MORTISE_DTYPE_F32, std::move(shape));
    }
    const mortise_cache_answer& ask(const CacheCoding& coding = {}) {
        answer = mortise_cache_answer{};
        fields.answer(Checkpoint(host.checkpoint()), attention, 2, 16, coding, answer);
        return answer;
    }
    // "k=model.layers.3.self_attn.k_scale ..." without the attention's own name.
    std::string seen() const {
        std::string out;
        for (uint32_t f = 0; f < answer.n_fields; ++f)
            out += (f ? " " : "") + std::string(1, answer.letters[f]) + "=" +
                   copy(answer.fields[f].tensor).substr(std::string(attention).size() + 1);
        return out;
    }
    FakeHost& host = FakeHost::instance();
    CacheFields fields;
    mortise_cache_answer answer{};
};

TEST_F(CacheFieldsTest, FindsScalesUnderEverySpellingOfTheProducers) {
    const std::pair<std::string, std::string> spellings[] = {
        {"k_scale", "v_scale"},                          // llm-compressor
        {"attn.k_scale", "attn.v_scale"},                // already renamed as engines do
        {"k_proj.k_scale", "v_proj.v_scale"},            // ModelOpt
        {"qkv_proj.k_scale", "qkv_proj.v_scale"},        // fused names
        {"qkqkv_proj.k_scale", "qkqkv_proj.v_scale"},    // the doubled rewrite
        {"k_cache.scale", "v_cache.scale"},              // HunYuan
        {"k_proj.output_scale", "v_proj.output_scale"},  // older llm-compressor, Quark
        {"v_proj.k_scale", "k_proj.v_scale"},            // the scale's letter decides
        {"kv_scale", "kv_scale"},                        // AutoFP8
    };
    for (const auto& [k, v] : spellings) {
        host.reset();
        scale(k);
        scale(v);
        ask(float8_cache("test"));
        EXPECT_EQ(seen(), "k=" + k + " v=" + v);
        EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    }
}

TEST_F(CacheFieldsTest, ReadsTheSameUnderAMixer) {
    host.tensor("backbone.layers.0.mixer.k_proj.k_scale", MORTISE_DTYPE_F32, {});
    host.tensor("backbone.layers.0.mixer.v_proj.v_scale", MORTISE_DTYPE_F32, {});
    fields.answer(Checkpoint(host.checkpoint()), "backbone.layers.0.mixer", 2, 16, {}, answer);
    EXPECT_EQ(answer.n_fields, 2u);
}

TEST_F(CacheFieldsTest, FindsTheScaleOfQueriesAndOfProbabilities) {
    scale("k_scale");
    scale("v_scale");
    scale("q.scale");
    scale("prob_output_scale");
    ask(float8_cache("test"));
    EXPECT_EQ(seen(), "k=k_scale v=v_scale q=q.scale p=prob_output_scale");
    EXPECT_EQ(answer.fields[3].role, uint32_t{MORTISE_ROLE_UNUSED});
}

TEST_F(CacheFieldsTest, ListsScalesThatNoConfigSpeaksOf) {
    scale("k_scale");
    scale("v_scale");
    ask();
    EXPECT_EQ(answer.n_fields, 2u) << "present and unused, never lost";
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_AS_DTYPE});
}

TEST_F(CacheFieldsTest, AsksForBothScalesOfACodedCache) {
    EXPECT_EQ(ask(float8_cache("test")).n_fields, 2u);
    EXPECT_EQ(answer.fields[0].flags & MORTISE_FIELD_OPTIONAL, 0u);
}

TEST_F(CacheFieldsTest, AsksForNothingWhereTheProducerLeavesOutScalesOfOne) {
    CacheCoding coding = float8_cache("test");
    coding.may_lack = true;
    EXPECT_EQ(ask(coding).n_fields, 0u);
    EXPECT_EQ(answer.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    scale("k_scale");
    EXPECT_EQ(ask(coding).n_fields, 2u) << "half of them is a loss all the same";
}

TEST_F(CacheFieldsTest, TakesFloatCachesWithoutScalesAsTheRecipesOfAConstantScaleOfOne) {
    EXPECT_EQ(ask(cache_named("fp8", "nvfp4")).n_fields, 0u);
    EXPECT_EQ(ask(cache_named("nvfp4", "nvfp4")).scale_divisor, 6) << "of the 1 that is not stored, too";
    EXPECT_EQ(ask(cache_named("int8", "nvfp4")).n_fields, 2u) << "integers have no such recipe";
}

TEST_F(CacheFieldsTest, AsksForTheSisterOfALoneScaleInItsSpelling) {
    scale("k_proj.k_scale");
    ask();
    EXPECT_EQ(seen(), "k=k_proj.k_scale v=v_proj.v_scale");
}

TEST_F(CacheFieldsTest, RefusesOneScaleUnderTwoNames) {
    scale("k_scale");
    scale("v_scale");
    scale("attn.k_scale");
    EXPECT_THROW(ask(float8_cache("test")), Refused);
}

TEST_F(CacheFieldsTest, TakesOneScalePerHeadWhereTheConfigSaysSo) {
    scale("k_scale", {2, 1, 1});
    scale("v_scale", {2, 1, 1});
    scale("q_scale", {4, 1, 1});
    CacheCoding coding = float8_cache("test");
    coding.per_head = true;
    ask(coding);
    EXPECT_EQ(answer.per_head, 1u);
    EXPECT_EQ(answer.fields[0].rows, 2u);
    EXPECT_EQ(answer.fields[0].shapes[1].rank, 3u) << "[heads, 1, 1] as llm-compressor writes them";
    EXPECT_EQ(answer.fields[2].rows, 4u) << "queries have heads of their own";
    EXPECT_EQ(ask(float8_cache("test")).fields[0].rows, 1u) << "then the shape is a contradiction";
}

TEST_F(CacheFieldsTest, TellsOneScalePerHeadByItsSizeWhereTheConfigIsSilent) {
    scale("k_scale", {2, 1, 1});
    scale("v_scale", {2, 1, 1});
    ask();
    EXPECT_EQ(answer.per_head, 1u);
    EXPECT_EQ(answer.fields[0].rows, 2u);
}

TEST_F(CacheFieldsTest, TakesBiasesOfACacheForWhatTheyAre) {
    scale("k_proj.k_scale");
    scale("v_proj.v_scale");
    host.tensor(std::string(attention) + ".k_proj.k_bias", MORTISE_DTYPE_BF16, {1, 2, 1, 16});
    host.tensor(std::string(attention) + ".v_proj.v_bias", MORTISE_DTYPE_BF16, {1, 2, 1, 24});
    ask(float8_cache("a label that does not say so"));
    EXPECT_EQ(seen(), "k=k_proj.k_scale v=v_proj.v_scale K=k_proj.k_bias V=v_proj.v_bias");
    EXPECT_EQ(answer.affine, 1u);
    EXPECT_EQ(answer.fields[2].role, uint32_t{MORTISE_ROLE_ADDEND});
    EXPECT_EQ(answer.fields[2].columns, 16u);
    EXPECT_EQ(answer.fields[3].columns, 24u) << "values may be wider than keys";
}

TEST_F(CacheFieldsTest, AsksForBiasesThatTheConfigNames) {
    CacheCoding coding = float4_cache("test");
    coding.biases = true;
    EXPECT_EQ(ask(coding).n_fields, 4u);
    EXPECT_EQ(answer.scale_divisor, 6);
}

TEST_F(CacheFieldsTest, KeepsZeroPointsOfSymmetricCodesOnlyIfTheyAreZero) {
    scale("k_scale");
    scale("v_scale");
    host.tensor(std::string(attention) + ".k_zero_point", MORTISE_DTYPE_I8, {1});
    host.tensor(std::string(attention) + ".v_zero_point", MORTISE_DTYPE_I8, {1});
    ask(int8_cache("test"));
    ASSERT_EQ(seen(), "k=k_scale k=k_zero_point v=v_scale v=v_zero_point");
    EXPECT_TRUE(answer.fields[1].flags & MORTISE_FIELD_DROP_IF_ZERO);
    CacheCoding coding = int8_cache("test");
    coding.zero_points = true;
    ask(coding);
    EXPECT_FALSE(answer.fields[1].flags & MORTISE_FIELD_DROP_IF_ZERO);
}

}  // namespace
}  // namespace mortise::sdk
