#include "engine/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/result.h"

namespace mortise::text {
namespace {

struct Lead {
    int length;
    uint8_t low, high;  // range of the second byte (Unicode 15, table 3-7)
};

Lead lead_of(uint8_t byte) {
    if (byte < 0x80) return {1, 0, 0};
    if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

// Effect: moves behind one sequence; false when it is invalid.
bool decode(std::string_view text, size_t& position, char32_t& c) {
    const auto first = static_cast<uint8_t>(text[position++]);
    const Lead lead = lead_of(first);
    if (lead.length == 1) {
        c = first;
        return true;
    }
    if (lead.length == 0) return false;
    c = first & (0x7F >> lead.length);
    for (int i = 1; i < lead.length; ++i) {
        if (position == text.size()) return false;
        const auto byte = static_cast<uint8_t>(text[position]);
        const uint8_t low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
        if (byte < low || byte > high) return false;
        c = (c << 6) | (byte & 0x3F);
        ++position;
    }
    return true;
}

utf8proc_category_t category(char32_t c) {
    return static_cast<utf8proc_category_t>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
}

bool between(utf8proc_category_t value, utf8proc_category_t first, utf8proc_category_t last) {
    return value >= first && value <= last;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

}  // namespace

char32_t next_code_point(std::string_view text, size_t& position) {
    char32_t c = 0;
    return decode(text, position, c) ? c : replacement_character;
}

void append_utf8(std::string& out, char32_t c) {
    utf8proc_uint8_t bytes[4];
    const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

std::vector<char32_t> code_points(std::string_view text) {
    std::vector<char32_t> out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) out.push_back(next_code_point(text, i));
    return out;
}

size_t code_point_count(std::string_view text) {
    return static_cast<size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

bool is_valid_utf8(std::string_view bytes) {
    char32_t c = 0;
    for (size_t i = 0; i < bytes.size();)
        if (!decode(bytes, i, c)) return false;
    return true;
}

std::string lossy_utf8(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    for (size_t i = 0; i < bytes.size();) {
        const size_t start = i;
        char32_t c = 0;
        if (decode(bytes, i, c)) {
            out.append(bytes.substr(start, i - start));
        } else {
            out.append(replacement_utf8);
        }
    }
    return out;
}

bool is_whitespace(char32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}
bool is_numeric(char32_t c) { return between(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO); }
bool is_mark(char32_t c) { return between(category(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME); }
bool is_letter(char32_t c) { return between(category(c), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO); }
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_word(char32_t c) {
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (c == 0x200C || c == 0x200D) return true;
    // Other_Alphabetic outside the letters and marks: circled and squared Latin letters.
    if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
        (c >= 0x1F170 && c <= 0x1F189))
        return true;
    const auto kind = category(c);
    return between(kind, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_ME) || kind == UTF8PROC_CATEGORY_ND ||
           kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_PC;
}

bool is_punctuation(char32_t c) {
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    return between(category(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

bool is_printable(char32_t c) {
    if (c == ' ') return true;
    const auto kind = category(c);
    return kind != UTF8PROC_CATEGORY_CN && between(kind, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_SO);
}

std::string normalize(std::string_view text, Form form) {
    const bool compatible = form == Form::nfkc || form == Form::nfkd;
    const bool compose = form == Form::nfc || form == Form::nfkc;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                        (compatible ? UTF8PROC_COMPAT : 0));
    std::vector<utf8proc_int32_t> buffer;
    buffer.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
        utf8proc_int32_t pieces[32];
        int boundary = 0;
        const auto c = static_cast<utf8proc_int32_t>(next_code_point(text, i));
        const auto n = utf8proc_decompose_char(c, pieces, 32, options, &boundary);
        MORTISE_INVARIANT(n >= 0 && n <= 32);  // the longest decomposition has 18 characters (UAX #15)
        buffer.insert(buffer.end(), pieces, pieces + n);
    }
    // Canonical ordering. The library's own is quadratic on long runs of marks.
    for (auto run = buffer.begin(); run != buffer.end();) {
        const auto end = std::find_if(run, buffer.end(), [](auto c) { return combining_class(c) == 0; });
        std::stable_sort(run, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
        run = end == buffer.end() ? end : end + 1;
    }
    auto length = static_cast<utf8proc_ssize_t>(buffer.size());
    if (compose)
        length = utf8proc_normalize_utf32(buffer.data(), length,
                                          static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    std::string out;
    out.reserve(text.size());
    for (utf8proc_ssize_t i = 0; i < length; ++i)
        append_utf8(out, static_cast<char32_t>(buffer[static_cast<size_t>(i)]));
    return out;
}

void append_lower(std::string& out, char32_t c) {
    if (c == 0x130) return void(out += "i\xCC\x87");
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

void append_upper(std::string& out, char32_t c) {
    if (!is_upper(c) && c >= 0x80) {
        // A character whose full case folding is longer has the upper case of that folding.
        utf8proc_int32_t folded[8];
        int boundary = 0;
        const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8, UTF8PROC_CASEFOLD,
                                               &boundary);
        if (n > 1 && n <= 8) {
            for (int i = 0; i < n; ++i) append_utf8(out, static_cast<char32_t>(utf8proc_toupper(folded[i])));
            return;
        }
    }
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_title(std::string& out, char32_t c) {
    if (is_upper(c) || is_title(c) || c < 0x80)
        return append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
    std::string upper;
    append_upper(upper, c);
    if (code_point_count(upper) == 1)
        return append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
    size_t i = 0;
    append_utf8(out, next_code_point(upper, i));
    while (i < upper.size()) append_lower(out, next_code_point(upper, i));
}

std::string to_lower(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) append_lower(out, next_code_point(text, i));
    return out;
}

}  // namespace mortise::text
