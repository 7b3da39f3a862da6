// What a container makes of its metadata: config.json, generation_config.json, templates, tokenizer.json.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/text/tokenizer.h"
#include "engine_text/golden.h"
#include "plugins_gguf/make_file.h"
#include "plugins_gguf/open.h"

namespace mortise {
namespace {

using test::GgufMaker;
using test::tiny_gguf;
using ::testing::HasSubstr;

std::string made(const GgufMaker& maker, std::string_view file) {
    const auto opened = test::open_bytes(maker.render());
    if (!opened) return to_string(opened.error());
    const auto found = opened->virtual_files.find(file);
    return found == opened->virtual_files.end() ? "(none)" : found->second.bytes;
}

std::string value(const GgufMaker& maker, std::string_view key) {
    const auto parsed = json::Document::parse(made(maker, "config.json"), "config.json");
    if (!parsed) return made(maker, "config.json");
    const json::Node* node = parsed->root().find(key);
    return node ? std::string(node->text()) : "(absent)";
}

TEST(GgufConfig, SaysInTheModelsWordsWhatTheMetadataSays) {
    const auto maker = tiny_gguf();
    EXPECT_EQ(value(maker, "model_type"), "llama");
    EXPECT_THAT(made(maker, "config.json"), HasSubstr("\"architectures\": [\"LlamaForCausalLM\"]"));
    EXPECT_EQ(value(maker, "hidden_size"), "32");
    EXPECT_EQ(value(maker, "num_key_value_heads"), "1");
    EXPECT_EQ(value(maker, "head_dim"), "16");
    EXPECT_EQ(value(maker, "vocab_size"), "4");
    EXPECT_EQ(value(maker, "rms_norm_eps"), "1e-05");  // not 9.999999747378752e-06, the f32 as a double
    EXPECT_EQ(value(maker, "max_position_embeddings"), "64");
    EXPECT_EQ(value(maker, "torch_dtype"), "float32");
    EXPECT_EQ(value(maker, "attention_bias"), "false");
}

TEST(GgufConfig, IsTiedIffThereIsNoHead) {
    auto maker = tiny_gguf();
    EXPECT_EQ(value(maker, "tie_word_embeddings"), "true");
    maker.tensor("output.weight", {32, 4}, 0, 512);
    EXPECT_EQ(value(maker, "tie_word_embeddings"), "false");
}

TEST(GgufConfig, CopiesKeysThatItDoesNotKnowSoThatTheyAreAccountedFor) {
    EXPECT_EQ(value(tiny_gguf().u32("llama.expert_group_count", 8), "llama.expert_group_count"), "8");
    EXPECT_EQ(value(tiny_gguf().u32("llama.expert_count", 0), "llama.expert_count"), "(absent)");
}

TEST(GgufConfig, TellsFamiliesWithExpertsFromDenseOnes) {
    EXPECT_EQ(value(tiny_gguf().u32("llama.expert_count", 0), "model_type"), "llama");
    const auto mixtral = tiny_gguf().u32("llama.expert_count", 4).u32("llama.expert_used_count", 2);
    EXPECT_EQ(value(mixtral, "model_type"), "mixtral");
    EXPECT_EQ(value(mixtral, "num_local_experts"), "4");
    EXPECT_EQ(value(mixtral, "num_experts_per_tok"), "2");
    auto qwen = tiny_gguf("qwen3moe").u32("qwen3moe.expert_count", 4).u32("qwen3moe.expert_used_count", 2);
    qwen.u32("qwen3moe.expert_feed_forward_length", 8);
    EXPECT_EQ(value(qwen, "model_type"), "qwen3_moe");
    EXPECT_EQ(value(qwen, "num_experts"), "4");
    EXPECT_EQ(value(qwen, "moe_intermediate_size"), "8");
    EXPECT_EQ(value(qwen, "norm_topk_prob"), "true");
    EXPECT_THAT(made(tiny_gguf().u32("llama.expert_count", 4), "config.json"),
                HasSubstr("llama.expert_used_count"));
}

TEST(GgufConfig, LeavesTheRampOfOneFamilyUnrounded) {
    for (const char* name : {"gpt-oss", "qwen3"}) {
        const std::string prefix(name);
        auto maker = tiny_gguf(name)
                         .text(prefix + ".rope.scaling.type", "yarn")
                         .f32(prefix + ".rope.scaling.factor", 32);
        if (prefix == "gpt-oss") maker.u32("gpt-oss.expert_count", 4).u32("gpt-oss.expert_used_count", 2);
        const bool whole = made(maker, "config.json").find("\"truncate\": false") == std::string::npos;
        EXPECT_EQ(whole, prefix == "qwen3") << made(maker, "config.json");
    }
}

TEST(GgufConfig, TurnsAPartOfAHeadUnderTwoTablesWhereTheFamilyDoes) {
    auto maker =
        tiny_gguf("phi3").u32("phi3.attention.key_length", 32).u32("phi3.attention.sliding_window", 20);
    maker.u32("phi3.rope.scaling.original_context_length", 16).f32("phi3.rope.scaling.attn_factor", 1.25f);
    EXPECT_EQ(value(maker, "partial_rotary_factor"), "0.5");
    EXPECT_EQ(value(maker, "sliding_window"), "20");
    EXPECT_THAT(made(maker, "config.json"), HasSubstr("\"rope_scaling\": null"));
    maker.tensor("rope_factors_short.weight", {8}, 0, 32).tensor("rope_factors_long.weight", {8}, 0, 32);
    std::string ones, twos;
    for (int i = 0; i < 8; ++i) {
        const float one = 1, two = 2;
        ones.append(reinterpret_cast<const char*>(&one), sizeof one);
        twos.append(reinterpret_cast<const char*>(&two), sizeof two);
    }
    maker.tensors[maker.tensors.size() - 2].data = ones;
    maker.tensors.back().data = twos;
    EXPECT_THAT(
        made(maker, "config.json"),
        HasSubstr(R"("short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [2, 2, 2, 2, 2, 2, 2, 2], )"
                  R"("attention_factor": 1.25, "original_max_position_embeddings": 16)"));
}

TEST(GgufConfig, RefusesMissingAndContradictoryKeys) {
    GgufMaker nameless;
    nameless.tensors = tiny_gguf().tensors;
    EXPECT_THAT(made(nameless, "config.json"), HasSubstr("general.architecture"));
    auto family = tiny_gguf("qwen2");
    EXPECT_EQ(value(family, "model_type"), "qwen2");
    EXPECT_THAT(made(nameless.text("general.architecture", "llama"), "config.json"),
                HasSubstr("llama.embedding_length"));
    EXPECT_THAT(made(tiny_gguf().u32("llama.vocab_size", 5), "config.json"), HasSubstr("llama.vocab_size"));
    EXPECT_THAT(made(tiny_gguf().texts("tokenizer.ggml.tokens", {"a", "b", "c", "d", "e"}), "config.json"),
                HasSubstr("more tokens"));
    EXPECT_THAT(made(tiny_gguf().u32("llama.attention.key_length", 8), "config.json"),
                HasSubstr("llama.rope.dimension_count"));
    EXPECT_THAT(made(tiny_gguf().u32("tokenizer.ggml.eos_token_id", ~0u), "config.json"),
                HasSubstr("eos_token_id"));
}

TEST(GgufConfig, NamesAnUnknownArchitectureAndNothingElse) {
    EXPECT_EQ(made(tiny_gguf("mamba"), "config.json"), "{\n  \"model_type\": \"mamba\"\n}\n");
}

TEST(GgufConfig, CarriesRopeScaling) {
    auto linear = tiny_gguf().text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4);
    EXPECT_THAT(made(linear, "config.json"),
                HasSubstr(R"("rope_scaling": {"rope_type": "linear", "factor": 4})"));
    auto yarn = tiny_gguf().text("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 2.5f);
    yarn.u32("llama.rope.scaling.original_context_length", 32);
    EXPECT_THAT(made(yarn, "config.json"),
                HasSubstr(R"({"rope_type": "yarn", "factor": 2.5, "original_max_position_embeddings": 32})"));
    EXPECT_THAT(made(tiny_gguf().text("llama.rope.scaling.type", "odd"), "config.json"),
                HasSubstr("llama.rope.scaling.type"));
}

TEST(GgufConfig, ReadsTheTableOfRopeFactors) {
    auto maker = tiny_gguf();
    maker.tensor("rope_freqs.weight", {8}, 0, 32);
    std::string bytes = maker.render();
    const float factors[] = {1, 1, 1, 1, 1.5f, 8, 8, 8};
    std::memcpy(bytes.data() + bytes.size() - sizeof factors, factors, sizeof factors);
    const auto opened = test::open_bytes(bytes);
    ASSERT_TRUE(opened) << to_string(opened.error());
    EXPECT_THAT(opened->virtual_files.find("config.json")->second.bytes,
                HasSubstr(R"("short_factor": [1, 1, 1, 1, 1.5, 8, 8, 8])"));
    EXPECT_THAT(made(maker, "config.json"), HasSubstr("rope factor is not positive"));  // all zero
}

TEST(GgufText, GivesStopTokensAndTemplates) {
    auto maker = tiny_gguf()
                     .texts("tokenizer.ggml.tokens", {"a", "b", "c", "d"})
                     .u32("tokenizer.ggml.eos_token_id", 2);
    maker.u32("tokenizer.ggml.eot_token_id", 3)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .text("tokenizer.chat_template", "{{ \"x\" }}\n");
    EXPECT_THAT(made(maker, "generation_config.json"), HasSubstr("\"eos_token_id\": [2, 3]"));
    EXPECT_EQ(made(maker, "chat_template.jinja"), "{{ \"x\" }}\n");
    EXPECT_THAT(made(maker, "tokenizer_config.json"), HasSubstr("\"eos_token\": \"c\""));
    EXPECT_EQ(made(maker, "tokenizer.json"), "(none)");  // of no known kind
    maker.texts("tokenizer.chat_templates", {"tool_use"}).text("tokenizer.chat_template.tool_use", "tools");
    EXPECT_EQ(made(maker, "chat_template.jinja"), "(none)");  // it would hide the other one
    EXPECT_THAT(made(maker, "tokenizer_config.json"),
                HasSubstr(R"({"name": "tool_use", "template": "tools"})"));
}

TEST(GgufText, RefusesListsThatDoNotFit) {
    const auto with = [](const std::vector<std::string>& tokens, const std::vector<int32_t>& types,
                         const std::vector<std::string>& merges) {
        auto maker = tiny_gguf()
                         .text("tokenizer.ggml.model", "gpt2")
                         .text("tokenizer.ggml.pre", "gpt-2")
                         .texts("tokenizer.ggml.tokens", tokens);
        return made(maker.i32s("tokenizer.ggml.token_type", types).texts("tokenizer.ggml.merges", merges),
                    "tokenizer.json");
    };
    EXPECT_THAT(with({"a", "b"}, {1}, {}), HasSubstr("tokenizer.ggml.token_type"));
    EXPECT_THAT(with({"a", "a"}, {1, 1}, {}), HasSubstr("occurs twice"));
    EXPECT_THAT(with({"a", "\xC0\x80"}, {1, 1}, {}), HasSubstr("not UTF-8"));
    EXPECT_THAT(with({"a", "b"}, {1, 1}, {"ab"}), HasSubstr("tokenizer.ggml.merges"));
}

struct Kind {
    const char *golden, *pre;
};

// The tables of a tokenizer.json, put into metadata and read back, give the same ids for every case.
class GgufTokenizer : public ::testing::TestWithParam<Kind> {};

struct Tables {
    std::vector<std::string> tokens, merges;
    std::vector<int32_t> types;

