#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(const std::string& packing, const std::string& more = "") {
    return R"({"quantization_config": {"quant_method": "auto-round", "bits": 4, "group_size": 32, "sym": true, "packing_format": ")" +
           packing + "\"" + more + "}}";
}

class AutoRound : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void coded(const std::string& module) {
        host.tensor(module + ".qweight", MORTISE_DTYPE_I32, {8, 64});
        host.tensor(module + ".qzeros", MORTISE_DTYPE_I32, {2, 8});
        host.tensor(module + ".scales", MORTISE_DTYPE_F16, {2, 64});
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(AutoRound, ReadsItsThreePackingsAndNoOther) {
    for (const char* packing : {"auto_round", "auto_round:auto_gptq", "auto_round:auto_awq"}) {
        host.file("config.json", config(packing));
        EXPECT_TRUE(claims("auto_round"));
        coded("a");
        const Seen seen = Opened("auto_round").module({.name = "a"});
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_EQ(seen.find(MORTISE_ROLE_UNUSED)->default_value, 8) << "zero points of a symmetric file";
        EXPECT_FALSE(seen.find(MORTISE_ROLE_SCALE)->flags & MORTISE_FIELD_POSITIVE)
            << "about half of the scales of symmetric files are negative";
    }
    for (const char* packing : {"auto_round:marlin", "auto_round:fake"}) {
        host.file("config.json", config(packing));
        const Opened opened("auto_round");
        EXPECT_EQ(opened.status, MORTISE_UNSUPPORTED) << packing;
        EXPECT_NE(opened.error.find(packing), std::string::npos) << opened.error;
    }
    host.file("config.json", R"({"quantization_config": {"quant_method": "auto-round", "bits": 4}})");
    EXPECT_EQ(Opened("auto_round").status, MORTISE_REFUSED) << "integers without a packing";
}

TEST_F(AutoRound, RefusesCodesAndInputsThatItCannotCompute) {
    for (const char* more :
         {R"("data_type": "fp8_e5m2", "bits": 8)", R"("data_type": "fp", "bits": 4)",
          R"("data_type": "mx_fp", "bits": 6)", R"("data_type": "int", "bits": 8, "act_bits": 8)",
          R"("data_type": "fp", "bits": 8, "act_bits": 8, "act_data_type": "int")",
          R"("data_type": "nv_fp", "bits": 4, "act_bits": 8)"}) {
        host.file(
            "config.json",
            R"({"quantization_config": {"quant_method": "auto-round", "group_size": 16, "packing_format": "auto_round", )" +
                std::string(more) + "}}");
        EXPECT_EQ(Opened("auto_round").status, MORTISE_UNSUPPORTED) << more;
    }
}

TEST_F(AutoRound, ReadsEightBitFloatsByMatrixRowOrBlock) {
    struct Case {
        const char* keys;
        const char* scale;
        std::vector<int64_t> shape;
        uint32_t granularity, dynamic;
    };
    const Case cases[] = {
        {R"("group_size": 0)", "a.weight_scale", {1}, MORTISE_ACTIVATION_NONE, 0},
        {R"("group_size": -1, "act_bits": 8, "act_data_type": "fp", "act_dynamic": false, "act_group_size": 0)",
         "a.weight_scale",
         {64},
         MORTISE_ACTIVATION_TENSOR,
         0},
        {R"("group_size": -1, "act_bits": 8, "act_data_type": "fp", "act_dynamic": true, "act_group_size": -1)",
         "a.weight_scale",
         {64, 1},
         MORTISE_ACTIVATION_TOKEN,
         1},
        {R"("group_size": [32, 32], "act_bits": 8, "act_data_type": "fp", "act_dynamic": true, "act_group_size": 32)",
         "a.weight_scale_inv",
         {2, 2},
         MORTISE_ACTIVATION_GROUP,
         1}};
    for (const Case& each : cases) {
        host.reset();
        host.file(
            "config.json",
            R"({"quantization_config": {"quant_method": "auto-round", "bits": 8, "data_type": "fp", "sym": true, )" +
                std::string(each.keys) + "}}");
        host.tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
        host.tensor(each.scale, MORTISE_DTYPE_BF16, each.shape);
        host.tensor("a.input_scale", MORTISE_DTYPE_BF16, {1});
        const Seen seen = Opened("auto_round").module({.name = "a"});
        ASSERT_EQ(seen.status, MORTISE_OK) << each.keys << seen.error;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->tensor, each.scale);
        EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(each.shape)) << each.keys;
        EXPECT_EQ(seen.granularity, each.granularity) << each.keys;
        EXPECT_EQ(seen.dynamic, each.dynamic) << each.keys;
        EXPECT_EQ(host.unread(), "");
    }
}

