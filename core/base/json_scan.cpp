#include "base/json_scan.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace mortise::json {
namespace {

constexpr std::array<bool, 256> plain_in_string = [] {
    std::array<bool, 256> table{};
    for (int c = 0x20; c < 256; ++c) table[c] = c != '"' && c != '\\';
    return table;
}();

bool digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

}  // namespace

Scanner::Scanner(std::string_view text, const std::string& name, Limits limits)
    : text_(text), name_(name), limits_(limits) {}

Scanner::Step Scanner::fail(Code code, std::string what, size_t offset) {
    offset = std::min(offset, text_.size());
    size_t newline = offset == 0 ? std::string_view::npos : text_.rfind('\n', offset - 1);
    size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    auto line = std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(start), '\n');
    problem_ = Problem{.code = code,
                       .what = std::move(what),
                       .file = name_,
                       .line = static_cast<int>(line) + 1,
                       .column = static_cast<int>(offset - start) + 1};
    return Step::failed;
}

void Scanner::skip_blanks() {
    while (at_ < text_.size()) {
        char c = text_[at_];
        if (c == '\n') {
            ++line_;
            line_start_ = at_ + 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
        ++at_;
    }
    column_ = static_cast<int>(at_ - line_start_) + 1;
}

Scanner::Step Scanner::next(Event& event) {
    if (!checked_) {
        checked_ = true;
        if (text_.starts_with("\xEF\xBB\xBF")) return bad("text starts with a byte order mark");
        size_t invalid = first_invalid_utf8(text_);
        if (invalid != text_.size()) return fail(Code::json_invalid, "text is not UTF-8", invalid);
    }
    for (;;) {
        skip_blanks();
        bool end = at_ == text_.size();
        if (expect_ == Expect::comma_or_end && frames_.empty()) {
            return end ? Step::done : bad("text after the end of the document");
        }
        if (end) return bad("text ends early");
        char c = text_[at_];
        switch (expect_) {
            case Expect::value: return read_value(event);
            case Expect::value_or_end: return c == ']' ? close(event) : read_value(event);
            case Expect::key: return read_key(event);
            case Expect::key_or_end: return c == '}' ? close(event) : read_key(event);
            case Expect::comma_or_end: break;
        }
        bool object = frames_.back().object;
        if (c == (object ? '}' : ']')) return close(event);
        if (c != ',') return bad(object ? "',' or '}' expected" : "',' or ']' expected");
        ++at_;
        expect_ = object ? Expect::key : Expect::value;
    }
}

Scanner::Step Scanner::open(Event& event, bool object) {
    if (frames_.size() >= limits_.depth) {
        return fail(Code::json_limits, "nested deeper than " + std::to_string(limits_.depth), at_);
    }
    frames_.push_back({object, keys_.size()});
    ++at_;
    expect_ = object ? Expect::key_or_end : Expect::value_or_end;
    event = {object ? Event::Type::begin_object : Event::Type::begin_array, {}, 0, false};
    return Step::event;
}

Scanner::Step Scanner::close(Event& event) {
    Frame frame = frames_.back();
    if (frame.object && !keys_differ(frame)) return Step::failed;
    keys_.resize(frame.first_key);
    frames_.pop_back();
    ++at_;
    expect_ = Expect::comma_or_end;
    event = {frame.object ? Event::Type::end_object : Event::Type::end_array, {}, 0, false};
    return Step::event;
}

bool Scanner::keys_differ(const Frame& frame) {
    std::span<Key> keys(keys_.data() + frame.first_key, keys_.size() - frame.first_key);
    const Key* first = nullptr;
    const Key* second = nullptr;
    if (keys.size() <= 12) {
        for (size_t j = 1; j < keys.size() && !second; ++j) {
            for (size_t i = 0; i < j && !second; ++i) {
                if (keys[i].text == keys[j].text) first = &keys[i], second = &keys[j];
            }
        }
    } else {
        // Sorted by hash, not by text: names of tensors share long prefixes.
        std::vector<std::pair<size_t, const Key*>> order;
        order.reserve(keys.size());
        for (const Key& key : keys) order.emplace_back(std::hash<std::string_view>()(key.text), &key);
        std::sort(order.begin(), order.end());
        for (size_t j = 1; j < order.size() && !second; ++j) {
            for (size_t i = j; i-- > 0 && order[i].first == order[j].first;) {
                if (order[i].second->text == order[j].second->text) {
                    first = order[i].second, second = order[j].second;
                }
            }
        }
    }
    if (!second) return true;
    int first_line = 1 + static_cast<int>(std::count(
                             text_.begin(), text_.begin() + static_cast<ptrdiff_t>(first->offset), '\n'));
    std::string what = "key '" + std::string(second->text.substr(0, 200)) + "' occurs twice, first on line " +
                       std::to_string(first_line);
    fail(Code::json_duplicate_key, std::move(what), second->offset);
    return false;
}

Scanner::Step Scanner::read_key(Event& event) {
    if (text_[at_] != '"') return bad("key in quotes expected");
    size_t offset = at_;
    std::string_view key;
    if (!read_string(key)) return Step::failed;
    if (key.data() == scratch_.data() && !key.empty()) key = owned_.emplace_back(key);
    keys_.push_back({key, offset});
    int line = line_, column = column_;
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != ':') return bad("':' expected");
    ++at_;
    line_ = line, column_ = column;
    // Blank lines between key and colon are counted again from the text when they exist.
    if (line_start_ > offset) {
        line_ = 1 + static_cast<int>(
                        std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n'));
    }
    expect_ = Expect::value;
    event = {Event::Type::key, key, 0, false};
    return Step::event;
}

Scanner::Step Scanner::read_value(Event& event) {
    char c = text_[at_];
    if (c == '{') return open(event, true);
    if (c == '[') return open(event, false);
    expect_ = Expect::comma_or_end;
    if (c == '"') {
        event = {Event::Type::string, {}, 0, false};
        return read_string(event.text) ? Step::event : Step::failed;
    }
    if (c == '-' || digit(c)) return read_number(event);
    return read_word(event);
}

Scanner::Step Scanner::read_word(Event& event) {
    auto take = [&](std::string_view word, Event::Type type) {
        if (text_.substr(at_, word.size()) != word) return false;
        event = {type, text_.substr(at_, word.size()), 0, false};
        at_ += word.size();
        return true;
    };
    if (take("true", Event::Type::boolean) || take("false", Event::Type::boolean) ||
        take("null", Event::Type::null)) {
        return Step::event;
    }
    if (limits_.non_finite && (take("NaN", Event::Type::real) || take("Infinity", Event::Type::real))) {
        return Step::event;
    }
    return bad("value expected");
}

Scanner::Step Scanner::read_number(Event& event) {
    size_t begin = at_;
    size_t i = at_;
    auto peek = [&] { return i < text_.size() ? text_[i] : '\0'; };
    bool negative = peek() == '-';
    if (negative) ++i;
    if (negative && limits_.non_finite && text_.substr(i, 8) == "Infinity") {
        at_ = i + 8;
        event = {Event::Type::real, text_.substr(begin, at_ - begin), 0, false};
        return Step::event;
    }
    if (!digit(peek())) return bad("digit expected");
    uint64_t value = 0;
    bool fits = true, integer = true;
    if (peek() == '0') {
        ++i;
        if (digit(peek())) return bad("number starts with 0");
    }
    for (; digit(peek()); ++i) {
        fits = fits && !__builtin_mul_overflow(value, uint64_t{10}, &value) &&
               !__builtin_add_overflow(value, static_cast<uint64_t>(peek() - '0'), &value);
    }
    if (peek() == '.') {
        integer = false;
        ++i;
        if (!digit(peek())) return bad("digit expected after the point");
        while (digit(peek())) ++i;
    }
    if (peek() == 'e' || peek() == 'E') {
        integer = false;
        ++i;
        if (peek() == '+' || peek() == '-') ++i;
        if (!digit(peek())) return bad("digit expected in the exponent");
        while (digit(peek())) ++i;
    }
    if (i - begin > limits_.number_bytes) return fail(Code::json_limits, "number is too long", begin);
    at_ = i;
    bool exact = integer && fits;
    event = {exact ? Event::Type::integer : Event::Type::real, text_.substr(begin, i - begin),
             exact ? value : 0, exact && negative};
    return Step::event;
}

bool Scanner::read_string(std::string_view& out) {
    size_t begin = ++at_;
    size_t i = begin;
    while (i < text_.size() && plain_in_string[static_cast<unsigned char>(text_[i])]) ++i;
    at_ = i;
    if (i == text_.size()) return bad("text ends inside a string"), false;
    if (text_[i] == '\\') {
        if (!read_escaped(out, begin)) return false;
    } else if (text_[i] == '"') {
        out = text_.substr(begin, i - begin);
        ++at_;
    } else {
        return bad("control character in a string"), false;
    }
    if (out.size() > limits_.string_bytes) return fail(Code::json_limits, "string is too long", begin), false;
    return true;
}

bool Scanner::read_escaped(std::string_view& out, size_t begin) {
    scratch_.assign(text_, begin, at_ - begin);
    while (at_ < text_.size()) {
        char c = text_[at_];
        if (c == '"') {
            ++at_;
            out = scratch_;
            return true;
        }
        if (c == '\\') {
            if (!read_escape(scratch_)) return false;
            continue;
        }
        if (static_cast<unsigned char>(c) < 0x20) return bad("control character in a string"), false;
        size_t run = at_;
        while (run < text_.size() && plain_in_string[static_cast<unsigned char>(text_[run])]) ++run;
        scratch_.append(text_, at_, run - at_);
        at_ = run;
    }
    return bad("text ends inside a string"), false;
}

bool Scanner::read_hex4(uint32_t& out) {
    out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
        char c = at_ < text_.size() ? text_[at_] : '\0';
        uint32_t value;
        if (digit(c)) {
            value = static_cast<uint32_t>(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            value = static_cast<uint32_t>((c | 0x20) - 'a' + 10);
        } else {
            return bad("four hexadecimal digits expected"), false;
        }
        out = out * 16 + value;
    }
    return true;
}

bool Scanner::read_escape(std::string& out) {
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    ++at_;
    char c = at_ < text_.size() ? text_[at_] : '\0';
    if (size_t i = from.find(c); i != std::string_view::npos && c != '\0') {
        out += to[i];
        ++at_;
        return true;
    }
    if (c != 'u') return bad("unknown escape"), false;
    ++at_;
    uint32_t code, low;
    if (!read_hex4(code)) return false;
    if (code >= 0xDC00 && code <= 0xDFFF) return bad("lone low surrogate"), false;
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (text_.substr(at_, 2) != "\\u") return bad("lone high surrogate"), false;
        at_ += 2;
        if (!read_hex4(low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return bad("lone high surrogate"), false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
    return true;
}

}  // namespace mortise::json
