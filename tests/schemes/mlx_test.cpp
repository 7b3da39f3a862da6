#include <cstring>

#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

// config.json with the same settings under both names, as the producer writes it.
std::string config(const std::string& settings) {
    return R"({"quantization": {)" + settings + R"(}, "quantization_config": {)" + settings + "}}";
}
const std::string four = R"("group_size": 32, "bits": 4)";

class Mlx : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    // 64 x 64 codes, by default of 4 bits with a scale and an addend for each 32.
    void coded(const std::string& module, int64_t words = 8, int64_t groups = 2) {
        host.tensor(module + ".weight", MORTISE_DTYPE_U32, {64, words});
        host.tensor(module + ".scales", MORTISE_DTYPE_BF16, {64, groups});
        host.tensor(module + ".biases", MORTISE_DTYPE_BF16, {64, groups});
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Mlx, ClaimsItsTopLevelSettingsAndNoMethodOfOthers) {
    host.file("config.json", config(four));
    EXPECT_TRUE(claims("mlx"));
    host.file("config.json",
              R"({"quantization": {"bits": 4}, "quantization_config": {"quant_method": "gptq"}})");
    EXPECT_FALSE(claims("mlx"));
    host.file("config.json", R"({"quantization_config": {"group_size": 32, "bits": 4}})");
    EXPECT_FALSE(claims("mlx"));
}

TEST_F(Mlx, KeepsTheAddendCalledBiasesApartFromTheBias) {
    host.file("config.json", config(four));
    coded("a");
    host.tensor("a.bias", MORTISE_DTYPE_BF16, {64});
    Opened opened("mlx");
    const Seen seen = opened.module({.name = "a", .bias = true});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.offset_kind, 3u) << "a float added after scaling";
    ASSERT_TRUE(seen.find(MORTISE_ROLE_ADDEND));
    EXPECT_EQ(seen.find(MORTISE_ROLE_ADDEND)->tensor, "a.biases");
    ASSERT_TRUE(seen.find(MORTISE_ROLE_BIAS));
    EXPECT_EQ(seen.find(MORTISE_ROLE_BIAS)->tensor, "a.bias");
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Mlx, AllowsNegativeScales) {
    host.file("config.json", config(four));
    coded("a");
    Opened opened("mlx");
    const Seen seen = opened.module({.name = "a"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->flags, uint32_t{MORTISE_FIELD_FINITE})
        << "half of them are negative";
}

TEST_F(Mlx, DecidesEachModeByItsName) {
    struct Case {
        const char* settings;
        uint32_t encoding;
        uint64_t groups;
    };
    for (const Case& each :
         {Case{R"("mode": "mxfp4", "group_size": 32, "bits": 4)", MORTISE_ENCODING_E2M1, 2},
          {R"("mode": "mxfp8", "group_size": 32, "bits": 8)", MORTISE_ENCODING_E4M3, 2},
          {R"("mode": "nvfp4", "group_size": 16, "bits": 4)", MORTISE_ENCODING_E2M1, 4}}) {
        host.reset();
        host.file("config.json", config(each.settings));
        coded("a");
        Opened opened("mlx");
        const Seen seen = opened.module({.name = "a"});
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_EQ(seen.encoding, each.encoding) << each.settings;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->first_dtype, uint32_t{MORTISE_DTYPE_U8}) << each.settings;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, each.groups) << each.settings;
        EXPECT_EQ(seen.offset_kind, 0u) << each.settings;
        EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_POSITIVE) << "of zeros it is 0";
    }
}

TEST_F(Mlx, RefusesCodesThatAModeDoesNotHave) {
    for (const char* settings :
         {R"("mode": "mxfp4", "group_size": 64, "bits": 4)",
          R"("mode": "nvfp4", "group_size": 16, "bits": 8)", R"("group_size": 32, "bits": 7)",
          R"("group_size": 32, "bits": 1)", R"("mode": "mxfp6", "group_size": 32, "bits": 6)",
          R"("mode": "nvfp4", "group_size": 16, "bits": 4, "quantize_input": true)",
          R"("group_size": 32, "bits": 4, "new": 1)"}) {
        host.file("config.json", config(settings));
        EXPECT_EQ(Opened("mlx").status, MORTISE_UNSUPPORTED) << settings;
    }
}

