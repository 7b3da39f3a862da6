#include "engine/text/jinja/lexer.h"

#include <algorithm>
#include <optional>

#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

using Type = Token::Type;

class Lexer {
  public:
    Lexer(std::string_view source, const std::string& file) : file_(file) {
        for (size_t i = 0; i < source.size(); ++i) {  // all line ends become \n
            if (source[i] == '\r') {
                source_ += '\n';
                if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
            } else {
                source_ += source[i];
            }
        }
        if (source_.ends_with('\n')) source_.pop_back();
    }

    Result<std::vector<Token>> run() {
        while (at_ < source_.size()) MORTISE_CHECK(next_part());
        push(Type::end, "");
        return std::move(tokens_);
    }

  private:
    std::string_view rest(size_t from) const {
        return std::string_view(source_).substr(std::min(from, source_.size()));
    }

    void push(Type type, std::string text) { tokens_.push_back({type, std::move(text), line_}); }

    void advance(size_t to) {
        line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                             source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
        line_start_ = to > at_ && source_[to - 1] == '\n';
        at_ = to;
    }

    std::unexpected<Error> bad(std::string what) const {
        return fail(
            Problem{.code = Code::template_invalid, .what = std::move(what), .file = file_, .line = line_});
    }

    size_t skip_space(size_t from) const { return source_.size() - python_lstrip(rest(from)).size(); }

    // Effect: the text before a tag as data, stripped as the tag's sign ('-', '+' or 0) asks.
    void push_data(size_t to, char sign, bool variable) {
        std::string_view text = std::string_view(source_).substr(at_, to - at_);
        if (sign == '-') {
            text = python_rstrip(text);
        } else if (sign != '+' && !variable) {
            const size_t line = text.rfind('\n') + 1;
            if ((line > 0 || line_start_) && line < text.size() && python_lstrip(text.substr(line)).empty())
                text = text.substr(0, line);
        }
        if (!text.empty()) push(Type::data, std::string(text));
    }

    char sign_at(size_t at) const {
        const char c = at < source_.size() ? source_[at] : '\0';
        return c == '-' || c == '+' ? c : '\0';
    }

    // Effect: behind the end of a block or comment ("%}", "#}") at `at`, whose sign stands before it.
    size_t behind_end(size_t at, char sign) const {
        const size_t end = at + 2;
        if (sign == '-') return skip_space(end);
        return sign != '+' && end < source_.size() && source_[end] == '\n' ? end + 1 : end;
    }

    Status next_part() {
        size_t open = at_;
        for (;; ++open) {
            open = source_.find('{', open);
            if (open == std::string::npos || open + 1 >= source_.size()) {
                push(Type::data, source_.substr(at_));
                advance(source_.size());
                return {};
            }
            const char kind = source_[open + 1];
            if (kind == '%' || kind == '{' || kind == '#') break;
        }
        const char kind = source_[open + 1];
        const char sign = sign_at(open + 2);
        push_data(open, sign, kind == '{');
        advance(open + 2 + (sign ? 1 : 0));
        if (kind == '#') return comment();
        if (kind == '%') {
            if (const auto body = keyword_tag(at_, "raw", true)) return raw(*body);
        }
        push(kind == '{' ? Type::variable_begin : Type::block_begin, "");
        return tag(kind == '%');
    }

    Status comment() {
        const size_t end = source_.find("#}", at_);
        if (end == std::string::npos) return bad("comment without an end");
        advance(behind_end(end, end > at_ ? sign_at(end - 1) : '\0'));
        return {};
    }

    // Effect: behind "WORD %}" when that stands at `from`. The begin of raw keeps the line end behind it.
    std::optional<size_t> keyword_tag(size_t from, std::string_view word, bool begin) const {
        size_t at = skip_space(from);
        if (!rest(at).starts_with(word)) return std::nullopt;
        at = skip_space(at + word.size());
        const char sign = sign_at(at);
        if (sign == '+' && begin) return std::nullopt;
        if (!rest(at + (sign ? 1 : 0)).starts_with("%}")) return std::nullopt;
        const size_t close = at + (sign ? 1 : 0);
        return begin && sign == 0 ? close + 2 : behind_end(close, sign);
    }

