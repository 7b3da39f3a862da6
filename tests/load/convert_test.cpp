// Conversion: byte-identical in the own dialect, digest-identical across dialects, refused with a count when
// weights would change, and never half a folder.
#include "load/convert.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "load/digest.h"
#include "quant/reader.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

namespace fs = std::filesystem;

using test::golden;
using test::plan_of;
using test::plugins;

class Conversion : public ::testing::Test {
  protected:
    Result<ConvertReport> convert_to(const std::string& from, const std::string& dialect,
                                     const std::string& parameters, bool requantize = false) {
        const auto planned = plan_of(from);
        return convert(*planned, plugins(), out(),
                       {.dialect = dialect, .parameters = parameters, .requantize = requantize}, team_);
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

// Tensors of golden checkpoints that their own dialect does not write again byte for byte, and why.
struct Exception {
    std::string_view checkpoint, tensor, reason;  // tensor: how its name ends; "" = the whole checkpoint
};
constexpr Exception exceptions[] = {
    {"awq_tied_redundant_lm_head", "lm_head.",
     "a redundant copy of the embedding is dropped by a rule, not written"},
};

class OwnDialect : public Conversion, public ::testing::WithParamInterface<std::string> {
  protected:
    // Why this tensor may be missing or differ; "" = it may not.
    std::string_view excuse(const std::string& tensor) const {
        for (const Exception& e : exceptions)
            if (e.checkpoint == GetParam() && tensor.find(e.tensor) != std::string::npos) return e.reason;
        return {};
    }
    bool writes(const std::string& id) const {
        const auto chosen = plugins().scheme_by_id(id, plan::host());
        return chosen && MORTISE_HAS(chosen->table, mortise_scheme_v1, write_config) &&
               chosen->table->open_writer;
    }
};

TEST_P(OwnDialect, WritesTheSameBytes) {
    const auto planned = plan_of(golden(GetParam()));
    if (!planned->checkpoint().name_space.empty()) GTEST_SKIP() << "another container";
    if (!excuse("").empty()) GTEST_SKIP() << excuse("");
    const std::string& dialect = planned->plan().scheme;
    if (!writes(dialect)) GTEST_SKIP() << "scheme " << dialect << " does not write";
    const auto report = convert_to(golden(GetParam()), dialect, "");
    ASSERT_TRUE(report) << to_string(report.error());
    EXPECT_EQ(report->total.changed, 0u);
    const auto& before = planned->checkpoint();
    const auto after = checkpoint::open_native(out()).value();
    const checkpoint::TensorReader new_reader(after.catalog);
    for (const auto& tensor : before.catalog.tensors()) {
        if (!excuse(tensor.name).empty()) continue;
        const auto* written = after.catalog.find(tensor.name);
        ASSERT_NE(written, nullptr) << tensor.name;
        EXPECT_EQ(tensor.dtype, written->dtype) << tensor.name;
        EXPECT_EQ(tensor.shape, written->shape) << tensor.name;
        EXPECT_EQ(planned->reader().read_all(tensor).value(), new_reader.read_all(*written).value())
            << tensor.name;
    }
    for (const auto& tensor : after.catalog.tensors())
        EXPECT_NE(before.catalog.find(tensor.name), nullptr) << tensor.name << " is new";
}
INSTANTIATE_TEST_SUITE_P(Golden, OwnDialect, ::testing::ValuesIn(test::golden_names()), test::gtest_name);

// The scales of a cache, as numbers, by the end of their names.
std::vector<float> scales_of(const std::string& path, const std::string& end) {
    std::vector<float> out;
    const auto planned = plan_of(path);
    for (const auto& tensor : planned->checkpoint().catalog.tensors()) {
        if (!tensor.name.ends_with(end)) continue;
        quant::Field field;
        field.extent = {1, 1, 1};
        field.dtypes = {tensor.dtype};
        const auto bytes = planned->reader().read_all(tensor).value();
        out.push_back(quant::read_floats(field, {bytes, tensor.dtype}, 0, {}, 0, 1).value()[0]);
    }
    return out;
}

TEST_F(Conversion, NumbersOfACacheKeepTheirValuesInAnotherDialectAndBack) {
    const std::string there = folder_.at("there");
    const auto first = convert_to(golden("ct-kv-fp8"), "modelopt", "");
    ASSERT_TRUE(first) << to_string(first.error());
    EXPECT_TRUE(first->notes.empty()) << first->notes.front();
    fs::rename(out(), there);
    EXPECT_EQ(scales_of(there, "0.self_attn.k_proj.k_scale"),
              scales_of(golden("ct-kv-fp8"), "0.self_attn.k_scale"));
    const auto planned = plan_of(there);
    EXPECT_EQ(planned->plan().caches[0].stored.encoding, uint32_t{MORTISE_ENCODING_E4M3});
    const auto config =
        json::Document::parse(read_file(there + "/hf_quant_config.json").value(), "hf").value();
    EXPECT_EQ(config.root().find("quantization")->find("kv_cache_quant_algo")->text(), "FP8");
    ASSERT_TRUE(convert_to(there, "compressed_tensors", ""));
    for (const char* end : {".k_scale", ".v_scale"}) {
        EXPECT_EQ(scales_of(out(), end).size(), 2u);
        EXPECT_EQ(scales_of(out(), end), scales_of(golden("ct-kv-fp8"), end));
    }
    EXPECT_EQ(plan_of(out())->plan().caches[0].stored.encoding, uint32_t{MORTISE_ENCODING_E4M3});
}

TEST_F(Conversion, NumbersOfACacheThatHaveNoPlaceAreNamed) {
    const auto report = convert_to(golden("ct-kv-fp8"), "unquantized", "f32");
    ASSERT_TRUE(report) << to_string(report.error());
    ASSERT_EQ(report->notes.size(), 1u);
    EXPECT_EQ(report->notes[0].find(
                  "4 numbers of the KV cache are not written, model.layers.0.self_attn.k_scale first"),
              0u)
        << report->notes[0];
}

TEST_F(Conversion, RotatedInputsStayRotatedOrAreRefused) {
    const auto there = convert_to(golden("ct-quip-v"), "compressed_tensors", "pack-quantized");
    ASSERT_TRUE(there) << to_string(there.error());
    const auto planned = plan_of(out());
    EXPECT_EQ(planned->plan().sources[planned->plan().parts[1].sources[0]].spec.rotation_block, 128u);
    fs::remove_all(out());
    const auto elsewhere = convert_to(golden("ct-quip-v"), "unquantized", "f32");
    ASSERT_FALSE(elsewhere);
    EXPECT_EQ(elsewhere.error().code(), Code::lossy);
    EXPECT_NE(to_string(elsewhere.error()).find("rotation"), std::string::npos);
    EXPECT_TRUE(nothing_left());
}

// A code less its middle, times a scale, is what an addend can say; a product of scale and zero point is
// rounded to the dtype of the addend, and most do not fit.
TEST_F(Conversion, AddendsHoldSymmetricCodesExactlyAndFewZeroPoints) {
    const auto symmetric = convert_to(golden("gptq4_g128_ragged"), "mlx", "b4,g64");
    ASSERT_TRUE(symmetric) << to_string(symmetric.error());
    EXPECT_EQ(symmetric->total.changed, 0u) << "its last group is 64 columns short";
    fs::remove_all(out());
    const auto asymmetric = convert_to(golden("awq_gemm_g128"), "mlx", "");
    ASSERT_FALSE(asymmetric);
    EXPECT_EQ(asymmetric.error().code(), Code::lossy);
    EXPECT_NE(to_string(asymmetric.error()).find("weights would change"), std::string::npos);
    EXPECT_TRUE(nothing_left());
}

TEST_F(Conversion, AConfigThatIsRepeatedHasBothCopies) {
    ASSERT_TRUE(convert_to(golden("mlx_mixed_3_6"), "mlx", ""));
    const auto config =
        json::Document::parse(read_file(out() + "/config.json").value(), "config.json").value();
    ASSERT_TRUE(config.root().find("quantization"));
    ASSERT_TRUE(config.root().find("quantization_config"));
    EXPECT_EQ(config.root().find("quantization")->size(), config.root().find("quantization_config")->size());
}

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

// down_proj has 96 columns: no whole groups of 64, so it stayed a float. Nobody asked to code it now.
TEST_F(Conversion, FloatsThatACodedSourceLeftOutStayFloats) {
    ASSERT_TRUE(convert_to(golden("llama"), "awq", "g64", true));
    fs::rename(out(), folder_.at("some"));
    const auto report = convert_to(folder_.at("some"), "fp8_channel", "", true);
    ASSERT_TRUE(report) << to_string(report.error());
    size_t floats = 0, coded = 0;
    for (const ConvertedModule& module : report->modules) {
        const bool left_out = module.name.ends_with("down_proj");
        EXPECT_EQ(left_out, module.reason == "it is a float in the source") << module.name;
        EXPECT_TRUE(!left_out || module.change.changed == 0) << module.name;
        floats += left_out;
        coded += module.to.starts_with("e4m3");
    }
    EXPECT_EQ(floats, 2u);
    EXPECT_EQ(coded, 12u);
}

TEST_F(Conversion, NumbersOfALoadedCacheAreWrittenLikeUnusedOnes) {
    plan::Options options;
    options.path = golden("ct-kv-fp8");
    options.cache_dtype = "checkpoint";
    options.bind_kernels = false;
    const auto planned = plan::make(options, plugins());
    ASSERT_TRUE(planned) << to_string(planned.error());
    const auto report = convert(**planned, plugins(), out(), {.dialect = "fp8_channel"}, team_);
    ASSERT_TRUE(report) << to_string(report.error());
    EXPECT_TRUE(report->notes.empty()) << report->notes.front();
    EXPECT_EQ(report->total.changed, 0u);
    EXPECT_EQ(scales_of(out(), ".k_scale"), scales_of(golden("ct-kv-fp8"), ".k_scale"));
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
