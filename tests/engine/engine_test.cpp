#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/perplexity.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace mortise::engine {
namespace {

using testing::tiny_vocabulary;
using Tokens = std::vector<int32_t>;

const Tokens text = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};

// A loaded tiny model with an engine; the team lives as long.
struct Running {
    explicit Running(testing::TinyOptions options = {}, int threads = 2) : team(threads) {
        if (!options.provider) options.provider = testing::open_provider();
        made = testing::tiny_model(options);
        auto model = load::load(made->origin(), {}, team);
        EXPECT_TRUE(model) << to_string(model.error());
        auto made_engine = Engine::make(*model, team);
        EXPECT_TRUE(made_engine);
        engine = std::move(*made_engine);
    }
    std::vector<float> forward(std::vector<Slice> slices) {
        const auto logits = engine->forward(slices);
        EXPECT_TRUE(logits) << to_string(logits.error());
        return {logits->begin(), logits->end()};
    }
    // Logits of every token of `tokens`, in one call and a sequence of its own.
    std::vector<float> alone(const Tokens& tokens) {
        const uint32_t id = engine->open_sequence().value();
        auto logits = forward({{id, tokens, true}});
        engine->close_sequence(id);
        return logits;
    }

    Team team;
    std::unique_ptr<testing::HandMade> made;
    std::unique_ptr<Engine> engine;
};

std::vector<float> row(const std::vector<float>& logits, size_t index) {
    const auto begin = logits.begin() + static_cast<ptrdiff_t>(index * tiny_vocabulary);
    return {begin, begin + tiny_vocabulary};
}

TEST(Engine, LogitsAreFiniteAndDependOnEveryEarlierToken) {
    Running running;
    const auto all = running.alone(text);
    ASSERT_EQ(all.size(), text.size() * tiny_vocabulary);
    for (float value : all) EXPECT_TRUE(std::isfinite(value));
    Tokens other = text;
    other[0] = 7;
    EXPECT_NE(row(all, text.size() - 1), row(running.alone(other), text.size() - 1));
    other = text;
    other.back() = 0;
    EXPECT_EQ(row(all, text.size() - 2), row(running.alone(other), text.size() - 2));
}

TEST(Engine, LogitsDoNotDependOnTheNumberOfThreads) {
    const auto one = Running({}, 1).alone(text);
    EXPECT_EQ(one, Running({}, 2).alone(text));
    EXPECT_EQ(one, Running({}, 3).alone(text));
}

TEST(Engine, ChunkedPrefillEqualsOneShotForEveryChunkSize) {
    testing::TinyOptions options;
    options.max_rows = text.size();
    const auto whole = Running(options).alone(text);
    for (uint64_t rows : {1, 2, 3, 5, 7}) {
        options.max_rows = rows;
        EXPECT_EQ(Running(options).alone(text), whole) << rows;
    }
}

TEST(Engine, TokenByTokenEqualsOneShot) {
    Running running;
    const auto whole = running.alone(text);
    const uint32_t id = running.engine->open_sequence().value();
    for (size_t i = 0; i < text.size(); ++i)
        EXPECT_EQ(running.forward({{id, std::span(text).subspan(i, 1)}}), row(whole, i)) << i;
    EXPECT_EQ(running.engine->length(id), text.size());
}

TEST(Engine, OnlyTheWantedRowsComeBack) {
    Running running;
    const auto whole = running.alone(text);
    const uint32_t id = running.engine->open_sequence().value();
    EXPECT_EQ(running.forward({{id, text}}), row(whole, text.size() - 1));
}

