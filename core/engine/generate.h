// The generation loop: prompt in, tokens and text out, one at a time.
//
// Uses one sequence of an Engine that the caller opened; belongs to the engine's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/text/sampling.h"
#include "engine/text/tokenizer.h"

namespace mortise::engine {

// One generated token, as it comes. `text` is what became final with it, often empty.
struct Piece {
    uint32_t token = 0;
    std::string_view text;
};

struct GenerateOptions {
    text::SamplingOptions sampling;     // temperature 1 by default; 0 = greedy
    uint64_t max_tokens = 256;          // new ones
    std::vector<uint32_t> stop_tokens;  // end the output; the token itself is its last, its text is not shown
    std::vector<std::string> stop_strings;       // end the output before them; need a tokenizer
    bool ignore_eos = false;                     // goes on past stop_tokens
    const text::Tokenizer* tokenizer = nullptr;  // null: tokens only
    bool skip_special = true;                    // special tokens give no text
    std::span<const int32_t> history;            // tokens already in the sequence, for the repetition penalty
    std::function<bool(const Piece&)> on_piece;  // false ends the output
};

enum class Finish : uint8_t { max_tokens, stop_token, stop_string, cancelled, cache_full };
std::string_view name(Finish finish);  // "stop_token"

struct Timing {
    uint64_t prompt_tokens = 0, generated = 0;
    double first_token_s = 0;  // from the call to the first token, the prompt's forward included
    double decode_s = 0;       // from the first token to the last
    double prefill_tps() const {
        return first_token_s > 0 ? static_cast<double>(prompt_tokens) / first_token_s : 0;
    }
    double decode_tps() const {
        return decode_s > 0 && generated > 1 ? static_cast<double>(generated - 1) / decode_s : 0;
    }
};

struct Generation {
    std::vector<int32_t> tokens;  // stop token included
    std::string text;             // without stop strings
    Finish finish = Finish::max_tokens;
    std::string stop_string;  // the one that matched
    Timing timing;
};

// Effect: appends `prompt` to the sequence and generates. Afterwards the sequence holds the prompt and all
// tokens but the last, which no forward has seen: it begins the next prompt of a conversation.
// Errors: usage (empty prompt, stop strings without a tokenizer, sampling options out of range), and those of
// Engine::forward, Sampler::next and StreamDecoder::push.
Result<Generation> generate(Engine& engine, uint32_t sequence, std::span<const int32_t> prompt,
                            const GenerateOptions& options);

}  // namespace mortise::engine
