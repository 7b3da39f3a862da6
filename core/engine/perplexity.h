// Perplexity of a text: how surprised the model is, per token.
//
// Each token but the first is scored once, with at least window - stride tokens of context where there are
// that many (the sliding window of the transformers documentation, "Perplexity of fixed-length models").
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/engine.h"

namespace mortise::engine {

struct Perplexity {
    double value = 0;     // exp(mean_nll)
    double mean_nll = 0;  // nats per scored token
    uint64_t tokens = 0;  // in the text
    uint64_t scored = 0;
};

struct PerplexityOptions {
    uint64_t window = 0;  // tokens of one pass; 0 = the engine's max_length
    uint64_t stride = 0;  // new tokens of each pass; 0 = the window: passes do not overlap
    std::function<void(uint64_t done, uint64_t total)> progress;  // scored tokens
};

// Effect: opens a sequence of its own and closes it. Errors: usage for fewer than two tokens or a stride
// above the window; those of Engine::forward.
Result<Perplexity> perplexity(Engine& engine, std::span<const int32_t> tokens,
                              const PerplexityOptions& options = {});

// Effect: -log softmax(logits)[token], in double precision.
double negative_log_likelihood(std::span<const float> logits, int32_t token);

}  // namespace mortise::engine