TEST(Engine, InterleavedSequencesGiveTheLogitsOfEachAlone) {
    testing::TinyOptions options;
    options.max_length = 48;
    Running running(options);
    const Tokens a = {1, 2, 3, 4, 5, 6, 7}, b = {8, 8, 1}, c = {12, 0, 3, 3, 3};
    const auto alone_a = running.alone(a), alone_b = running.alone(b), alone_c = running.alone(c);
    const uint32_t ia = running.engine->open_sequence().value(), ib = running.engine->open_sequence().value(),
                   ic = running.engine->open_sequence().value();
    const auto sa = std::span(a), sb = std::span(b), sc = std::span(c);
    const auto first =
        running.forward({{ia, sa.subspan(0, 3), true}, {ib, sb.subspan(0, 1), true}, {ic, sc.subspan(0, 4)}});
    ASSERT_EQ(first.size(), 5 * tiny_vocabulary);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(row(first, i), row(alone_a, i));
    EXPECT_EQ(row(first, 3), row(alone_b, 0));
    EXPECT_EQ(row(first, 4), row(alone_c, 3));
    const auto second = running.forward({{ic, sc.subspan(4)}, {ib, sb.subspan(1)}, {ia, sa.subspan(3)}});
    EXPECT_EQ(row(second, 0), row(alone_c, 4));
    EXPECT_EQ(row(second, 1), row(alone_b, 2));
    EXPECT_EQ(row(second, 2), row(alone_a, 6));
}

TEST(Engine, TruncatingForgetsWhatFollowed) {
    Running running;
    const auto whole = running.alone(text);
    const uint32_t id = running.engine->open_sequence().value();
    Tokens wrong(text.begin(), text.begin() + 5);
    wrong.insert(wrong.end(), {11, 11, 11, 11});
    running.forward({{id, wrong}});
    running.engine->truncate(id, 5);
    EXPECT_EQ(running.engine->length(id), 5u);
    EXPECT_EQ(running.forward({{id, std::span(text).subspan(5)}}), row(whole, text.size() - 1));
}

TEST(Engine, ClosedSequencesGiveTheirBlocksBack) {
    Running running;
    for (int round = 0; round < 20; ++round)
        EXPECT_EQ(running.alone(text).size(), text.size() * tiny_vocabulary);
}

TEST(Engine, AFullCacheRefusesAndLeavesEverySequenceAsItWas) {
    Running running;  // 24 positions in blocks of 3
    const auto whole = running.alone(text);
    const uint32_t a = running.engine->open_sequence().value(), b = running.engine->open_sequence().value();
    running.forward({{a, std::span(text).subspan(0, 15)}});
    const std::vector<Slice> slices = {{a, std::span(text).subspan(15)}, {b, text}};
    const auto refused = running.engine->forward(slices);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::out_of_memory);
    EXPECT_EQ(running.engine->length(a), 15u);
    EXPECT_EQ(running.engine->length(b), 0u);
    EXPECT_EQ(running.forward({{a, std::span(text).subspan(15)}}), row(whole, 15));
    while (running.engine->open_sequence()) {
    }
    const auto none = running.engine->open_sequence();
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code(), Code::out_of_memory);
}

TEST(Engine, WrongCallsAreRefused) {
    Running running;
    const uint32_t id = running.engine->open_sequence().value();
    const Tokens negative = {-1}, large = {static_cast<int32_t>(tiny_vocabulary)}, empty, longer(25, 1),
                 good = {1};
    for (const Tokens& tokens : {negative, large, empty, longer}) {
        const std::vector<Slice> slices = {{id, tokens}};
        const auto refused = running.engine->forward(slices);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code(), Code::usage);
    }
    const std::vector<Slice> closed = {{id + 1, good}}, twice = {{id, good}, {id, good}};
    EXPECT_FALSE(running.engine->forward(closed));
    EXPECT_FALSE(running.engine->forward(twice));
    EXPECT_EQ(running.engine->length(id), 0u);
}

TEST(Engine, ElementwiseStepsBehindTheHeadRunOnTheWantedRows) {
    testing::TinyOptions options;
    const auto plain = Running(options).alone(text);
    options.softcap = true;
    Running capped(options);
    const auto all = capped.alone(text);
    for (size_t i = 0; i < all.size(); ++i) EXPECT_NEAR(all[i], 2 * std::tanh(plain[i] / 2), 1e-5);
    const uint32_t id = capped.engine->open_sequence().value();
    EXPECT_EQ(capped.forward({{id, text}}), row(all, text.size() - 1));
}

TEST(Engine, NothingButTheProviderTouchesItsMemory) {
    testing::TinyOptions options;
    const auto want = Running(options).alone(text);
    options.provider = testing::guarded_provider();
    EXPECT_EQ(Running(options).alone(text), want);
}

