// Finding and splitting: the patterns of tokenizer.json ("String" or "Regex") and what its splitters do with
// the matches. Regular expressions are Oniguruma's, the engine of the `tokenizers` library, so that character
// classes and backtracking agree. Thread-safe after construction.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mortise::text {

struct Span {
    size_t begin = 0, end = 0;  // bytes
};

class Pattern {
  public:
    // Errors: tokenizer_invalid (syntax).
    static Result<Pattern> regex(const std::string& expression);
    static Pattern literal(std::string text);
    // Effect: of {"String": "..."} or {"Regex": "..."}.
    static Result<Pattern> parse(const json::Node& node);

    // Effect: all matches from left to right, not overlapping; an empty match directly behind a match is no
    // match. Requires: valid UTF-8. Errors: value_range when the expression backtracks without end on this
    // text.
    Result<std::vector<Span>> find(std::string_view text) const;

  private:
    struct Compiled;
    std::shared_ptr<const Compiled> compiled_;  // null: literal
    std::string literal_;
};

enum class Behavior : uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };
Result<Behavior> parse_behavior(const json::Node& node);

// Effect: the pieces of `text` (never empty ones) when split at `matches`. `invert`: the text between the
// matches is what counts as a match.
std::vector<Span> split(std::string_view text, const std::vector<Span>& matches, Behavior behavior,
                        bool invert);

// Effect: the runs of single characters for which `is_match` holds, one match for each character.
std::vector<Span> find_characters(std::string_view text, bool (*is_match)(char32_t));

}  // namespace mortise::text
