// The normalizers of tokenizer.json: what happens to text before it is cut. Thread-safe after construction.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"

namespace mortise::text {

class Normalizer {
  public:
    virtual ~Normalizer() = default;
    // Effect: replaces `text`. Requires: valid UTF-8. Errors: value_range (a pattern that backtracks without
    // end).
    virtual Status apply(std::string& text) const = 0;
};

// Effect: the normalizer that `node` describes.
// Errors: tokenizer_invalid; unsupported_tokenizer for kinds that only other models than BPE use.
Result<std::unique_ptr<Normalizer>> parse_normalizer(const json::Node& node);

}  // namespace mortise::text
