// Generating text from a checkpoint: tokenizer, template, stops and sampling, put together once for `run` and
// `chat`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/generate.h"
#include "engine/text/chat_template.h"
#include "mortise/loading.h"

namespace mortise::tool {

// What a checkpoint knows about text. A checkpoint without a tokenizer runs on token ids.
struct Voice {
    std::optional<text::Tokenizer> tokenizer;
    std::optional<text::ChatTemplate> chat_template;
    std::map<std::string, std::string> special_tokens;  // for the template
    engine::GenerateOptions options;                    // tokenizer pointer set by generate callers
};

// Effect: reads tokenizer, template and generation config; flags go before generation_config.json.
// Errors: of each file that is present; usage for impossible sampling values.
Result<Voice> read_voice(const Session& session, const checkpoint::Checkpoint& checkpoint);

// Effect: the ids of a conversation through the template. Requires: both are there.
Result<std::vector<int32_t>> chat_ids(const Voice& voice, const std::vector<text::ChatMessage>& messages);

// Effect: the ids of a text as it is. Errors: config_missing without a tokenizer.
Result<std::vector<int32_t>> plain_ids(const Voice& voice, const std::string& text);

// "12 prompt tokens in 0.10 s, 31 tokens at 45.2 tok/s"
std::string describe(const engine::Timing& timing);

}  // namespace mortise::tool
