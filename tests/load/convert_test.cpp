// Conversion: byte-identical in the own dialect, digest-identical across dialects, refused with a count when weights
// would change, and never half a folder.
#include "load/convert.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "load/digest.h"
#include "plan/plan.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

namespace fs = std::filesystem;

registry::Registry& plugins() {
    static registry::Registry registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        return registry::Registry::discover(options).value();
    }();
    return registry;
}

std::string golden(const std::string& name) { return std::string(MORTISE_SOURCE_DIR) + "/tests/golden/checkpoints/" + name + "/checkpoint"; }

std::shared_ptr<const plan::Planned> plan_of(const std::string& path) {
    plan::Options options;
    options.path = path;
    options.bind_kernels = false;
    auto planned = plan::make(options, plugins());
    EXPECT_TRUE(planned) << to_string(planned.error());
    return planned ? *planned : nullptr;
}

class Conversion : public ::testing::Test {
  protected:
    Result<ConvertReport> convert_to(const std::string& from, const std::string& dialect, const std::string& parameters, bool requantize = false) {
        const auto planned = plan_of(from);
        return convert(*planned, plugins(), out(), {.dialect = dialect, .parameters = parameters, .requantize = requantize}, team_);
    }
    std::string out() const { return folder_.at("out"); }
    bool nothing_left() const { return fs::is_empty(folder_.path()); }
    std::string digest_of(const std::string& path) {
        const auto planned = plan_of(path);
        const auto digests = digest(Origin(*planned), team_);
        EXPECT_TRUE(digests);
        std::string values;
        for (const PartDigest& part : digests->parts) values += part.name + part.values;
        return values;
    }
    test::TempFolder folder_;
    Team team_{2};
};

struct Own {
    const char *name, *dialect, *parameters;
};
class OwnDialect : public Conversion, public ::testing::WithParamInterface<Own> {};

TEST_P(OwnDialect, WritesTheSameBytes) {
    const auto report = convert_to(golden(GetParam().name), GetParam().dialect, GetParam().parameters);
    ASSERT_TRUE(report) << to_string(report.error());
    EXPECT_EQ(report->total.changed, 0u);
    const auto before = checkpoint::open_native(golden(GetParam().name)).value(), after = checkpoint::open_native(out()).value();
    const checkpoint::TensorReader old_reader(before.catalog), new_reader(after.catalog);
    ASSERT_EQ(before.catalog.size(), after.catalog.size());
    for (const auto& tensor : before.catalog.tensors()) {
        const auto* written = after.catalog.find(tensor.name);
        ASSERT_NE(written, nullptr) << tensor.name;
        EXPECT_EQ(tensor.dtype, written->dtype) << tensor.name;
        EXPECT_EQ(old_reader.read_all(tensor).value(), new_reader.read_all(*written).value()) << tensor.name;
    }
}
INSTANTIATE_TEST_SUITE_P(Golden, OwnDialect,
                         ::testing::Values(Own{"llama", "unquantized", "bf16"}, Own{"ct-fp8-dynamic", "fp8_channel", ""},
                                           Own{"awq_gemm_g128", "awq", "g128"}));

TEST_F(Conversion, WideFloatsKeepEveryWeightOfEveryDialect) {
    for (const char* name : {"awq_gemm_g128", "ct-fp8-dynamic", "gguf_q4_0", "gguf_q4_1", "gguf_q8_0"}) {
        const auto report = convert_to(golden(name), "unquantized", "f32");
        ASSERT_TRUE(report) << name << ": " << to_string(report.error());
        EXPECT_EQ(report->total.changed, 0u) << name;
        EXPECT_EQ(digest_of(out()), digest_of(golden(name))) << name;
        fs::remove_all(out());
    }
}

TEST_F(Conversion, ChangedWeightsRefuseWithTheirNumberAndLeaveNothing) {
    const auto report = convert_to(golden("ct-fp8-dynamic"), "unquantized", "bf16");
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), Code::lossy);
    EXPECT_NE(to_string(report.error()).find("weights would change"), std::string::npos);
    EXPECT_TRUE(nothing_left());
}

TEST_F(Conversion, RequantizingReportsTheErrorAndTheResultChecks) {
    const auto report = convert_to(golden("llama"), "fp8_channel", "", true);
    ASSERT_TRUE(report) << to_string(report.error());
    EXPECT_GT(report->total.changed, 0u);
    EXPECT_GT(report->total.sqnr_db(), 25.0);
    EXPECT_TRUE(verify(Origin(*plan_of(out())), team_));
}

TEST_F(Conversion, AnExistingFolderIsLeftAlone) {
    fs::create_directory(out());
    EXPECT_FALSE(convert_to(golden("llama"), "unquantized", "bf16"));
    EXPECT_TRUE(fs::is_empty(out()));
}

TEST_F(Conversion, ADialectThatOnlyReadsSaysSo) {
    const auto report = convert_to(golden("llama"), "gguf", "");
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), Code::unsupported_scheme);
}

}  // namespace
}  // namespace mortise::load
