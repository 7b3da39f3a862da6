// generation_config.json: the author's defaults for generating. Function without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/text/sampling.h"

namespace mortise::text {

struct GenerationConfig {
    std::vector<uint32_t> eos_token_ids;
    std::optional<uint32_t> bos_token_id, pad_token_id;
    std::optional<bool> do_sample;  // false or absent: greedy, whatever the filters say
    std::optional<float> temperature, top_p, min_p, repetition_penalty;
    std::optional<uint32_t> top_k;
    std::optional<uint32_t> max_length, max_new_tokens;
    std::vector<std::string> stop_strings;
};

// Effect: what concerns generation here. Keys that are known and not listed above (beams, contrastive search,
// ...) do not
//   concern one greedy or sampled sequence and are passed over; all keys count as read.
// Errors: json_type; config_value (out of range).
Result<GenerationConfig> read_generation_config(const json::Node& root);

// Effect: "eos_token_id" (an id or a list of ids) of `object`, a config.json or generation_config.json;
// absent: empty.
Result<std::vector<uint32_t>> read_eos_token_ids(const json::Node& object);

// Effect: the sampling that the config asks for: greedy unless do_sample is true. The seed stays 0.
SamplingOptions sampling_of(const GenerationConfig& config);

}  // namespace mortise::text
