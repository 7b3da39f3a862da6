#include <cstring>

#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(const std::string& settings) {
    return R"({"quantization_config": {"quant_method": "bitsandbytes", )" + settings + "}}";
}
const std::string eight =
    R"("load_in_8bit": true, "load_in_4bit": false, "bnb_4bit_quant_type": "fp4", "llm_int8_threshold": 6.0)";
const std::string four = R"("load_in_4bit": true, "load_in_8bit": false, "bnb_4bit_quant_type": "nf4")";
const std::string usual = R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]})";

class BitsAndBytes : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    // A 64 x 64 weight of 4 bits whose state is this text, and how many scales it has.
    void coded(const std::string& module, std::string state = usual, const std::string& kind = "nf4",
               int64_t scales = 64) {
        const std::string weight = module + ".weight";
        while (state.size() % 4 != 0) state += ' ';
        host.tensor(weight, MORTISE_DTYPE_U8, {2048, 1});
        host.tensor(weight + ".absmax", MORTISE_DTYPE_F32, {scales});
        host.tensor(weight + ".quant_map", MORTISE_DTYPE_F32, {16});
        const std::string blob = weight + ".quant_state.bitsandbytes__" + kind;
        host.tensor(blob, MORTISE_DTYPE_U8, {static_cast<int64_t>(state.size())});
        host.contents[blob].resize(state.size() / 4);
        std::memcpy(host.contents[blob].data(), state.data(), state.size());
    }
    Seen module_with(const std::string& state, const std::string& kind = "nf4") {
        host.file("config.json", config(four));
        coded("a", state, kind);
        Opened opened("bitsandbytes");
        return opened.module({.name = "a"});
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(BitsAndBytes, ClaimsItsMethodAndOldConfigsWithoutOne) {
    host.file("config.json", config(eight));
    EXPECT_TRUE(claims("bitsandbytes"));
    host.file("config.json", R"({"quantization_config": {"load_in_4bit": true}})");
    EXPECT_TRUE(claims("bitsandbytes"));
    host.file("config.json", R"({"quantization_config": {"quant_method": "gptq", "load_in_4bit": true}})");
    EXPECT_FALSE(claims("bitsandbytes"));
}

TEST_F(BitsAndBytes, DividesTheRowScalesOf8BitsBy127AndWantsRowsInOrder) {
    host.file("config.json", config(eight));
    host.tensor("a.weight", MORTISE_DTYPE_I8, {64, 64});
    host.tensor("a.SCB", MORTISE_DTYPE_F32, {64});
    host.tensor("a.weight_format", MORTISE_DTYPE_U8, {});
    Opened opened("bitsandbytes");
    const Seen seen = opened.module({.name = "a"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.levels, 2u) << "the scale, and the constant 127";
    EXPECT_EQ(seen.note, "") << "the 4-bit keys of the config mean nothing here";
    const SeenField* order = seen.find(MORTISE_ROLE_UNUSED);
    ASSERT_TRUE(order);
    EXPECT_TRUE(order->flags & MORTISE_FIELD_CONSTANT);
    EXPECT_EQ(order->default_value, 0) << "0 is row-major; other orders are refused when the value is read";
    EXPECT_EQ(host.unread(), "");
}

TEST_F(BitsAndBytes, TakesTheTableOfCodesFromTheFileAndReadsTheStateBeforeTheProof) {
    const Seen seen = module_with(usual);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_LOOKUP}) << "fp4 here is not e2m1";
    EXPECT_EQ(seen.find(MORTISE_ROLE_TABLE)->tensor, "a.weight.quant_map");
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 64u)
        << "one scale per run of 64, row ends do not count";
    EXPECT_TRUE(seen.find(MORTISE_ROLE_UNUSED)->flags & MORTISE_FIELD_PROBE);
}

TEST_F(BitsAndBytes, ReadsStatesOfAnyLength) {
    const Seen seen =
        module_with(R"(  {"shape":[64,64],"dtype":"float16","blocksize":4096,"quant_type":"nf4"}     )");
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 1u);
}

TEST_F(BitsAndBytes, LooksNestedScalesUpInATableOfTheirOwn) {
    const Seen seen = module_with(
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.15625})");
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.levels, 2u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE_TABLE)->columns, 256u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE2)->columns, 1u);
    EXPECT_NE(seen.note, "") << "the config says that scales are not nested";
}

TEST_F(BitsAndBytes, RefusesAStateThatIsBrokenOrContradictsTheRest) {
    const char* broken[] = {
        "{",
        "[]",
        R"({"quant_type": "nf4")",
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 32]})",
        R"({"quant_type": "nf4", "blocksize": 0, "dtype": "bfloat16", "shape": [64, 64]})",
        R"({"quant_type": "nf4", "blocksize": -64, "dtype": "bfloat16", "shape": [64, 64]})",
        R"({"quant_type": "nf4", "blocksize": 64, "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]})",
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64], "more": 1})",
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64], "nested_blocksize": 256})",
        R"({"quant_type": "fp4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]})",
        R"({"quant_type": "int4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]})",
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]} {})",
        R"({"quant_type": "nf4", "blocksize":)",
    };
    for (const char* state : broken) EXPECT_EQ(module_with(state).status, MORTISE_REFUSED) << state;
}

TEST_F(BitsAndBytes, RefusesA4BitWeightWithoutItsState) {
    host.file("config.json", config(four));
    host.tensor("a.weight", MORTISE_DTYPE_U8, {2048, 1});
    Opened opened("bitsandbytes");
    EXPECT_EQ(opened.module({.name = "a"}).status, MORTISE_REFUSED);
}

TEST_F(BitsAndBytes, LetsTheTensorsDecideWhetherAndReportsWhatTheConfigSays) {
    host.file("config.json", config(four + R"(, "llm_int8_skip_modules": ["lm_head", "b"])"));
    host.tensor("lm_head.weight", MORTISE_DTYPE_BF16, {64, 64});
    host.tensor("c.weight", MORTISE_DTYPE_BF16, {64, 64});
    coded("b");
    Opened opened("bitsandbytes");
    const Seen head = opened.module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    EXPECT_TRUE(head.plain);
    EXPECT_NE(head.rule.find("llm_int8_skip_modules"), std::string::npos) << head.rule;
    EXPECT_TRUE(opened.module({.name = "c"}).plain) << "a head is a float although nothing lists it";
    const Seen b = opened.module({.name = "b"});
    EXPECT_FALSE(b.plain);
    EXPECT_NE(b.note.find("llm_int8_skip_modules"), std::string::npos) << b.note;
}

}  // namespace
}  // namespace mortise::test
