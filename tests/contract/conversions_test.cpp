// What every dialect that writes keeps, found through the manifests: it reads what it wrote, calls nothing
// lossless that is not, and quantizes the same way offline and while loading.
#include <gtest/gtest.h>

#include "load/convert.h"
#include "load/convert_table.h"
#include "load/diff.h"
#include "load/digest.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

namespace fs = std::filesystem;
using test::golden;
using test::plan_of;
using test::plugins;

// Every one of them writes floats without options. Asked in each process of this program: nothing slow here.
std::vector<std::string> writing_dialects() {
    std::vector<std::string> out;
    for (const registry::Candidate& candidate : plugins().candidates())
        for (const registry::Provides& provides : candidate.manifest.provides) {
            if (provides.kind != registry::Interface::scheme) continue;
            const auto chosen = plugins().scheme_by_id(provides.id, plan::host());
            if (!chosen) continue;
            if (MORTISE_HAS(chosen->table, mortise_scheme_v1, write_config) && chosen->table->open_writer)
                out.push_back(provides.id);
        }
    std::ranges::sort(out);
    return out;
}

class Dialect : public ::testing::TestWithParam<std::string> {
  protected:
    Result<ConvertReport> write(const std::string& from, bool requantize) {
        fs::remove_all(out());
        return convert(*plan_of(from), plugins(), out(), {.dialect = GetParam(), .requantize = requantize},
                       team_);
    }
    std::string out() const { return folder_.at("out"); }
    test::TempFolder folder_;
    Team team_{2};
};

// Experts one by one in the last three, in stacks with gate and up together, and in stacks by projection.
const std::vector<std::string> float_models = {"llama", "qwen2", "mixtral", "qwen3_moe", "gpt_oss"};

TEST_P(Dialect, ReadsWhatItWroteFromFloats) {
    for (const std::string& name : float_models) {
        const auto report = write(golden(name), true);
        ASSERT_TRUE(report) << name << ": " << to_string(report.error());
        const auto again = plan_of(out());
        ASSERT_TRUE(again);
        const auto read = verify(Origin(*again), team_);
        EXPECT_TRUE(read) << name << ": " << to_string(read.error());
        EXPECT_GT(report->total.sqnr_db(), 8) << name;
    }
}

// A stack of experts by projection is what MLX and GGUF keep: other dialects write its experts one by one.
TEST_P(Dialect, ReadsWhatItWroteFromStacksByProjection) {
    const std::string stacks = folder_.at("stacks");
    for (const char* name : {"mixtral", "gpt_oss"}) {
        fs::remove_all(stacks);
        ASSERT_TRUE(convert(*plan_of(golden(name)), plugins(), stacks,
                            {.dialect = "mlx", .parameters = "mxfp4", .requantize = true}, team_));
        const auto report = write(stacks, true);
        ASSERT_TRUE(report) << name << ": " << to_string(report.error());
        const auto again = plan_of(out());
        ASSERT_TRUE(again) << name;
        const auto read = verify(Origin(*again), team_);
        EXPECT_TRUE(read) << name << ": " << to_string(read.error());
        if (report->total.changed > 0) continue;
        EXPECT_TRUE(diff(*plan_of(stacks), *again, team_)->same_values()) << name;
    }
}

TEST_P(Dialect, IsWrittenAgainByteForByte) {
    ASSERT_TRUE(write(golden("llama"), true));
    const std::string once = folder_.at("once");
    fs::rename(out(), once);
    const auto report = write(once, false);
    ASSERT_TRUE(report) << to_string(report.error());
    const auto a = checkpoint::open_native(once).value(), b = checkpoint::open_native(out()).value();
    const checkpoint::TensorReader left(a.catalog), right(b.catalog);
    ASSERT_EQ(a.catalog.size(), b.catalog.size());
    for (const auto& tensor : a.catalog.tensors()) {
        const auto* other = b.catalog.find(tensor.name);
        ASSERT_NE(other, nullptr) << tensor.name;
        EXPECT_EQ(left.read_all(tensor).value(), right.read_all(*other).value()) << tensor.name;
    }
}

TEST_P(Dialect, QuantizesWhileLoadingAsItConverts) {
    for (const std::string& name : float_models) {
        const auto online = digest(Origin(*plan_of(golden(name), GetParam())), team_);
        ASSERT_TRUE(online) << to_string(online.error());
        ASSERT_TRUE(write(golden(name), true));
        const auto offline = digest(Origin(*plan_of(out())), team_);
        ASSERT_TRUE(offline) << to_string(offline.error());
        ASSERT_EQ(online->parts.size(), offline->parts.size());
        for (size_t p = 0; p < online->parts.size(); ++p) {
            EXPECT_EQ(online->parts[p].values, offline->parts[p].values) << online->parts[p].name;
            EXPECT_EQ(online->parts[p].spec, offline->parts[p].spec) << online->parts[p].name;
        }
        EXPECT_EQ(online->model, offline->model);
    }
}

