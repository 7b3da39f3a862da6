// Unicode as tokenizers and templates need it: UTF-8, classes of characters, normal forms, case.
// The tables are those of utf8proc. Thread-safe: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::text {

constexpr char32_t replacement_character = 0xFFFD;
constexpr std::string_view replacement_utf8 = "\xEF\xBF\xBD";

// Effect: the code point at `position`, which moves behind it. An invalid sequence gives U+FFFD and moves by
// its maximal valid prefix (Unicode 15, section 3.9: "substitution of maximal subparts"), by at least one
// byte. Requires: position < text.size().
char32_t next_code_point(std::string_view text, size_t& position);
void append_utf8(std::string& out, char32_t c);
std::vector<char32_t> code_points(std::string_view text);
size_t code_point_count(std::string_view text);  // of valid UTF-8
bool is_valid_utf8(std::string_view bytes);
// Effect: `bytes` with each maximal invalid subpart replaced by U+FFFD.
std::string lossy_utf8(std::string_view bytes);

bool is_whitespace(char32_t c);   // property White_Space
bool is_numeric(char32_t c);      // Nd, Nl, No
bool is_mark(char32_t c);         // Mn, Mc, Me
bool is_word(char32_t c);         // \w of UTS #18: alphabetic, marks, digits, connectors, join controls
bool is_punctuation(char32_t c);  // P*, and all ASCII punctuation and symbols
bool is_letter(char32_t c);       // L*
bool is_upper(char32_t c);        // Lu
bool is_lower(char32_t c);        // Ll
bool is_title(char32_t c);        // Lt
bool is_decimal(char32_t c);      // Nd
bool is_printable(
    char32_t c);  // neither a separator other than the space, nor a control, format, private or unassigned

enum class Form : uint8_t { nfc, nfd, nfkc, nfkd };
// Effect: the normal form, in n log n. Requires: valid UTF-8.
std::string normalize(std::string_view text, Form form);

// Full case mappings of single characters (SpecialCasing.txt without conditions): 'ß' -> "SS", 'İ' -> "i̇".
void append_lower(std::string& out, char32_t c);
void append_upper(std::string& out, char32_t c);
void append_title(std::string& out, char32_t c);
std::string to_lower(std::string_view text);  // character by character: no final sigma

}  // namespace mortise::text
