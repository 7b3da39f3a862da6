// Small helpers on text. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mortise {

// Effect: true iff `text` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool valid_utf8(std::string_view text);
// Effect: byte position of the first ill-formed sequence; text.size() when there is none.
size_t first_invalid_utf8(std::string_view text);

inline bool starts(std::string_view text, std::string_view prefix) { return text.starts_with(prefix); }
inline bool ends(std::string_view text, std::string_view suffix) { return text.ends_with(suffix); }

// Effect: the pieces between separators; one piece (maybe empty) more than there are separators.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);  // spaces, tabs, line ends on both sides
std::string join(std::span<const std::string> pieces, std::string_view between);

// Effect: "1.2 GiB", "512 B".
std::string human_bytes(uint64_t bytes);

// Effect: number of insertions, deletions, replacements and neighbour swaps between two words.
size_t edit_distance(std::string_view a, std::string_view b);
// Effect: the candidate that `word` is most likely a misspelling of; empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string_view> candidates);
std::string nearest(std::string_view word, std::span<const std::string> candidates);
// Effect: "did you mean 'x'?", or empty: for the fix of a Problem.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace mortise