// The one kernel gathers rows for the embedding and multiplies for the head.
TEST(Engine, EqualHeadAndEmbeddingShareOneTableAndGiveTheSameLogits) {
    testing::TinyOptions options;
    options.equal_tables = true;
    testing::reset();
    Running shared(options);
    const uint64_t kernels = testing::seen().kernels;
    const auto got = shared.alone(text);
    EXPECT_EQ(kernels + 1, shared.made->plan.kernels.size());
    shared.made->overwrite("head.weight", 0, testing::bytes_of({0.125f}));  // now they differ
    testing::reset();
    auto apart = load::load(shared.made->origin(), {}, shared.team);
    ASSERT_TRUE(apart);
    EXPECT_EQ(testing::seen().kernels, shared.made->plan.kernels.size());
    EXPECT_TRUE((*apart)->receipt().notes.empty());
    auto engine = Engine::make(*apart, shared.team).value();
    const uint32_t id = engine->open_sequence().value();
    const Slice slice{id, text, true};
    const auto logits = engine->forward(std::span(&slice, 1)).value();
    for (size_t i = 0; i < got.size(); ++i) {
        if (i % tiny_vocabulary == 0) continue;  // the head's row 0 was changed
        EXPECT_NEAR(logits[i], got[i], 1e-4);
    }
}

// The test provider leaves FE_DOWNWARD behind after every call.
TEST(Engine, ACarelessKernelCannotChangeTheCallersRoundingMode) {
    Running running;
    volatile float one = 1, tiny = -0x1p-30f;
    ASSERT_EQ(one + tiny, 1.0f);
    running.alone({1, 2});
    EXPECT_EQ(one + tiny, 1.0f);  // downward: the next float below 1
}

// ---- perplexity ----------------------------------------------------------------------------------

double by_hand(const std::vector<float>& logits, const Tokens& tokens, size_t from) {
    double sum = 0;
    for (size_t i = from; i < tokens.size(); ++i) {
        double total = 0;
        for (float value : row(logits, i - 1)) total += std::exp(double{value});
        sum += std::log(total) - double{row(logits, i - 1)[static_cast<size_t>(tokens[i])]};
    }
    return sum;
}

TEST(Perplexity, OfOnePassIsTheMeanOverAllButTheFirstToken) {
    Running running;
    const auto result = perplexity(*running.engine, text);
    ASSERT_TRUE(result) << to_string(result.error());
    EXPECT_EQ(result->scored, text.size() - 1);
    const double mean = by_hand(running.alone(text), text, 1) / static_cast<double>(text.size() - 1);
    EXPECT_NEAR(result->mean_nll, mean, 1e-9);
    EXPECT_NEAR(result->value, std::exp(mean), 1e-9);
}

TEST(Perplexity, OverlappingPassesScoreEachTokenOnce) {
    Running running;
    const auto result = perplexity(*running.engine, text, {.window = 8, .stride = 4, .progress = {}});
    ASSERT_TRUE(result);
    EXPECT_EQ(result->scored, text.size() - 1);
    const auto pass = [&](size_t begin, size_t from) {
        const Tokens window(text.begin() + static_cast<ptrdiff_t>(begin),
                            text.begin() + static_cast<ptrdiff_t>(begin) + 8);
        return by_hand(running.alone(window), window, from);
    };
    EXPECT_NEAR(result->mean_nll * 15, pass(0, 1) + pass(4, 4) + pass(8, 4), 1e-9);
}

TEST(Perplexity, PassesWithoutOverlapLoseTheFirstTokenOfEach) {
    Running running;
    const auto result = perplexity(*running.engine, text, {.window = 5, .stride = 0, .progress = {}});
    ASSERT_TRUE(result);
    EXPECT_EQ(result->scored, text.size() - 4);  // 5 + 5 + 5 + 1
}

TEST(Perplexity, RefusesASingleToken) {
    Running running;
    const auto result = perplexity(*running.engine, Tokens{1});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::usage);
}

TEST(Perplexity, OfOverwhelmingLogitsIsFinite) {
    const std::vector<float> logits = {1e4f, -1e4f, 0};
    EXPECT_EQ(negative_log_likelihood(logits, 0), 0);
    EXPECT_EQ(negative_log_likelihood(logits, 1), 2e4);
}

}  // namespace
}  // namespace mortise::engine
