// The architectures' own libraries, against a builder that records.
#include <gtest/gtest.h>

#include "support/fake_builder.h"
#include "support/open_plugin.h"

namespace mortise::test {
namespace {

constexpr const char* tiny =
    R"("hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
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

TEST(Decoder, TakesTheDtypeInEitherSpelling) {
    EXPECT_EQ(build("llama", R"(, "dtype": "bfloat16")").status, MORTISE_OK) << "both say the same";
    EXPECT_EQ(build("llama", R"(, "dtype": "float16")").status, MORTISE_REFUSED) << "and now they do not";
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
    for (const auto* op : model.of(MORTISE_OP_ATTENTION))
        out.push_back(op->attrs.at(MORTISE_ATTR_WINDOW).integer);
    return out;
}

TEST(Decoder, SlidesTheUpperLayersOfQwen2) {
    const std::string on = R"(, "use_sliding_window": true, "sliding_window": 5)";
    EXPECT_EQ(windows(build("qwen2", on + R"(, "max_window_layers": 1)").model),
              (std::vector<int64_t>{0, 5, 5}));
    const std::string spelled =
        R"(, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"])";
    EXPECT_EQ(windows(build("qwen2", on + spelled).model), (std::vector<int64_t>{5, 0, 5}));
}

TEST(Decoder, IgnoresAWindowThatIsNotUsed) {
    const auto [status, model, error] =
        build("qwen2", R"(, "use_sliding_window": false, "sliding_window": 5, "max_window_layers": 1)");
    EXPECT_EQ(windows(model), (std::vector<int64_t>{0, 0, 0}));
    EXPECT_EQ(FakeHost::instance().unread(), "");
}

TEST(Decoder, RefusesLayerTypesThatDoNotFit) {
    const std::string on = R"(, "use_sliding_window": true, "sliding_window": 5, "layer_types": )";
    EXPECT_NE(build("qwen3", on + R"(["sliding_attention"])").status, MORTISE_OK) << "one for three layers";
    EXPECT_EQ(build("qwen3", on + R"(["full_attention", "chunked_attention", "full_attention"])").status,
              MORTISE_UNSUPPORTED);
}

TEST(Decoder, NormsTheHeadsOfQwen3BeforeTheRope) {
    const auto [status, model, error] = build("qwen3", "");
    ASSERT_EQ(status, MORTISE_OK) << error;
    const auto norms = model.of(MORTISE_OP_NORM);
    ASSERT_EQ(norms.size(), 3u * 4 + 1);
    EXPECT_EQ(norms[1]->attrs.at(MORTISE_ATTR_WIDTH).integer, 16) << "each head by itself";
    EXPECT_EQ(model.of(MORTISE_OP_ROPE)[0]->inputs, norms[1]->outputs);
}

TEST(Decoder, SlidesEveryLayerOfMistralOrNone) {
    EXPECT_EQ(windows(build("mistral", R"(, "sliding_window": 6)").model), (std::vector<int64_t>{6, 6, 6}));
    EXPECT_EQ(windows(build("mistral", R"(, "sliding_window": null)").model),
              (std::vector<int64_t>{0, 0, 0}));
}

