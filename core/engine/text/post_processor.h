// The post-processors of tokenizer.json: which special tokens frame one text or a pair of texts.
// Thread-safe after construction.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"

namespace mortise::text {

struct PostProcessor {
    // One step of a template: the first text, the second text, or fixed ids.
    struct Step {
        enum class Kind : uint8_t { first, second, fixed } kind;
        std::vector<uint32_t> ids;
    };
    std::vector<Step> single{{Step::Kind::first, {}}};
    std::vector<Step> pair{{Step::Kind::first, {}}, {Step::Kind::second, {}}};

    // Effect: the ids of the whole. `second` may be null (then `single` rules).
    std::vector<uint32_t> apply(const std::vector<uint32_t>& first, const std::vector<uint32_t>* second,
                                bool add_special) const;
};

// Errors: tokenizer_invalid; unsupported_tokenizer.
Result<PostProcessor> parse_post_processor(const json::Node& node);

}  // namespace mortise::text
