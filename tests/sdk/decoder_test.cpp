// The architectures' own libraries, against a builder that records.
#include <gtest/gtest.h>

#include "support/fake_builder.h"
#include "support/open_plugin.h"

namespace mortise::test {
namespace {

constexpr const char* tiny = R"("hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 128, "max_position_embeddings": 128, "rms_norm_eps": 1e-3, "hidden_act": "silu", "torch_dtype": "bfloat16")";

struct Outcome {
    mortise_status status;
    Built model;
    std::string error;
};
Outcome build(const std::string& plugin, const std::string& more) {
    FakeHost::instance().reset();
    FakeHost::instance().file("config.json", std::string("{") + tiny + more + "}");
    const auto* table = table_of<mortise_architecture_v1>(plugin, MORTISE_INTERFACE_ARCHITECTURE);
    Outcome out{};
    out.status = table->build(reinterpret_cast<mortise_builder*>(&out.model), &recorder());
    out.error = FakeHost::instance().error();
    return out;
}

TEST(Decoder, WritesALlamaDownOnce) {
    const auto [status, model, error] = build("llama", "");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(model.broken, "");
    EXPECT_EQ(model.linears.size(), 3u * 4 + 1);
    EXPECT_EQ(model.vectors.size(), 3u * 2 + 1);
    EXPECT_EQ(model.of(MORTISE_OP_ATTENTION).size(), 3u);
    EXPECT_EQ(model.ops.back().outputs[0], model.logits);
    const auto* qkv = model.linear("model.layers.1.self_attn.k_proj");
    ASSERT_NE(qkv, nullptr);
    EXPECT_EQ(qkv->rows, (std::vector<uint64_t>{64, 32, 32}));
    EXPECT_EQ(qkv->units, (std::vector<uint64_t>{4, 2, 2})) << "never cut inside a head";
    EXPECT_EQ(model.linear("model.layers.1.self_attn.o_proj")->partition, uint32_t{MORTISE_PARTITION_ROW});
    EXPECT_TRUE(model.linear("lm_head")->head);
    EXPECT_EQ(FakeHost::instance().unread(), "");
}

TEST(Decoder, TakesSizesFromTheConfigBeforeDerivingThem) {
    const auto [status, model, error] = build("llama", R"(, "head_dim": 24)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(model.linear("model.layers.0.self_attn.q_proj")->rows[0], 96u);
    EXPECT_EQ(model.linear("model.layers.0.self_attn.o_proj")->columns, 96u);
}

TEST(Decoder, PutsTheBiasesOfLlamaOnAllFourProjections) {
    const auto [status, model, error] = build("llama", R"(, "attention_bias": true, "mlp_bias": true)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    for (const char* part : {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"})
        EXPECT_TRUE(model.linear(std::string("model.layers.0.") + part)->bias[0]) << part;
    EXPECT_FALSE(model.linear("lm_head")->bias[0]);
}

TEST(Decoder, PutsTheBiasesOfQwen2OnThreeOnly) {
    const auto [status, model, error] = build("qwen2", "");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(model.linear("model.layers.0.self_attn.q_proj")->bias, (std::vector<bool>{true, true, true}));
    EXPECT_FALSE(model.linear("model.layers.0.self_attn.o_proj")->bias[0]);
}

TEST(Decoder, TiesAsTheConfigSaysAndNotByDefault) {
    EXPECT_EQ(build("llama", "").model.tied, 0);
    EXPECT_EQ(build("llama", R"(, "tie_word_embeddings": true)").model.tied, 1);
    EXPECT_EQ(build("qwen2", "").model.ties, 1);
}

std::vector<int64_t> windows(const Built& model) {
    std::vector<int64_t> out;
    for (const auto* op : model.of(MORTISE_OP_ATTENTION)) out.push_back(op->attrs.at(MORTISE_ATTR_WINDOW).integer);
    return out;
}

TEST(Decoder, SlidesTheUpperLayersOfQwen2) {
    const std::string on = R"(, "use_sliding_window": true, "sliding_window": 5)";
    EXPECT_EQ(windows(build("qwen2", on + R"(, "max_window_layers": 1)").model), (std::vector<int64_t>{0, 5, 5}));
    const std::string spelled = R"(, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"])";
    EXPECT_EQ(windows(build("qwen2", on + spelled).model), (std::vector<int64_t>{5, 0, 5}));
}

TEST(Decoder, IgnoresAWindowThatIsNotUsed) {
    const auto [status, model, error] = build("qwen2", R"(, "use_sliding_window": false, "sliding_window": 5, "max_window_layers": 1)");
    EXPECT_EQ(windows(model), (std::vector<int64_t>{0, 0, 0}));
    EXPECT_EQ(FakeHost::instance().unread(), "");
}

TEST(Decoder, PermutesTheRowsOfOneFamilyOnlyInNumberedBlocks) {
    const auto llama = build("llama", "").model.aliases, qwen2 = build("qwen2", "").model.aliases;
    const std::string q = "model.layers.{i}.self_attn.q_proj";
    EXPECT_EQ(llama.at(q).theirs, "blk.{i}.attn_q");
    EXPECT_TRUE(llama.at(q).permuted);
    EXPECT_FALSE(llama.at("model.layers.{i}.self_attn.v_proj").permuted);
    EXPECT_FALSE(qwen2.at(q).permuted);
}

TEST(Decoder, RefusesImpossibleConfigs) {
    for (const char* more : {R"(, "num_key_value_heads": 3)", R"(, "num_attention_heads": 0)", R"(, "hidden_size": -1)",
                             R"(, "hidden_act": "xielu")", R"(, "num_hidden_layers": 100000000)", R"(, "head_dim": 100000000000)"}) {
        // A key twice is the parser's to refuse; here the later text replaces the earlier one.
        std::string text = std::string("{") + tiny + "}";
        const std::string key(more + 2, std::string(more).find(':') - 1);
        const size_t at = text.find(key);
        if (at != std::string::npos) text.erase(at, text.find(',', at) + 2 - at);
        text.insert(text.size() - 1, more);
        FakeHost::instance().reset();
        FakeHost::instance().file("config.json", text);
        Built model;
        const auto* table = table_of<mortise_architecture_v1>("llama", MORTISE_INTERFACE_ARCHITECTURE);
        EXPECT_NE(table->build(reinterpret_cast<mortise_builder*>(&model), &recorder()), MORTISE_OK) << more;
        EXPECT_NE(FakeHost::instance().error(), "") << more;
    }
}

}  // namespace
}  // namespace mortise::test
