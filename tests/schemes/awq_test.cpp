#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(
    const std::string& more =
        R"("version": "gemm", "zero_point": true, "group_size": 32, "modules_to_not_convert": null)") {
    return R"({"quantization_config": {"quant_method": "awq", "bits": 4, )" + more + "}}";
}

class Awq : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void coded(const std::string& module, uint32_t scale = MORTISE_DTYPE_F16) {
        host.tensor(module + ".qweight", MORTISE_DTYPE_I32, {64, 8});
        host.tensor(module + ".qzeros", MORTISE_DTYPE_I32, {2, 8});
        host.tensor(module + ".scales", scale, {2, 64});
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Awq, ClaimsItsMethodByItsWholeName) {
    host.file("config.json", config());
    EXPECT_TRUE(claims("awq"));
    host.file("config.json", R"({"quantization_config": {"quant_method": "awq_marlin"}})");
    EXPECT_FALSE(claims("awq"));
    host.file("config.json", R"({"quantization_config": {"quant_method": "gptq"}})");
    EXPECT_FALSE(claims("awq"));
}

TEST_F(Awq, RefusesOtherPackingsByName) {
    for (const char* version : {"marlin", "exllama", "ipex"}) {
        host.file("config.json", config(R"("version": ")" + std::string(version) + "\""));
        const Opened opened("awq");
        EXPECT_EQ(opened.status, MORTISE_UNSUPPORTED);
        EXPECT_NE(opened.error.find(version), std::string::npos) << opened.error;
    }
    host.file("config.json",
              R"({"quantization_config": {"quant_method": "awq", "bits": 8, "version": "gemm"}})");
    EXPECT_EQ(Opened("awq").status, MORTISE_UNSUPPORTED);
}

TEST_F(Awq, PadsGroupsOfFilesPackedAlongTheColumns) {
    host.file("config.json", config(R"("version": "GEMV", "group_size": 32)"));
    coded("a");
    const Seen words = Opened("awq").module({.name = "a"});
    ASSERT_EQ(words.status, MORTISE_OK) << words.error;
    EXPECT_EQ(words.offset_kind, 2u);
    EXPECT_EQ(words.find(MORTISE_ROLE_ZERO_POINT)->columns, 2u);
    for (const char* more :
         {R"("version": "gemv_fast", "group_size": 32)", R"("backend": "llm-awq", "group_size": 32)"}) {
        host.file("config.json", config(more));
        const Seen floats = Opened("awq").module({.name = "a"});
        ASSERT_EQ(floats.status, MORTISE_OK) << floats.error;
        EXPECT_EQ(floats.offset_kind, 3u) << "zero points are float addends";
        EXPECT_EQ(floats.find(MORTISE_ROLE_CODES)->first_dtype, uint32_t{MORTISE_DTYPE_I16});
    }
    EXPECT_EQ(Opened("awq").module({.name = "a", .columns = 96}).status, MORTISE_REFUSED)
        << "blocks of 64 columns";
}

TEST_F(Awq, ReadsTheSpellingWithoutAZeroPointKey) {
    host.file(
        "config.json",
        R"({"quantization_config": {"method": "awq", "bits": 4, "format": "gemm", "sym": true, "group_size": 32}})");
    EXPECT_TRUE(claims("awq"));
    coded("a");
    EXPECT_TRUE(Opened("awq").module({.name = "a"}).find(MORTISE_ROLE_UNUSED)->flags &
                MORTISE_FIELD_CONSTANT);
}

TEST_F(Awq, ReadsEveryKeyOfAPublishedConfigAndNoOther) {
    host.file(
        "config.json",
        config(
            R"("version": "GEMM", "zero_point": true, "q_group_size": 32, "modules_to_not_convert": null, "odd_key": 1)"));
    const Opened opened("awq");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    EXPECT_EQ(host.unread(), "quantization_config.odd_key ");
}

TEST_F(Awq, DescribesCodesScalesAndZeroPoints) {
    host.file("config.json", config());
    coded("a.q_proj");
    const Seen seen = Opened("awq").module({.name = "a.q_proj"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_UNSIGNED});
    EXPECT_EQ(seen.offset_kind, 2u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->bits, 16u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_ZERO_POINT)->tensor, "a.q_proj.qzeros");
    EXPECT_TRUE(seen.find(MORTISE_ROLE_BIAS)->flags & MORTISE_FIELD_DROP_IF_ZERO)
        << "some producers add zero biases";
}

TEST_F(Awq, NeedsTheBiasThatTheArchitectureHas) {
    host.file("config.json", config());
    coded("a");
    EXPECT_FALSE(Opened("awq").module({.name = "a", .bias = true}).find(MORTISE_ROLE_BIAS)->flags &
                 MORTISE_FIELD_DROP_IF_ZERO);
}

TEST_F(Awq, LaysScalesOutByTheDtypeTheyHave) {
    host.file("config.json", config());
    coded("a", MORTISE_DTYPE_F32);
    EXPECT_EQ(Opened("awq").module({.name = "a"}).find(MORTISE_ROLE_SCALE)->bits, 32u);
    EXPECT_TRUE(Opened("awq").module({.name = "a"}).find(MORTISE_ROLE_SCALE)->accepts(MORTISE_DTYPE_BF16))
        << "as gptqmodel writes them";
}

TEST_F(Awq, TakesAFloatHeadThatNoListNames) {
    host.file("config.json", config(R"("version": "gemm", "modules_to_not_convert": null)"));
    host.tensor("lm_head.weight", MORTISE_DTYPE_F16, {64, 64});
    const Seen head = Opened("awq").module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    EXPECT_TRUE(head.plain);
    EXPECT_EQ(head.note, "");
}

