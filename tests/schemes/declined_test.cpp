#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(const std::string& method) {
    return R"({"quantization_config": {"quant_method": ")" + method + R"("}})";
}

TEST(Declined, NamesTheDialectTheReasonAndWhatWouldBeNeeded) {
    FakeHost& host = FakeHost::instance();
    for (const char* method : {"hqq", "aqlm", "quip", "spqr", "vptq", "higgs", "eetq", "quanto", "torchao",
                               "fp_quant", "mxfp8", "nvfp4", "sinq", "quark", "bitnet"}) {
        host.reset();
        host.file("config.json", config(method));
        EXPECT_TRUE(claims("declined")) << method;
        const Opened opened("declined");
        EXPECT_EQ(opened.status, MORTISE_UNSUPPORTED) << method;
        EXPECT_NE(opened.error.find(method), std::string::npos) << opened.error;
        EXPECT_NE(opened.error.find("not supported: "), std::string::npos) << opened.error;
    }
}

TEST(Declined, LeavesWhatItDoesNotKnowToOthers) {
    FakeHost& host = FakeHost::instance();
    for (const char* method : {"gptq", "awq", "hqq2", "", "compressed-tensors"}) {
        host.reset();
        host.file("config.json", config(method));
        EXPECT_FALSE(claims("declined")) << method;
    }
    host.reset();
    host.file("config.json", "{}");
    EXPECT_FALSE(claims("declined"));
}

}  // namespace
}  // namespace mortise::test