    Status raw(size_t body) {
        advance(body);
        for (size_t open = source_.find("{%", at_); open != std::string::npos;
             open = source_.find("{%", open + 1)) {
            const char sign = sign_at(open + 2);
            const auto behind = keyword_tag(open + 2 + (sign ? 1 : 0), "endraw", false);
            if (!behind) continue;
            push_data(open, sign, false);
            advance(*behind);
            return {};
        }
        return bad("raw without endraw");
    }

    Status tag(bool block) {
        std::string open;  // brackets that wait for their partner
        for (;;) {
            advance(skip_space(at_));
            if (at_ >= source_.size()) return bad("tag without an end");
            if (open.empty() && tag_end(block)) return {};
            const char c = source_[at_];
            if (c == '"' || c == '\'') {
                MORTISE_CHECK(string(c));
            } else if (c >= '0' && c <= '9') {
                MORTISE_CHECK(number());
            } else if (size_t end = name_end(); end > at_) {
                push(Type::name, source_.substr(at_, end - at_));
                advance(end);
            } else {
                MORTISE_CHECK(op(open));
            }
        }
    }

    bool tag_end(bool block) {
        const char sign = sign_at(at_);
        const size_t close = at_ + (sign ? 1 : 0);
        if (sign == '+' && !block) return false;
        if (!rest(close).starts_with(block ? "%}" : "}}")) return false;
        push(block ? Type::block_end : Type::variable_end, "");
        advance(block ? behind_end(close, sign) : sign == '-' ? skip_space(close + 2) : close + 2);
        return true;
    }

    size_t name_end() const {
        size_t at = at_;
        while (at < source_.size()) {
            size_t behind = at;
            const char32_t c = next_code_point(source_, behind);
            if (!is_word(c)) break;
            at = behind;
        }
        return at;
    }

    Status string(char quote) {
        size_t end = at_ + 1;
        while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
        if (end >= source_.size()) return bad("string without an end");
        auto text = unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
        if (!text) return bad("unknown escape in a string");
        push(Type::string, *std::move(text));
        advance(end + 1);
        return {};
    }

    Status number() {
        const auto digit = [&](size_t i) {
            return i < source_.size() && source_[i] >= '0' && source_[i] <= '9';
        };
        const auto digits = [&](size_t i) {
            while (digit(i) || (i < source_.size() && source_[i] == '_' && digit(i + 1))) ++i;
            return i;
        };
        size_t end = digits(at_);
        bool real = false;
        if (end < source_.size() && source_[end] == '.' && digit(end + 1)) {
            end = digits(end + 1);
            real = true;
        }
        if (end < source_.size() && (source_[end] | 0x20) == 'e') {
            const size_t sign = sign_at(end + 1) ? 1 : 0;
            if (digit(end + 1 + sign)) {
                end = digits(end + 1 + sign);
                real = true;
            }
        }
        std::string text = source_.substr(at_, end - at_);
        std::erase(text, '_');
        if (!real && text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != text.npos)
            return bad("number with a leading zero");
        push(real ? Type::real : Type::integer, std::move(text));
        advance(end);
        return {};
    }

    Status op(std::string& open) {
        static constexpr std::string_view operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
        const auto* found = std::find_if(std::begin(operators), std::end(operators),
                                         [&](std::string_view text) { return rest(at_).starts_with(text); });
        if (found == std::end(operators)) return bad("unexpected character");
        const char c = found->front();
        if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
        if (c == ')' || c == ']' || c == '}') {
            if (open.empty() || open.back() != c) return bad(std::string("'") + c + "' without its partner");
            open.pop_back();
        }
        push(Type::op, std::string(*found));
        advance(at_ + found->size());
        return {};
    }

    const std::string& file_;
    std::string source_;
    std::vector<Token> tokens_;
    size_t at_ = 0;
    int line_ = 1;
    bool line_start_ = true;  // the part before at_ ends a line
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& file) {
    return Lexer(source, file).run();
}

}  // namespace mortise::text::jinja
