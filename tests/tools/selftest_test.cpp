// `mortise selftest`: that it passes what decodes, and that it can fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_folder.h"
#include "tools/program.h"

namespace mortise {
namespace {

using test::mortise;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// One layer: int8, one scale per row. `scale` of its two rows, `expected` first weight, as hex.
std::string vector_file(const std::string& expected) {
    return R"({"vectors": [{"id": "one", "format": "ct int8", "dims": {"N": 2, "K": 2},
        "config": {"quant_method": "compressed-tensors", "format": "int-quantized"},
        "tensors": {"weight": {"dtype": "I8", "shape": [2, 2], "hex": "010203ff"},
                    "weight_scale": {"dtype": "F32", "shape": [2, 1], "hex": "0000803f0000003f"}},
        "expected": {"w": {"f32_hex": ")" +
           expected + R"("}}}]})";
}

test::Outcome selftest(const std::string& text) {
    return mortise({"selftest", "--vectors", test::scratch().write("vectors.json", text)});
}

TEST(Selftest, PassesEveryLayerOfTheVectors) {
    const auto outcome =
        mortise({"selftest", "--vectors", MORTISE_SOURCE_DIR "/tests/golden/vectors/format_vectors.json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, Not(HasSubstr("not covered")));
    EXPECT_THAT(outcome.out, EndsWith("76 passed, 0 failed\n"));
}

TEST(Selftest, NamesTheWeightThatDiffers) {
    const std::string right = "0000803f000000400000c03f000000bf";
    EXPECT_EQ(selftest(vector_file(right)).exit_code, 0);
    const auto outcome = selftest(vector_file("0000803f000000400000c03f0000003f"));
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.out, HasSubstr("weight [1,1] is -0.5, expected 0.5"));
}

TEST(Selftest, SaysWhereTheFileIsNoVector) {
    const auto outcome = selftest(vector_file("0000803"));
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_THAT(outcome.err, HasSubstr("hexadecimal"));
    EXPECT_THAT(outcome.err, HasSubstr("vectors.json:5"));
}

}  // namespace
}  // namespace mortise