TEST(Decoder, TurnsTheShareOfAHeadThatPhi3Says) {
    const auto [status, model, error] =
        build("phi3", R"(, "partial_rotary_factor": 0.5, "original_max_position_embeddings": 64)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(model.of(MORTISE_OP_ROPE)[0]->frequencies.size(), 4u) << "8 of 16 entries";
    EXPECT_EQ(FakeHost::instance().unread(), "");
    EXPECT_NE(build("phi3", R"(, "partial_rotary_factor": 1.5)").status, MORTISE_OK);
}

TEST(Decoder, TakesTwoSetsOfFrequenciesByLength) {
    const std::string rope = R"(, "original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope",
        "short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [2, 2, 2, 2, 2, 2, 2, 2]})";
    const auto [status, model, error] = build("phi3", rope);
    ASSERT_EQ(status, MORTISE_OK) << error;
    const auto* op = model.of(MORTISE_OP_ROPE)[0];
    EXPECT_EQ(op->attrs.at(MORTISE_ATTR_LONG_FROM).integer, 32);
    EXPECT_EQ(op->attrs.at(MORTISE_ATTR_LONG_FREQUENCIES).n, 8u);
    EXPECT_GT(op->attrs.at(MORTISE_ATTR_AMPLITUDE).real, 1.0);
}

TEST(Decoder, FusesQkvAndGateUpOnDiskOnly) {
    const auto [status, model, error] = build("phi3", "");
    ASSERT_EQ(status, MORTISE_OK) << error;
    const auto* qkv = model.linear("model.layers.1.self_attn.v_proj");
    ASSERT_NE(qkv, nullptr);
    EXPECT_EQ(qkv->parts.size(), 3u);
    EXPECT_EQ(qkv->fusions, (std::vector<std::string>{"model.layers.1.self_attn.qkv_proj"}));
}

const std::string mixture = R"(, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32)";

TEST(Experts, AreInTheLayersThatTheConfigNames) {
    const auto [status, model, error] =
        build("qwen3_moe", mixture + R"(, "mlp_only_layers": [1], "norm_topk_prob": true)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(model.broken, "");
    const auto moe = model.of(MORTISE_OP_MOE);
    ASSERT_EQ(moe.size(), 2u);
    EXPECT_EQ(moe[1]->name, "model.layers.2.mlp");
    EXPECT_EQ(moe[0]->attrs.at(MORTISE_ATTR_TOP_K).integer, 2);
    EXPECT_EQ(moe[0]->attrs.at(MORTISE_ATTR_ROUTING).integer, MORTISE_ROUTING_SOFTMAX_TOPK_NORM);
    EXPECT_NE(model.linear("model.layers.1.mlp.gate_proj"), nullptr) << "layer 1 is dense";
    const auto* bank = model.linear("model.layers.0.mlp.experts.{e}.up_proj");
    ASSERT_NE(bank, nullptr);
    EXPECT_EQ(bank->experts, 8u);
    EXPECT_EQ(bank->rows, (std::vector<uint64_t>{32, 32}));
    EXPECT_EQ(bank->fusions, (std::vector<std::string>{"model.layers.0.mlp.experts.gate_up_proj"}));
    EXPECT_EQ(model.aliases.at("model.layers.{i}.mlp.experts.{e}.up_proj").theirs,
              "model.layers.{i}.mlp.switch_mlp.up_proj");
    EXPECT_EQ(FakeHost::instance().unread(), "");
    EXPECT_EQ(build("qwen3_moe", mixture + R"(, "decoder_sparse_step": 2)").model.of(MORTISE_OP_MOE).size(),
              1u);
}

TEST(Experts, AreNotDividedByTheirSumUnlessTheConfigSaysSo) {
    const auto model = build("qwen3_moe", mixture).model;
    EXPECT_EQ(model.of(MORTISE_OP_MOE)[0]->attrs.at(MORTISE_ATTR_ROUTING).integer,
              MORTISE_ROUTING_SOFTMAX_TOPK);
}

TEST(Experts, OfMixtralAreW1W3AndW2) {
    const auto [status, model, error] =
        build("mixtral", R"(, "num_local_experts": 4, "num_experts_per_tok": 2)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    const auto* inner = model.linear("model.layers.0.block_sparse_moe.experts.{e}.w1");
    ASSERT_NE(inner, nullptr);
    EXPECT_EQ(inner->parts[1], "model.layers.0.block_sparse_moe.experts.{e}.w3");
    EXPECT_EQ(model.linear("model.layers.0.block_sparse_moe.experts.{e}.w2")->columns, 96u);
}

TEST(Experts, OfGptOssHaveBiasesSinksAndWindowsInTurn) {
    const auto [status, model, error] = build(
        "gpt_oss",
        R"(, "num_local_experts": 4, "experts_per_token": 2, "sliding_window": 5, "swiglu_limit": 6.5)");
    ASSERT_EQ(status, MORTISE_OK) << error;
    EXPECT_EQ(windows(model), (std::vector<int64_t>{5, 0, 5}));
    EXPECT_TRUE(model.linear("model.layers.0.mlp.experts.{e}.gate_proj")->bias[0]);
    EXPECT_TRUE(model.linear("model.layers.0.mlp.router")->bias[0]);
    EXPECT_EQ(model.of(MORTISE_OP_ATTENTION)[0]->attrs.at(MORTISE_ATTR_SINKS).integer, 1);
    EXPECT_EQ(model.of(MORTISE_OP_ATTENTION)[0]->weights.size(), 1u);
    const auto* moe = model.of(MORTISE_OP_MOE)[0];
    EXPECT_EQ(moe->attrs.at(MORTISE_ATTR_LIMIT).real, 6.5);
    EXPECT_EQ(moe->attrs.at(MORTISE_ATTR_STYLE).integer, MORTISE_STYLE_SWIGLU_CLAMPED);
    EXPECT_EQ(moe->attrs.at(MORTISE_ATTR_ROUTING).integer, MORTISE_ROUTING_TOPK_SOFTMAX);
    EXPECT_EQ(FakeHost::instance().unread(), "");
}

TEST(Experts, OfImpossibleNumbersAreRefused) {
    for (
        const char* more :
        {R"(, "num_experts": 8, "num_experts_per_tok": 9, "moe_intermediate_size": 32)",
         R"(, "num_experts": 1, "num_experts_per_tok": 1, "moe_intermediate_size": 32)",
         R"(, "num_experts": 8, "num_experts_per_tok": 0, "moe_intermediate_size": 32)",
         R"(, "num_experts": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32)",
         R"(, "num_experts_per_tok": 2, "moe_intermediate_size": 32)"})
        EXPECT_NE(build("qwen3_moe", more).status, MORTISE_OK) << more;
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
    for (const char* more : {R"(, "num_key_value_heads": 3)", R"(, "num_attention_heads": 0)",
                             R"(, "hidden_size": -1)", R"(, "hidden_act": "xielu")",
                             R"(, "num_hidden_layers": 100000000)", R"(, "head_dim": 100000000000)"}) {
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
