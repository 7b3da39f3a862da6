// Python's str methods, on UTF-8: what templates call on strings. Positions count code points.
// Functions without state; arguments are valid UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::text::jinja {

bool python_space(char32_t c);  // str.isspace() of one character
std::string_view python_lstrip(std::string_view text);
std::string_view python_rstrip(std::string_view text);
std::string_view python_strip(std::string_view text);
// Effect: strips any of `characters`.
std::string_view strip_characters(std::string_view text, std::string_view characters, bool left, bool right);

std::string python_lower(std::string_view text);  // with the final sigma
std::string python_upper(std::string_view text);
std::string python_capitalize(std::string_view text);
std::string python_title(std::string_view text);  // str.title()
std::string python_swapcase(std::string_view text);
std::string title_filter(std::string_view text);  // jinja2's filter: words end at spaces, '-', brackets
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
std::vector<std::string> split_space(std::string_view text, int64_t limit,
                                     bool from_right);  // limit < 0: none
std::vector<std::string> split_at(std::string_view text, std::string_view separator, int64_t limit,
                                  bool from_right);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to, int64_t limit);
std::string escape_html(std::string_view text);  // as markupsafe: &amp; &lt; &gt; &#39; &#34;

// Effect: byte offset of code point `index`. Requires: 0 <= index <= number of code points.
size_t byte_offset(std::string_view text, size_t index);
// Effect: the contents of a string literal; nothing for an escape that names a character (\N{...}).
std::optional<std::string> unescape(std::string_view literal);

}  // namespace mortise::text::jinja
