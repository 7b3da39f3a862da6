#include <charconv>
#include <cmath>

#include "base/json.h"
#include "base/text.h"

namespace mortise::json {

std::string quote(std::string_view text) {
    constexpr char hex[] = "0123456789abcdef";
    std::string out = "\"";
    out.reserve(text.size() + 2);
    while (!text.empty()) {
        size_t good = first_invalid_utf8(text);
        for (char c : text.substr(0, good)) {
            switch (c) {
                case '"': out += "\\\""; break;
                case '\\': out += "\\\\"; break;
                case '\n': out += "\\n"; break;
                case '\r': out += "\\r"; break;
                case '\t': out += "\\t"; break;
                case '\b': out += "\\b"; break;
                case '\f': out += "\\f"; break;
                default:
                    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
                        out += "\\u00";
                        out += hex[(c >> 4) & 15];
                        out += hex[c & 15];
                    } else {
                        out += c;
                    }
            }
        }
        text.remove_prefix(good);
        if (!text.empty()) {  // bytes that are no UTF-8 would make the whole document unreadable
            out += "\xEF\xBF\xBD";
            text.remove_prefix(1);
        }
    }
    out += '"';
    return out;
}

void Writer::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (first_.empty()) return;
    if (!first_.back()) out_ += ',';
    first_.back() = false;
    if (indent_ > 0) {
        out_ += '\n';
        out_.append(first_.size() * static_cast<size_t>(indent_), ' ');
    }
}

Writer& Writer::begin_object() { return begin('{'); }
Writer& Writer::begin_array() { return begin('['); }
Writer& Writer::end_object() { return end('}'); }
Writer& Writer::end_array() { return end(']'); }

Writer& Writer::begin(char bracket) {
    separate();
    out_ += bracket;
    first_.push_back(true);
    return *this;
}

Writer& Writer::end(char bracket) {
    bool empty = first_.back();
    first_.pop_back();
    if (indent_ > 0 && !empty) {
        out_ += '\n';
        out_.append(first_.size() * static_cast<size_t>(indent_), ' ');
    }
    out_ += bracket;
    return *this;
}

Writer& Writer::key(std::string_view name) {
    separate();
    out_ += quote(name);
    out_ += indent_ > 0 ? ": " : ":";
    after_key_ = true;
    return *this;
}

Writer& Writer::value(std::string_view text) { return raw(quote(text)); }
Writer& Writer::value(bool flag) { return raw(flag ? "true" : "false"); }
Writer& Writer::value(int64_t number) { return raw(std::to_string(number)); }
Writer& Writer::value(uint64_t number) { return raw(std::to_string(number)); }
Writer& Writer::null() { return raw("null"); }

Writer& Writer::value(double number) {
    if (!std::isfinite(number)) return null();
    char text[40];
    auto [end, error] = std::to_chars(text, text + sizeof text, number);
    return raw(std::string_view(text, static_cast<size_t>(end - text)));
}

Writer& Writer::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

}  // namespace mortise::json
