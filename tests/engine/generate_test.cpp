#include "engine/generate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace mortise::engine {
namespace {

using Tokens = std::vector<int32_t>;
const Tokens prompt = {3, 1, 4, 1, 5};

// Thirteen tokens: "a" to "i", a space, "é" in two bytes, and a special end.
constexpr const char* tokenizer_json = R"({
  "version": "1.0",
  "added_tokens": [{"id": 12, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false}],
  "normalizer": null, "post_processor": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 7, "i": 8, "Ġ": 9, "Ã": 10, "©": 11},
            "merges": []}})";

class GenerateTest : public ::testing::Test {
  protected:
    GenerateTest() {
        made_ = testing::tiny_model({.provider = testing::open_provider()});
        engine_ = Engine::make(load::load(made_->origin(), {}, team_).value(), team_).value();
        auto parsed = text::Tokenizer::parse(tokenizer_json, "tokenizer.json");
        EXPECT_TRUE(parsed) << to_string(parsed.error());
        tokenizer_.emplace(std::move(*parsed));
        options.sampling.temperature = 0;
        options.max_tokens = 8;
    }
    Generation run(const Tokens& tokens = prompt) {
        const uint32_t id = engine_->open_sequence().value();
        auto generation = generate(*engine_, id, tokens, options);
        EXPECT_TRUE(generation) << to_string(generation.error());
        length_ = engine_->length(id);
        engine_->close_sequence(id);
        return generation ? *generation : Generation{};
    }
    std::string decode(const Tokens& tokens) {
        const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
        return tokenizer_->decode(ids, true).value();
    }

    Team team_{1};
    std::unique_ptr<testing::HandMade> made_;
    std::unique_ptr<Engine> engine_;
    std::optional<text::Tokenizer> tokenizer_;
    GenerateOptions options;
    uint64_t length_ = 0;
};

TEST_F(GenerateTest, GreedyFollowsTheHighestLogit) {
    const Generation got = run();
    ASSERT_EQ(got.tokens.size(), 8u);
    EXPECT_EQ(got.finish, Finish::max_tokens);
    Tokens all = prompt;
    for (int32_t token : got.tokens) {
        const uint32_t id = engine_->open_sequence().value();
        const Slice slice{id, all};
        const auto row = engine_->forward(std::span(&slice, 1)).value();
        EXPECT_EQ(token, std::ranges::max_element(row) - row.begin());
        engine_->close_sequence(id);
        all.push_back(token);
    }
}

TEST_F(GenerateTest, TheSequenceHoldsAllButTheLastToken) {
    const Generation got = run();
    EXPECT_EQ(length_, prompt.size() + got.tokens.size() - 1);
}

TEST_F(GenerateTest, AStopTokenEndsTheOutputUnlessIgnored) {
    const Generation free = run();
    const auto stop = static_cast<uint32_t>(free.tokens[3]);
    options.stop_tokens = {stop};
    const Generation stopped = run();
    EXPECT_EQ(stopped.finish, Finish::stop_token);
    EXPECT_EQ(stopped.tokens.back(), static_cast<int32_t>(stop));
    EXPECT_LE(stopped.tokens.size(), 4u);
    options.ignore_eos = true;
    EXPECT_EQ(run().tokens, free.tokens);
}

TEST_F(GenerateTest, TheStreamedPiecesAreTheText) {
    options.tokenizer = &*tokenizer_;
    std::string streamed;
    Tokens seen;
    options.on_piece = [&](const Piece& piece) {
        streamed += piece.text;
        if (seen.size() < 8) seen.push_back(static_cast<int32_t>(piece.token));
        return true;
    };
    const Generation got = run();
    EXPECT_EQ(streamed, got.text);
    EXPECT_EQ(got.text, decode(got.tokens));
    EXPECT_EQ(seen, got.tokens);
}

TEST_F(GenerateTest, AStopStringEndsTheOutputBeforeIt) {
    options.tokenizer = &*tokenizer_;
    const Generation free = run();
    ASSERT_GE(free.text.size(), 3u);
    const std::string stop = free.text.substr(1, 2);
    options.stop_strings = {stop};
    const Generation got = run();
    EXPECT_EQ(got.finish, Finish::stop_string);
    EXPECT_EQ(got.stop_string, stop);
    EXPECT_EQ(got.text, free.text.substr(0, free.text.find(stop)));
    EXPECT_LT(got.tokens.size(), free.tokens.size());
}

TEST_F(GenerateTest, TheCallbackCanEndIt) {
    int pieces = 0;
    options.on_piece = [&](const Piece&) { return ++pieces < 3; };
    const Generation got = run();
    EXPECT_EQ(got.tokens.size(), 3u);
    EXPECT_EQ(got.finish, Finish::cancelled);
}

TEST_F(GenerateTest, AFullCacheEndsItCleanly) {
    options.max_tokens = 1000;
    const Generation got = run();
    EXPECT_EQ(got.finish, Finish::cache_full);
    EXPECT_EQ(length_, engine_->max_length());
    EXPECT_EQ(got.tokens.size(), engine_->max_length() - prompt.size() + 1);
}

TEST_F(GenerateTest, EqualSeedsGiveEqualTokensAndOthersDoNot) {
    options.sampling.temperature = 2;
    options.sampling.seed = 5;
    const Generation first = run();
    EXPECT_EQ(run().tokens, first.tokens);
    options.sampling.seed = 6;
    EXPECT_NE(run().tokens, first.tokens);
}

TEST_F(GenerateTest, HistoryCountsForTheRepetitionPenalty) {
    const auto top = static_cast<int32_t>(run().tokens[0]);
    options.sampling.repetition_penalty = 1e6f;
    options.max_tokens = 1;
    const Tokens history = {top};
    options.history = history;
    EXPECT_NE(run().tokens[0], top);
}

TEST_F(GenerateTest, TimingCountsTheTokens) {
    const Generation got = run();
    EXPECT_EQ(got.timing.prompt_tokens, prompt.size());
    EXPECT_EQ(got.timing.generated, 8u);
    EXPECT_GT(got.timing.first_token_s, 0);
    EXPECT_GT(got.timing.decode_tps(), 0);
}

TEST_F(GenerateTest, WrongOptionsAreUsageErrors) {
    const uint32_t id = engine_->open_sequence().value();
    EXPECT_EQ(generate(*engine_, id, {}, options).error().code(), Code::usage);
    options.stop_strings = {"x"};
    EXPECT_EQ(generate(*engine_, id, prompt, options).error().code(), Code::usage);
    options.stop_strings.clear();
    options.sampling.top_p = 2;
    EXPECT_EQ(generate(*engine_, id, prompt, options).error().code(), Code::usage);
}

}  // namespace
}  // namespace mortise::engine
