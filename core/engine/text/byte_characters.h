// The byte alphabet of byte-level BPE: one printable character for each byte, as GPT-2's encoder.py defines
// it: the printable Latin-1 bytes stand for themselves, the other 68 for U+0100, U+0101, ... in order.
// Thread-safe: functions without state.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mortise::text {

// Effect: each byte as its character: "a b" -> "aĠb".
std::string bytes_to_characters(std::string_view bytes);
// Effect: the bytes, or nothing when a character of `text` is none of the 256. Requires: valid UTF-8.
std::optional<std::string> characters_to_bytes(std::string_view text);

}  // namespace mortise::text
