#include "engine/text/jinja/python_text.h"

#include <algorithm>

#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

bool cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

size_t last_start(std::string_view text) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    return at;
}

}  // namespace

bool python_space(char32_t c) { return is_whitespace(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view python_lstrip(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
        size_t behind = at;
        if (!python_space(next_code_point(text, behind))) break;
        at = behind;
    }
    return text.substr(at);
}

std::string_view python_rstrip(std::string_view text) {
    while (!text.empty()) {
        const size_t start = last_start(text);
        size_t at = start;
        if (!python_space(next_code_point(text, at))) break;
        text = text.substr(0, start);
    }
    return text;
}

std::string_view python_strip(std::string_view text) { return python_rstrip(python_lstrip(text)); }

std::string_view strip_characters(std::string_view text, std::string_view characters, bool left, bool right) {
    const auto set = code_points(characters);
    const auto in_set = [&](char32_t c) { return std::find(set.begin(), set.end(), c) != set.end(); };
    while (left && !text.empty()) {
        size_t at = 0;
        if (!in_set(next_code_point(text, at))) break;
        text = text.substr(at);
    }
    while (right && !text.empty()) {
        const size_t start = last_start(text);
        size_t at = start;
        if (!in_set(next_code_point(text, at))) break;
        text = text.substr(0, start);
    }
    return text;
}

std::string python_lower(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
        const size_t at = i;
        const char32_t c = next_code_point(text, i);
        if (c == 0x3A3) {  // capital sigma: final behind a cased letter and before none
            size_t next = i, before = at > 0 ? last_start(text.substr(0, at)) : 0;
            const bool behind = at > 0 && cased(next_code_point(text, before));
            const bool ahead = next < text.size() && cased(next_code_point(text, next));
            append_utf8(out, behind && !ahead ? 0x3C2 : 0x3C3);
        } else {
            append_lower(out, c);
        }
    }
    return out;
}

std::string python_upper(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size();) append_upper(out, next_code_point(text, i));
    return out;
}

std::string python_capitalize(std::string_view text) {
    if (text.empty()) return "";
    std::string out;
    size_t i = 0;
    append_title(out, next_code_point(text, i));
    return out + python_lower(text.substr(i));
}

std::string python_title(std::string_view text) {
    std::string out;
    bool inside = false;
    for (size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        inside ? append_lower(out, c) : append_title(out, c);
        inside = cased(c);
    }
    return out;
}

std::string python_swapcase(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        is_upper(c) ? append_lower(out, c) : append_upper(out, c);
    }
    return out;
}

std::string title_filter(std::string_view text) {
    std::string out;
    bool inside = false;
    for (size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        const bool separator = python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
        inside ? append_lower(out, c) : append_upper(out, c);
        inside = !separator;
    }
    return out;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
    std::vector<std::string> lines;
    size_t begin = 0;
    for (size_t i = 0; i < text.size();) {
        const size_t end = i;
        const char32_t c = next_code_point(text, i);
        const bool line_end =
            (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (!line_end) continue;
        if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
        lines.emplace_back(text.substr(begin, (keep_ends ? i : end) - begin));
        begin = i;
    }
    if (begin < text.size()) lines.emplace_back(text.substr(begin));
    return lines;
}

std::vector<std::string> split_space(std::string_view text, int64_t limit, bool from_right) {
    std::vector<std::string> words;
    text = from_right ? python_rstrip(text) : python_lstrip(text);
    while (!text.empty()) {
        if (limit >= 0 && static_cast<int64_t>(words.size()) == limit) {
            words.emplace_back(text);
            break;
        }
        size_t end = from_right ? text.size() : 0;
        while (from_right ? end > 0 : end < text.size()) {
            size_t start = from_right ? last_start(text.substr(0, end)) : end, behind = start;
            if (python_space(next_code_point(text, behind))) break;
            end = from_right ? start : behind;
        }
        words.emplace_back(from_right ? text.substr(end) : text.substr(0, end));
        text = from_right ? python_rstrip(text.substr(0, end)) : python_lstrip(text.substr(end));
    }
    if (from_right) std::reverse(words.begin(), words.end());
    return words;
}

std::vector<std::string> split_at(std::string_view text, std::string_view separator, int64_t limit,
                                  bool from_right) {
    std::vector<std::string> parts;
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
        const size_t at = from_right ? text.rfind(separator) : text.find(separator);
        if (at == text.npos) break;
        parts.emplace_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
        text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
    }
    parts.emplace_back(text);
    if (from_right) std::reverse(parts.begin(), parts.end());
    return parts;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
    std::string out;
    size_t at = 0;
    for (int64_t n = 0; limit < 0 || n < limit; ++n) {
        if (from.empty()) {  // between all characters, and at both ends
            out += to;
            if (at == text.size()) return out;
            const size_t begin = at;
            next_code_point(text, at);
            out.append(text.substr(begin, at - begin));
            continue;
        }
        const size_t found = text.find(from, at);
        if (found == text.npos) break;
        out.append(text.substr(at, found - at)).append(to);
        at = found + from.size();
    }
    return out.append(text.substr(at));
}

std::string escape_html(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '\'': out += "&#39;"; break;
            case '"': out += "&#34;"; break;
            default: out += c;
        }
    }
    return out;
}

size_t byte_offset(std::string_view text, size_t index) {
    size_t at = 0;
    for (size_t i = 0; i < index && at < text.size(); ++i) next_code_point(text, at);
    return at;
}

std::optional<std::string> unescape(std::string_view literal) {
    std::string out;
    for (size_t i = 0; i < literal.size(); ++i) {
        if (literal[i] != '\\' || i + 1 == literal.size()) {
            out += literal[i];
            continue;
        }
        const char c = literal[++i];
        static constexpr std::string_view from = "\\'\"abfnrtv", to = "\\'\"\a\b\f\n\r\t\v";
        if (const size_t simple = from.find(c); simple != from.npos) {
            out += to[simple];
        } else if (c == '\n') {
            continue;
        } else if (c == 'x' || c == 'u' || c == 'U' || (c >= '0' && c <= '7')) {
            const bool octal = c >= '0' && c <= '7';
            const size_t want = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : 8;
            size_t at = octal ? i : i + 1, n = 0;
            uint32_t code = 0;
            for (; n < want && at < literal.size(); ++n, ++at) {
                const char d = literal[at];
                const int value = d >= '0' && d <= '9'                     ? d - '0'
                                  : (d | 0x20) >= 'a' && (d | 0x20) <= 'f' ? (d | 0x20) - 'a' + 10
                                                                           : 16;
                if (value >= (octal ? 8 : 16)) break;
                code = code * (octal ? 8 : 16) + static_cast<uint32_t>(value);
            }
            if ((!octal && n < want) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
                return std::nullopt;
            append_utf8(out, code);
            i = at - 1;
        } else if (c == 'N') {
            return std::nullopt;
        } else {
            (out += '\\') += c;
        }
    }
    return out;
}

}  // namespace mortise::text::jinja