    explicit Tables(const json::Node& root) {
        std::map<int64_t, std::pair<std::string, int32_t>> by_id;
        const json::Node& vocabulary = *root.find("model")->find("vocab");
        for (size_t i = 0; i < vocabulary.size(); ++i) {
            const std::string& token = vocabulary.keys()[i];
            by_id[vocabulary.items()[i]->as_int().value()] = {token, token.starts_with("<0x") ? 6 : 1};
        }
        for (const auto& added : root.find("added_tokens")->items())
            by_id[added->find("id")->as_int().value()] = {text::golden::string(*added, "content"),
                                                          added->find("special")->as_bool().value() ? 3 : 4};
        for (const auto& [id, token] : by_id) {
            while (tokens.size() < static_cast<size_t>(id))
                push("[PAD" + std::to_string(tokens.size()) + "]", 5);
            push(token.first, token.second);
        }
        for (const auto& merge : root.find("model")->find("merges")->items())
            merges.push_back(std::string(merge->items()[0]->text()) + " " +
                             std::string(merge->items()[1]->text()));
    }
    void push(std::string token, int32_t type) {
        tokens.push_back(std::move(token));
        types.push_back(type);
    }
    // A score for each piece, as a trainer gives them: the earlier it was made of two, the higher.
    std::vector<float> scores() const {
        std::vector<float> out(tokens.size(), -1e6f);
        for (size_t rank = merges.size(); rank-- > 0;) {
            const size_t space = merges[rank].find(' ');
            const std::string whole = merges[rank].substr(0, space) + merges[rank].substr(space + 1);
            out[static_cast<size_t>(std::ranges::find(tokens, whole) - tokens.begin())] =
                -static_cast<float>(rank);
        }
        return out;
    }
    GgufMaker maker(const char* pre) const {
        GgufMaker made = tiny_gguf();
        made.tensors[0].extent = {32, tokens.size()};
        made.tensors[0].bytes = tokens.size() * 128;
        made.texts("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", types);
        if (std::string_view(pre) == "pieces")
            return made.text("tokenizer.ggml.model", "llama").f32s("tokenizer.ggml.scores", scores());
        return made.text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", pre)
            .texts("tokenizer.ggml.merges", merges);
    }
};

TEST_P(GgufTokenizer, GivesTheIdsOfTheLibrary) {
    const auto folder = text::golden::root() / "tokenizers" / GetParam().golden;
    const auto source = text::golden::document(folder / "tokenizer.json"),
               cases = text::golden::document(folder / "cases.json");
    const Tables tables(source.root());
    GgufMaker maker = tables.maker(GetParam().pre);
    for (const auto& [key, tokens] : {std::pair{"bos", std::vector{"<|begin_of_text|>", "<s>"}},
                                      std::pair{"unknown", std::vector{"<unk>"}}})
        for (const char* token : tokens)
            if (const auto at = std::ranges::find(tables.tokens, token); at != tables.tokens.end())
                maker.u32("tokenizer.ggml." + std::string(key) + "_token_id",
                          static_cast<uint32_t>(at - tables.tokens.begin()));
    const auto tokenizer = text::Tokenizer::parse(made(maker, "tokenizer.json"), "tokenizer.json");
    ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
    ASSERT_GT(cases.root().find("cases")->size(), 50u);
    for (const auto& each : cases.root().find("cases")->items()) {
        const std::string text = text::golden::string(*each, "text");
        EXPECT_EQ(tokenizer->encode(text, true).value(), text::golden::ids(*each->find("ids"))) << text;
        EXPECT_EQ(tokenizer->encode(text, false).value(), text::golden::ids(*each->find("ids_no_special")))
            << text;
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true).value(), false).value(),
                  text::golden::string(*each, "decode"))
            << text;
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GgufTokenizer,
                         ::testing::Values(Kind{"gpt2", "gpt-2"}, Kind{"llama3", "llama-bpe"},
                                           Kind{"qwen2", "qwen2"}, Kind{"o200k", "gpt-4o"},
                                           Kind{"digits", "starcoder"}, Kind{"gpt2", "smollm"},
                                           Kind{"llama2", "pieces"}),
                         [](const auto& kind) {
                             std::string name = std::string(kind.param.golden) + "_as_" + kind.param.pre;
                             std::ranges::replace_if(name, [](char c) { return c == '-'; }, '_');
                             return name;
                         });

}  // namespace
}  // namespace mortise