TEST_F(AutoRound, ReadsSmallFloatsInGroupsUnderTheNamesOfAnotherProducer) {
    const std::string start =
        R"({"quantization_config": {"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor", "sym": true, )";
    host.file(
        "config.json",
        start + R"("bits": 4, "data_type": "nv_fp", "group_size": 16, "act_bits": 4, "act_dynamic": true,
        "act_data_type": "nv_fp4_with_static_gs", "extra_config": {"b": {"bits": 8, "data_type": "mx_fp", "group_size": 32, "act_bits": 8,
        "act_data_type": "mx_fp_rceil"}}}})");
    host.tensor("a.weight_packed", MORTISE_DTYPE_U8, {64, 32});
    host.tensor("b.weight", MORTISE_DTYPE_F8_E4M3, {64, 64});
    Opened opened("auto_round");
    const Seen four = opened.module({.name = "a"});
    ASSERT_EQ(four.status, MORTISE_OK) << four.error;
    EXPECT_EQ(four.find(MORTISE_ROLE_CODES)->tensor, "a.weight_packed");
    EXPECT_EQ(four.find(MORTISE_ROLE_SCALE2)->tensor, "a.weight_global_scale");
    EXPECT_EQ(four.divides, (std::vector<uint32_t>{0, 1}));
    EXPECT_EQ(four.find(MORTISE_ROLE_INPUT_SCALE2)->tensor, "a.input_global_scale");
    const Seen eight = opened.module({.name = "b"});
    ASSERT_EQ(eight.status, MORTISE_OK) << eight.error;
    EXPECT_EQ(eight.find(MORTISE_ROLE_SCALE)->encoding, uint32_t{MORTISE_ENCODING_E8M0});
    EXPECT_EQ(eight.granularity, uint32_t{MORTISE_ACTIVATION_GROUP});
    EXPECT_EQ(opened.module({.name = "a", .columns = 24}).status, MORTISE_REFUSED);
}

TEST_F(AutoRound, AsksForTheScalesOfACacheThatTheConfigNames) {
    host.file("config.json",
              config("auto_round", R"(, "static_kv_dtype": "fp8", "static_kv_granularity": "tensor")"));
    EXPECT_EQ(Opened("auto_round").cache("l.0.self_attn", 2).n_fields, 2u);
}

TEST_F(AutoRound, PrefersANameToAnExpression) {
    for (const char* name : {"m.0.v_proj", "m.1.v_proj", "m.1.q_proj"}) coded(name);
    host.file(
        "config.json",
        config("auto_round", R"(, "extra_config": {"v_pr.j": {"bits": 2}, "m.0.v_proj": {"bits": 8}})"));
    Opened opened("auto_round");
    EXPECT_EQ(opened.module({.name = "m.0.v_proj"}).find(MORTISE_ROLE_CODES)->bits, 8u);
    EXPECT_EQ(opened.module({.name = "m.1.v_proj"}).find(MORTISE_ROLE_CODES)->bits, 2u);
    EXPECT_EQ(opened.module({.name = "m.1.q_proj"}).find(MORTISE_ROLE_CODES)->bits, 4u);
}

