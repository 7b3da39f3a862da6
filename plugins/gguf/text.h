// UTF-8 and JSON text. Thread-safe: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace gguf {

// Effect: true iff `text` is UTF-8 without overlong forms and surrogates (RFC 3629).
bool is_utf8(std::string_view text);
// Effect: `text` for messages: cut to 60 bytes, everything but printable ASCII as '?'.
std::string printable(std::string_view text);
// Effect: `text` as a JSON string, quotes included. Requires: UTF-8.
std::string quote(std::string_view text);

}  // namespace gguf
