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
    host.file("config.json", config("auto_round:llm_compressor"));
    EXPECT_EQ(Opened("auto_round").status, MORTISE_UNSUPPORTED);
    host.file("config.json", config("auto_round", R"(, "data_type": "fp8")"));
    EXPECT_EQ(Opened("auto_round").status, MORTISE_UNSUPPORTED);
    host.file("config.json", config("auto_round", R"(, "act_bits": 8)"));
    EXPECT_EQ(Opened("auto_round").status, MORTISE_UNSUPPORTED);
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

}  // namespace
}  // namespace mortise::test
