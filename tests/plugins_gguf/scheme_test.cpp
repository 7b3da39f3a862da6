// Blocks as specs: whole files planned through the built plugins and decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "engine_text/golden.h"
#include "load/digest.h"
#include "plugins_gguf/make_file.h"
#include "plugins_gguf/open.h"
#include "support/temp_folder.h"

namespace mortise {
namespace {

using test::GgufMaker;
using test::tiny_gguf;
using ::testing::HasSubstr;

load::Digests digest_of(const std::string& path) {
    const auto planned = test::plan_path(path);
    EXPECT_TRUE(planned) << to_string(planned.error());
    if (!planned) return {};
    Team team(2);
    const auto digests = load::digest(load::Origin(**planned), team);
    EXPECT_TRUE(digests) << to_string(digests.error());
    return digests ? *digests : load::Digests{};
}

load::Digests digest_of(const GgufMaker& maker) {
    const test::TempFolder folder;
    return digest_of(folder.write("model.gguf", maker.render()));
}

const load::PartDigest& part(const load::Digests& digests, std::string_view name) {
    const auto at = std::ranges::find(digests.parts, name, &load::PartDigest::name);
    EXPECT_NE(at, digests.parts.end()) << name;
    return *at;
}

class GgufGolden : public ::testing::TestWithParam<const char*> {};

// Each matrix under its Hugging Face name, rows of q and k put back, equals the producer's own decoding.
TEST_P(GgufGolden, DecodesToTheProducersWeights) {
    const auto folder = text::golden::root() / "checkpoints" / GetParam();
    const auto digests = digest_of((folder / "checkpoint").string());
    const auto expected = text::golden::document(folder / "expected.json");
    const json::Node& quantized = *expected.root().find("quantized");
    ASSERT_GE(quantized.size(), 9u);
    for (size_t i = 0; i < quantized.size(); ++i) {
        const std::string& name = quantized.keys()[i];
        const auto at = std::ranges::find(digests.modules, name, &load::ModuleDigest::name);
        ASSERT_NE(at, digests.modules.end()) << name;
        EXPECT_EQ(at->values, text::golden::string(*quantized.items()[i], "sha256_f32")) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Encodings, GgufGolden,
                         ::testing::Values("gguf_q4_0", "gguf_q4_1", "gguf_q8_0", "gguf_k_mixed",
                                           "gguf_qwen3moe"),
                         [](const auto& each) { return std::string(each.param); });

std::string floats(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * 4};
}

// Rows of each head: file row 2i + h holds row h * d/2 + i.
std::vector<float> paired(const std::vector<float>& rows, uint64_t columns, uint64_t head_dim) {
    std::vector<float> out(rows.size());
    for (uint64_t row = 0; row < rows.size() / columns; ++row) {
        const uint64_t in_head = row % head_dim, from = row - in_head;
        const uint64_t to = from + in_head % (head_dim / 2) * 2 + in_head / (head_dim / 2);
        std::copy_n(rows.begin() + static_cast<int64_t>(row * columns), columns,
                    out.begin() + static_cast<int64_t>(to * columns));
    }
    return out;
}

TEST(GgufScheme, PutsTheRowsOfQAndKBackTogetherWithTheirBiases) {
    std::vector<float> weight(32 * 32), bias(32);
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i) * 0.25f;
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) - 7;
    const auto make = [&](std::string_view family, const std::vector<float>& q,
                          const std::vector<float>& q_bias) {
        GgufMaker maker = tiny_gguf(family);
        maker.at("blk.0.attn_q.weight").data = floats(q);
        maker.tensor("blk.0.attn_q.bias", {32}, 0, 128).at("blk.0.attn_q.bias").data = floats(q_bias);
        maker.tensor("blk.0.attn_k.bias", {16}, 0, 64).tensor("blk.0.attn_v.bias", {16}, 0, 64);
        if (family == "llama") maker.tensor("blk.0.attn_output.bias", {32}, 0, 128);
        return digest_of(maker);
    };
    const auto turned = make("llama", paired(weight, 32, 16), paired(bias, 1, 16)),
               straight = make("qwen2", weight, bias);
    const std::string name = "model.layers.0.self_attn.q_proj";
    EXPECT_EQ(part(turned, name).values, sha256_hex(std::as_bytes(std::span(weight))));
    EXPECT_EQ(part(turned, name).values, part(straight, name).values);
    EXPECT_EQ(part(turned, name).spec, part(straight, name).spec);
    const auto crooked = make("llama", paired(weight, 32, 16), bias);  // the digest does see the bias
    EXPECT_NE(part(crooked, name).spec, part(straight, name).spec);
}

