// The pre-tokenizers of tokenizer.json: they cut normalized text into the pieces inside which BPE merges.
// Thread-safe after construction.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace mortise::text {

struct Piece {
    std::string text;
    bool at_start;  // begins where the whole input begins
};

class PreTokenizer {
  public:
    virtual ~PreTokenizer() = default;
    // Effect: replaces `pieces` by finer ones, none of them empty. Requires: valid UTF-8.
    // Errors: value_range (a pattern that backtracks without end).
    virtual Status apply(std::vector<Piece>& pieces) const = 0;
};

// Errors: tokenizer_invalid; unsupported_tokenizer.
Result<std::unique_ptr<PreTokenizer>> parse_pre_tokenizer(const json::Node& node);

}  // namespace mortise::text
