// The decoders of tokenizer.json: from the texts of tokens to text. Thread-safe after construction.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace mortise::text {

class Decoder {
  public:
    virtual ~Decoder() = default;
    // Effect: rewrites the list of token texts; the decoded text is their concatenation.
    // Errors: value_range (a pattern that backtracks without end).
    virtual Status apply(std::vector<std::string>& tokens) const = 0;
};

// Errors: tokenizer_invalid; unsupported_tokenizer.
Result<std::unique_ptr<Decoder>> parse_decoder(const json::Node& node);

}  // namespace mortise::text