// Also a stack of float experts, which converting writes one by one.
TEST_P(Dialect, QuantizesStacksByProjectionAsItConverts) {
    const std::string stacks = folder_.at("stacks");
    // Groups that nothing here is wide enough for: all stay floats.
    ASSERT_TRUE(convert(*plan_of(golden("mixtral")), plugins(), stacks,
                        {.dialect = "mlx", .parameters = "b4,g128", .requantize = false}, team_));
    const auto online = digest(Origin(*plan_of(stacks, GetParam())), team_);
    ASSERT_TRUE(online) << to_string(online.error());
    ASSERT_TRUE(write(stacks, true));
    const auto offline = digest(Origin(*plan_of(out())), team_);
    ASSERT_TRUE(offline) << to_string(offline.error());
    EXPECT_EQ(online->model, offline->model);
    ASSERT_EQ(online->parts.size(), offline->parts.size());
    for (size_t p = 0; p < online->parts.size(); ++p) {
        EXPECT_EQ(online->parts[p].values, offline->parts[p].values) << online->parts[p].name;
        EXPECT_EQ(online->parts[p].spec, offline->parts[p].spec) << online->parts[p].name;
    }
}

// Every checkpoint that says it came through unchanged did: read again by its new dialect, each weight is the
// same.
TEST_P(Dialect, CallsNothingLosslessThatIsNot) {
    for (const std::string& name : test::golden_names()) {
        const auto report = write(golden(name), false);
        if (!report) {
            const Code code = report.error().code();
            EXPECT_TRUE(code != Code::internal && code != Code::plugin_contract)
                << name << ": " << to_string(report.error());
            EXPECT_FALSE(fs::exists(out())) << name;
            continue;
        }
        const auto written = plan_of(out());
        ASSERT_TRUE(written) << name << ": what was written cannot be read";
        const auto differences = diff(*plan_of(golden(name)), *written, team_);
        ASSERT_TRUE(differences) << name << ": " << to_string(differences.error());
        EXPECT_TRUE(differences->same_values()) << name;
    }
}
INSTANTIATE_TEST_SUITE_P(OfTheTree, Dialect, ::testing::ValuesIn(writing_dialects()), test::gtest_name);

TEST(ConvertTable, EveryDialectKeepsItsOwnWeights) {
    const auto table = convert_table(plugins(), {});
    const std::vector<std::string> dialects = writing_dialects();
    ASSERT_TRUE(table) << to_string(table.error());
    EXPECT_GE(table->dialects.size(), 3u);
    for (const std::string& dialect : table->dialects)
        EXPECT_EQ(std::ranges::count(dialects, dialect), 1) << dialect;
    for (size_t d = 0; d < table->dialects.size(); ++d)
        EXPECT_TRUE(table->cells[d][d].lossless) << table->dialects[d];
}

TEST(ConvertTable, TakesDialectsWithOptionsAndRefusesUnknownOnes) {
    const auto table = convert_table(plugins(), {"unquantized:f32"});
    ASSERT_TRUE(table) << to_string(table.error());
    for (const auto& row : table->cells) EXPECT_TRUE(row.back().lossless);  // f32 holds every product
    EXPECT_FALSE(convert_table(plugins(), {"nothing_like_it"}));
}

// A checkpoint that goes from dialect to dialect, those that are not installed left out.
class Bridge : public ::testing::Test {
  protected:
    std::string model(const std::string& path) {
        const auto now = digest(Origin(*plan_of(path)), team_);
        EXPECT_TRUE(now) << to_string(now.error());
        return now ? now->model : "";
    }
    // Effect: the folder that was written; "" when no such dialect is installed.
    std::string write(const std::string& from, const std::string& dialect, bool requantize = false) {
        const size_t colon = dialect.find(':');
        const std::string id = dialect.substr(0, colon), out = folder_.at(std::to_string(made_));
        if (std::ranges::count(dialects_, id) == 0) return "";
        const auto report =
            convert(*plan_of(from), plugins(), out,
                    {.dialect = id,
                     .parameters = colon == std::string::npos ? "" : dialect.substr(colon + 1),
                     .requantize = requantize},
                    team_);
        EXPECT_TRUE(report) << dialect << ": " << (report ? "" : to_string(report.error()));
        if (report && !requantize) {
            EXPECT_EQ(report->total.changed, 0u) << dialect;
        }
        ++made_;
        return report ? out : "";
    }
    void expect_equal_digests(std::string from, std::initializer_list<const char*> dialects) {
        const std::string original = model(from);
        for (const char* dialect : dialects) {
            const std::string out = write(from, dialect);
            if (out.empty()) continue;
            EXPECT_EQ(model(out), original) << dialect;
            from = out;
        }
    }
    const std::vector<std::string> dialects_ = writing_dialects();
    test::TempFolder folder_;
    Team team_{2};
    int made_ = 0;
};

// One set of codes and scales in three packings: equal specs, whatever the axis, the order of lanes and the
// words.
TEST_F(Bridge, IntegerPackingsOfOneSourceHaveEqualDigests) {
    expect_equal_digests(golden("awq_gemm_g128"),
                         {"gptq:v2", "compressed_tensors", "awq", "compressed_tensors", "gptq:v2"});
    EXPECT_GE(made_, 3);
}

TEST_F(Bridge, PowerOfTwoScalesOfOneSourceHaveEqualDigests) {
    const std::string start = write(golden("llama"), "compressed_tensors:mxfp4:weights", true);
    ASSERT_NE(start, "");
    expect_equal_digests(start, {"mlx:mxfp4", "compressed_tensors"});
}

TEST_F(Bridge, FloatRowsOfOneSourceHaveEqualDigests) {
    expect_equal_digests(golden("ct-fp8-dynamic"), {"compressed_tensors", "fp8_channel"});
    EXPECT_GE(made_, 2);
}

}  // namespace
}  // namespace mortise::load