// The low nibbles of a block are its first 16 elements, the high ones its last 16; the scale may be negative.
TEST(GgufScheme, TakesNibblesInHalvesUnderANegativeScale) {
    std::string block = {'\0', '\xbc'};  // f16 -1
    std::vector<float> row(32);
    for (int j = 0; j < 16; ++j) {
        block += static_cast<char>(j | (15 - j) << 4);
        row[static_cast<size_t>(j)] = -1.0f * static_cast<float>(j - 8);
        row[static_cast<size_t>(16 + j)] = -1.0f * static_cast<float>(15 - j - 8);
    }
    GgufMaker maker = tiny_gguf();
    auto& tensor = maker.at("blk.0.ffn_up.weight");
    tensor.type = 2;
    tensor.bytes = 64 * 18;
    std::vector<float> expected;
    for (int r = 0; r < 64; ++r) {
        tensor.data += block;
        expected.insert(expected.end(), row.begin(), row.end());
    }
    EXPECT_EQ(part(digest_of(maker), "model.layers.0.mlp.up_proj").values,
              sha256_hex(std::as_bytes(std::span(expected))));
}

TEST(GgufScheme, RefusesOtherEncodingsByName) {
    const std::pair<uint32_t, uint64_t> encodings[] = {{9, 36}};  // number, bytes of a block
    for (const auto& [type, bytes] : encodings) {
        GgufMaker maker = tiny_gguf();
        maker.at("blk.0.ffn_up.weight").type = type;
        maker.at("blk.0.ffn_up.weight").bytes = 64 * bytes;
        const test::TempFolder folder;
        const auto planned = test::plan_path(folder.write("model.gguf", maker.render()));
        ASSERT_FALSE(planned) << type;
        EXPECT_EQ(planned.error().exit_code(), 5) << to_string(planned.error());
        EXPECT_THAT(to_string(planned.error()), HasSubstr("this block encoding is not supported"));
        EXPECT_THAT(to_string(planned.error()), HasSubstr("blk.0.ffn_up.weight"));
    }
}

TEST(GgufScheme, RefusesABlockThatBelongsToANorm) {
    GgufMaker maker = tiny_gguf();
    maker.at("output_norm.weight").type = 8;
    maker.at("output_norm.weight").bytes = 34;
    const test::TempFolder folder;
    EXPECT_FALSE(test::plan_path(folder.write("model.gguf", maker.render())));
}

TEST(GgufScheme, DropsTheRopeTableByRule) {
    GgufMaker maker = tiny_gguf();
    maker.tensor("rope_freqs.weight", {8}, 0, 32).at("rope_freqs.weight").data =
        floats({1, 1, 1, 2, 2, 8, 8, 8});
    const test::TempFolder folder;
    const auto planned = test::plan_path(folder.write("model.gguf", maker.render()));
    ASSERT_TRUE(planned) << to_string(planned.error());
    ASSERT_EQ((*planned)->plan().drops.size(), 1u);
    EXPECT_EQ((*planned)->plan().drops[0].rule, "rotary_cache");
}

TEST(GgufScheme, AnUnknownMetadataKeyOfTheModelEndsThePlan) {
    const test::TempFolder folder;
    const auto planned =
        test::plan_path(folder.write("model.gguf", tiny_gguf().u32("llama.expert_group_count", 8).render()));
    ASSERT_FALSE(planned);
    EXPECT_EQ(planned.error().code(), Code::config_unknown_key);
    EXPECT_THAT(to_string(planned.error()), HasSubstr("llama.expert_group_count"));
}

}  // namespace
}  // namespace mortise