TEST_F(Mlx, RefusesCopiesOfTheSettingsThatDiffer) {
    host.file("config.json", R"({"quantization": {"group_size": 32, "bits": 4, "a": {"bits": 4}},
                                 "quantization_config": {"group_size": 32, "bits": 4, "a": {"bits": 8}}})");
    EXPECT_EQ(Opened("mlx").status, MORTISE_REFUSED);
    host.file("config.json", R"({"quantization": {"group_size": 32, "bits": 4, "a": true},
                                 "quantization_config": {"a": true, "bits": 4, "group_size": 32}})");
    EXPECT_EQ(Opened("mlx").status, MORTISE_OK) << "the order of members does not count";
}

TEST_F(Mlx, ReadsAnOverrideWithTheDefaultsOfItsModeNotOfTheCheckpoint) {
    host.file("config.json",
              config(R"("mode": "mxfp4", "group_size": 32, "bits": 4, "a": {"group_size": 64, "bits": 8},
                                       "b": {"bits": 6}, "c": true)"));
    coded("a", 16, 1);
    coded("b", 12, 1);
    coded("c");
    Opened opened("mlx");
    const Seen a = opened.module({.name = "a"});
    ASSERT_EQ(a.status, MORTISE_OK) << a.error;
    EXPECT_EQ(a.encoding, uint32_t{MORTISE_ENCODING_UNSIGNED}) << "an override without a mode is affine";
    EXPECT_EQ(a.find(MORTISE_ROLE_CODES)->bits, 8u);
    const Seen b = opened.module({.name = "b"});
    ASSERT_EQ(b.status, MORTISE_OK) << b.error;
    EXPECT_EQ(b.find(MORTISE_ROLE_CODES)->bits, 6u);
    EXPECT_EQ(b.find(MORTISE_ROLE_SCALE)->columns, 1u) << "groups of 64 by default";
    const Seen c = opened.module({.name = "c"});
    ASSERT_EQ(c.status, MORTISE_OK) << c.error;
    EXPECT_EQ(c.encoding, uint32_t{MORTISE_ENCODING_E2M1});
    EXPECT_EQ(c.rule, "quantization.c");
}

TEST_F(Mlx, LetsTheTensorsWinOverAnOverride) {
    host.file("config.json", config(four + R"(, "a": false, "b": true, "c": false)"));
    coded("a");
    host.tensor("b.weight", MORTISE_DTYPE_BF16, {64, 64});
    host.tensor("c.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("mlx");
    const Seen a = opened.module({.name = "a"});
    EXPECT_FALSE(a.plain);
    EXPECT_NE(a.note.find("quantization.a"), std::string::npos) << a.note;
    const Seen b = opened.module({.name = "b"});
    EXPECT_TRUE(b.plain);
    EXPECT_NE(b.note.find("quantization.b"), std::string::npos) << b.note;
    const Seen c = opened.module({.name = "c"});
    EXPECT_TRUE(c.plain);
    EXPECT_EQ(c.note, "");
    EXPECT_EQ(c.rule, "quantization.c");
}

TEST_F(Mlx, TakesALayerWhoseColumnsAreNoWholeGroupsAsFloatsWithoutAWordInTheConfig) {
    host.file("config.json", config(R"("group_size": 128, "bits": 4)"));
    host.tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("mlx");
    const Seen seen = opened.module({.name = "a"});
    EXPECT_TRUE(seen.plain);
    EXPECT_EQ(seen.note, "");
}

TEST_F(Mlx, QuantizesEmbeddingsAndStacksOfExperts) {
    host.file("config.json", config(four));
    coded("model.embed_tokens");
    Opened opened("mlx");
    const Seen embedding = opened.module({.name = "model.embed_tokens", .kind = MORTISE_MODULE_EMBEDDING});
    EXPECT_FALSE(embedding.plain);
    for (const char* leaf : {".weight", ".scales", ".biases"})
        host.tensor(std::string("mlp.switch_mlp.up_proj") + leaf, MORTISE_DTYPE_U32, {4, 64, 8});
    const Seen stack = opened.module({.name = "mlp.switch_mlp.up_proj", .experts = 4});
    ASSERT_EQ(stack.status, MORTISE_OK) << stack.error;
    EXPECT_FALSE(stack.plain);
    EXPECT_TRUE(stack.find(MORTISE_ROLE_CODES)->accepts(std::vector<int64_t>{4, 64, 8}));
}

// A float weight [64][64], as a writer gets it.
mortise_spec floats(uint32_t encoding = MORTISE_ENCODING_BF16) {
    mortise_spec spec{};
    spec.head.size = sizeof spec;
    spec.experts = 1;
    spec.rows = spec.columns = 64;
    spec.encoding = encoding;
    return spec;
}
// 4-bit integers in groups of 32.
mortise_spec integers(uint64_t group = 32) {
    mortise_spec spec = floats(MORTISE_ENCODING_UNSIGNED);
    spec.bits = 4;
    spec.n_levels = 1;
    spec.levels[0].role = MORTISE_ROLE_SCALE;
    spec.levels[0].row_group = 1;
    spec.levels[0].column_group = group;
    return spec;
}
std::vector<mortise_option> words(std::initializer_list<const char*> list) {
    std::vector<mortise_option> out;
    for (const char* each : list) out.push_back({{each, std::strlen(each)}, {"", 0}});
    return out;
}

TEST_F(Mlx, WritesSettingsThatItReadsBack) {
    for (const char* mode : {"affine", "mxfp4", "mxfp8", "nvfp4"}) {
        host.reset();
        host.file("config.json", "{}");
        std::string text;
        const Seen seen = written("mlx", words({mode}), {.name = "a"}, floats(), nullptr, &text);
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_FALSE(seen.plain) << mode;
        host.file("config.json", R"({"quantization": )" + text + R"(, "quantization_config": )" + text + "}");
        EXPECT_TRUE(claims("mlx")) << text;
        EXPECT_EQ(Opened("mlx").status, MORTISE_OK) << text;
        EXPECT_EQ(host.unread(), "") << text;
    }
    EXPECT_EQ(copy(scheme("mlx").config_copy), "quantization") << "the library reads that member alone";
}

TEST_F(Mlx, WritesTheBitsAndGroupsThatCodesHaveUnlessOptionsSayOtherwise) {
    host.file("config.json", R"({"quantization_config": {}})");
    std::string text;
    const Seen kept = written("mlx", {}, {.name = "a"}, integers(), nullptr, &text);
    EXPECT_EQ(kept.find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_NE(text.find(R"("bits":4,"group_size":32)"), std::string::npos) << text;
    const Seen chosen = written("mlx", words({"b8", "g64"}), {.name = "a"}, integers(), nullptr, &text);
    EXPECT_EQ(chosen.find(MORTISE_ROLE_SCALE)->columns, 1u);
    EXPECT_NE(text.find(R"("bits":8,"group_size":64)"), std::string::npos) << text;
    EXPECT_EQ(written("mlx", words({"b7"}), {.name = "a"}, floats()).status, MORTISE_UNSUPPORTED);
    EXPECT_EQ(written("mlx", words({"mxfp4", "g64"}), {.name = "a"}, floats()).status, MORTISE_UNSUPPORTED);
}

TEST_F(Mlx, LeavesFloatsOfACodedSourceAndColumnsWithoutWholeGroupsAsTheyAre) {
    host.file("config.json", R"({"quantization_config": {"quant_method": "gptq"}})");
    EXPECT_TRUE(written("mlx", {}, {.name = "a"}, floats()).plain);
    host.file("config.json", "{}");
    EXPECT_TRUE(written("mlx", {}, {.name = "a", .columns = 48}, floats()).plain);
    EXPECT_FALSE(
        written("mlx", {}, {.name = "model.embed_tokens", .kind = MORTISE_MODULE_EMBEDDING}, floats()).plain);
}

}  // namespace
}  // namespace mortise::test