TEST_F(AutoRound, BelievesTheTensorsAndReportsTheClaim) {
    host.tensor("lm_head.weight", MORTISE_DTYPE_BF16, {64, 64});
    host.tensor("a.weight", MORTISE_DTYPE_BF16, {64, 64});
    coded("b");
    host.file("config.json",
              config("auto_round",
                     R"(, "extra_config": {"lm_head": {"bits": 4}, "a": {"bits": 16}, "b": {"bits": 16}})"));
    Opened opened("auto_round");
    const Seen head = opened.module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    EXPECT_TRUE(head.plain);
    EXPECT_NE(head.note.find("extra_config.lm_head"), std::string::npos);
    EXPECT_EQ(opened.module({.name = "a"}).note, "");
    EXPECT_NE(opened.module({.name = "b"}).note, "");
    EXPECT_FALSE(opened.module({.name = "b"}).plain);
}

TEST_F(AutoRound, NeedsItsZeroPointsAndFullWords) {
    host.file("config.json", config("auto_round"));
    coded("a");
    EXPECT_EQ(Opened("auto_round").module({.name = "a", .rows = 60}).status, MORTISE_REFUSED);
    host.tensors.erase("a.qzeros");
    EXPECT_EQ(Opened("auto_round").module({.name = "a"}).status, MORTISE_REFUSED);
}

// Effect: what is written of one float linear or of integer codes, and the config.
Seen write_one(std::vector<const char*> words, std::string& text, uint32_t encoding = MORTISE_ENCODING_BF16) {
    std::vector<mortise_option> options;
    for (const char* word : words) options.push_back({{word, std::char_traits<char>::length(word)}, {}});
    mortise_spec current{};
    current.encoding = encoding;
    current.columns = 64;
    current.n_levels = 1;
    current.levels[0].column_group = 32;
    current.bits = encoding == MORTISE_ENCODING_OFFSET ? 4 : 16;
    return written("auto_round", options, {.name = "a"}, current, nullptr, &text);
}

TEST_F(AutoRound, WritesThreePackingsThatItReadsBack) {
    for (const char* packing : {"auto_round", "gptq", "awq"}) {
        host.file("config.json", "{}");
        std::string text;
        const Seen seen = write_one({packing, "b4", "g32"}, text);
        ASSERT_TRUE(seen.status == MORTISE_OK && !seen.plain) << seen.error << seen.note;
        EXPECT_NE(seen.find(MORTISE_ROLE_ZERO_POINT), nullptr) << "stored, symmetric or not";
        EXPECT_NE(text.find(packing), std::string::npos) << text;
        host.file("config.json", R"({"quantization_config": )" + text + "}");
        EXPECT_TRUE(claims("auto_round")) << text;
        EXPECT_EQ(Opened("auto_round").status, MORTISE_OK) << text;
        EXPECT_EQ(host.unread(), "") << text;
    }
    host.file("config.json", "{}");
    std::string text;
    EXPECT_TRUE(write_one({"awq", "b8"}, text).plain) << "that packing has 4 bits";
    EXPECT_EQ(write_one({"marlin"}, text).status, MORTISE_REFUSED);
}

TEST_F(AutoRound, WritesTheSourcesOwnPackingAndTheSettingsOfItsCodes) {
    host.file("config.json", config("auto_round"));
    std::string text;
    EXPECT_EQ(write_one({}, text, MORTISE_ENCODING_OFFSET).find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_NE(text.find(R"("packing_format":"auto_round")"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("bits":4,"group_size":32,"sym":true)"), std::string::npos) << text;
    EXPECT_TRUE(write_one({}, text).plain) << "a float of a coded source";
    EXPECT_NE(text.find(R"("extra_config":{"a":{"bits":16}})"), std::string::npos) << text;
}

}  // namespace
}  // namespace mortise::test