TEST_F(Awq, TakesMinusOneAsOneGroup) {
    host.file("config.json", config(R"("version": "gemm", "group_size": -1)"));
    coded("a");
    EXPECT_EQ(Opened("awq").module({.name = "a"}).find(MORTISE_ROLE_SCALE)->columns, 1u);
}

TEST_F(Awq, MakesStoredZeroPointsOfASymmetricFileAPromise) {
    host.file("config.json", config(R"("version": "gemm", "group_size": 32, "zero_point": false)"));
    coded("a");
    const Seen stored = Opened("awq").module({.name = "a"});
    EXPECT_EQ(stored.encoding, uint32_t{MORTISE_ENCODING_OFFSET})
        << "8 is in the codes, and need not be read";
    EXPECT_TRUE(stored.find(MORTISE_ROLE_UNUSED)->flags & MORTISE_FIELD_CONSTANT);
    EXPECT_EQ(stored.find(MORTISE_ROLE_UNUSED)->default_value, 8);
    host.tensors.erase("a.qzeros");
    const Seen absent = Opened("awq").module({.name = "a"});
    EXPECT_EQ(absent.encoding, uint32_t{MORTISE_ENCODING_OFFSET});
    EXPECT_EQ(absent.find(MORTISE_ROLE_ZERO_POINT), nullptr);
}

TEST_F(Awq, SkipsWholeComponentsOnly) {
    host.file("config.json",
              config(R"("version": "gemm", "group_size": 32, "modules_to_not_convert": ["gate"])"));
    coded("a.gate_proj");
    host.tensor("a.gate.weight", MORTISE_DTYPE_F16, {64, 64});
    Opened opened("awq");
    EXPECT_FALSE(opened.module({.name = "a.gate_proj"}).plain);
    EXPECT_EQ(opened.module({.name = "a.gate_proj"}).note, "");
    EXPECT_TRUE(opened.module({.name = "a.gate"}).plain);
    EXPECT_EQ(opened.module({.name = "a.gate"}).rule, "modules_to_not_convert[0] = gate");
}

TEST_F(Awq, RefusesWhatFillsNoWordsOrGroups) {
    host.file("config.json", config());
    coded("a");
    EXPECT_EQ(Opened("awq").module({.name = "a", .rows = 60}).status, MORTISE_REFUSED);
    host.file("config.json", config(R"("version": "gemv", "group_size": 32)"));
    EXPECT_EQ(Opened("awq").module({.name = "a", .columns = 48}).status, MORTISE_REFUSED);
}

TEST_F(Awq, LeavesTheRecordOfATunerUnread) {
    host.file(
        "config.json",
        R"({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm",
        "autoround_version": "0.16.1", "data_type": "int", "enable_quanted_input": false, "iters": 50, "provider": "auto-round",
        "sym": false, "to_quant_block_names": "model.layers", "zero_point": true}})");
    EXPECT_EQ(Opened("awq").status, MORTISE_OK);
    EXPECT_EQ(host.unread(), "");
}

TEST_F(Awq, WritesLinearsThatFitAndLeavesTheRest) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_F16;
    const std::vector<mortise_option> g32 = {{{"g32", 3}, {nullptr, 0}}};
    std::string text;
    EXPECT_FALSE(written("awq", g32, {.name = "a"}, current, nullptr, &text).plain);
    EXPECT_NE(text.find(R"("group_size":32,"modules_to_not_convert":null)"), std::string::npos) << text;
    EXPECT_TRUE(written("awq", g32, {.name = "a", .columns = 48}, current, nullptr, &text).plain);
    EXPECT_NE(text.find(R"("modules_to_not_convert":["a"])"), std::string::npos) << text;
    written("awq", g32, {.name = "m.layers.0.mlp.gate", .columns = 48}, current, nullptr, &text);
    EXPECT_NE(text.find(R"(["mlp.gate"])"), std::string::npos) << "looked for below its layer: " << text;
    EXPECT_TRUE(written("awq", g32, {.name = "lm_head", .kind = MORTISE_MODULE_HEAD}, current).plain);
    host.file("config.json", R"({"quantization_config": )" + text + "}");
    EXPECT_TRUE(claims("awq"));
    EXPECT_EQ(Opened("awq").status, MORTISE_OK);
}

TEST_F(Awq, WritesThePackingThatTheSourceHasUnlessToldOtherwise) {
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_UNSIGNED;
    current.bits = 4;
    current.n_levels = 1;
    current.levels[0].column_group = 32;
    current.offset_kind = 2;
    std::string text;
    for (const std::string version : {"gemm", "gemv", "gemv_fast"}) {
        host.file("config.json", config(R"("group_size": 32, "version": ")" + version + '"'));
        const Seen seen = written("awq", {}, {.name = "a"}, current, nullptr, &text);
        ASSERT_TRUE(seen.status == MORTISE_OK && !seen.plain) << seen.error << seen.note;
        EXPECT_NE(text.find(R"("version":")" + version + '"'), std::string::npos) << text;
        EXPECT_EQ(seen.find(MORTISE_ROLE_ADDEND) != nullptr, version == "gemv_fast");
    }
    const std::vector<mortise_option> gemm = {{{"gemm", 4}, {nullptr, 0}}};
    written("awq", gemm, {.name = "a"}, current, nullptr, &text);
    EXPECT_NE(text.find(R"("version":"gemm")"), std::string::npos) << text;
}

}  // namespace
}  // namespace mortise::test
