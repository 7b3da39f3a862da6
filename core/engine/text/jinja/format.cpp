// Python's json.dumps and printf-style formatting.
#include <algorithm>
#include <cmath>

#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

class JsonWriter {
  public:
    JsonWriter(Machine& machine, const JsonStyle& style) : machine_(machine), style_(style) {}

    void write(const Value& value, int level) {
        if (!machine_.step()) return;
        switch (value.kind()) {
            case Kind::none: out += "null"; return;
            case Kind::boolean: out += value.whole() ? "true" : "false"; return;
            case Kind::integer: out += std::to_string(value.whole()); return;
            case Kind::real: out += real(value.real()); return;
            case Kind::string: return string(value.text());
            case Kind::list:
            case Kind::tuple: return list(value, level);
            case Kind::dict: return dict(value, level);
            default:
                machine_.fail("Object of type " + std::string(python_type(value)) +
                              " is not JSON serializable");
        }
    }

    std::string out;

  private:
    static std::string real(double number) {
        if (std::isnan(number)) return "NaN";
        if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
        return real_repr(number);
    }

    void escape(char32_t c) {
        char buffer[16];
        std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
        out += buffer;
    }

    void string(const std::string& text) {
        machine_.step(text.size() / 64);
        out += '"';
        for (size_t i = 0; i < text.size();) {
            const char32_t c = next_code_point(text, i);
            static constexpr std::string_view special = "\"\\\n\r\t\b\f", letter = "\"\\nrtbf";
            const size_t known = c < 0x80 ? special.find(static_cast<char>(c)) : special.npos;
            if (known != special.npos) {
                (out += '\\') += letter[known];
            } else if (c < 0x20 || (style_.ascii && c > 0x7E && c < 0x10000)) {
                escape(c);
            } else if (style_.ascii && c >= 0x10000) {
                escape(0xD800 + ((c - 0x10000) >> 10));
                escape(0xDC00 + ((c - 0x10000) & 0x3FF));
            } else {
                append_utf8(out, c);
            }
        }
        out += '"';
    }

    void line(int level) {
        if (style_.indent >= 0) (out += '\n').append(static_cast<size_t>(style_.indent * level), ' ');
    }

    void list(const Value& value, int level) {
        out += '[';
        for (size_t i = 0; i < value.items().size() && !machine_.failed(); ++i) {
            if (i) out += style_.item_separator;
            line(level + 1);
            write(value.items()[i], level + 1);
        }
        if (!value.items().empty()) line(level);
        out += ']';
    }

    void dict(const Value& value, int level) {
        auto entries = value.entries();
        if (style_.sorted)
            std::stable_sort(entries.begin(), entries.end(),
                             [&](const auto& a, const auto& b) { return less(machine_, a.first, b.first); });
        out += '{';
        for (size_t i = 0; i < entries.size() && !machine_.failed(); ++i) {
            if (i) out += style_.item_separator;
            line(level + 1);
            const Value& key = entries[i].first;
            if (key.is(Kind::string)) {
                string(key.text());
            } else if (key.is_number() || key.is(Kind::none)) {
                out += '"';
                write(key, level);
                out += '"';
            } else {
                machine_.fail("keys must be str, int, float, bool or None, not " +
                              std::string(python_type(key)));
            }
            out += style_.key_separator;
            write(entries[i].second, level + 1);
        }
        if (!entries.empty()) line(level);
        out += '}';
    }

    Machine& machine_;
    const JsonStyle& style_;
};

struct Field {  // one %... of a format
    bool left = false, zero = false, plus = false;
    int width = 0, precision = -1;
    char type = 0;
};

std::string pad(std::string text, const Field& field) {
    const size_t size = code_point_count(text), width = static_cast<size_t>(field.width);
    if (size >= width) return text;
    if (field.left) return text.append(width - size, ' ');
    const size_t at = field.zero && !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    return text.insert(field.zero ? at : 0, width - size, field.zero ? '0' : ' ');
}

std::string repr_of(Machine& machine, const Value& value) {
    return machine.grow(value.weight()) ? to_repr(value) : "";
}

std::string format_field(Machine& machine, const Field& field, const Value& value) {
    if (field.type == 's' || field.type == 'r') {
        const std::string text = field.type == 's' ? text_of(machine, value) : repr_of(machine, value);
        return text.substr(
            0, field.precision < 0 ? text.npos : byte_offset(text, static_cast<size_t>(field.precision)));
    }
    if (!value.is_number()) {
        machine.fail(std::string("%") + field.type + " format: a number is required, not " +
                     std::string(python_type(value)));
        return "";
    }
    char buffer[512];
    if (field.type == 'd' || field.type == 'i') {
        const auto number =
            value.is_whole() ? value.whole() : static_cast<int64_t>(std::clamp(value.real(), -9e18, 9e18));
        std::snprintf(buffer, sizeof buffer, field.plus ? "%+lld" : "%lld", static_cast<long long>(number));
    } else if (field.type == 'x' && value.is_whole()) {
        const bool minus = value.whole() < 0;
        const auto magnitude = minus ? 0 - static_cast<unsigned long long>(value.whole())
                                     : static_cast<unsigned long long>(value.whole());
        std::snprintf(buffer, sizeof buffer, "%s%llx", minus ? "-" : "", magnitude);
    } else if (field.type == 'f' || field.type == 'e' || field.type == 'g') {
        const std::string plan = std::string(field.plus ? "%+.*" : "%.*") + field.type;
        std::snprintf(buffer, sizeof buffer, plan.c_str(),
                      field.precision < 0 ? 6 : std::min(field.precision, 100), value.as_real());
    } else {
        machine.fail(std::string("format %") + field.type + " is not supported", Code::unsupported_template);
        return "";
    }
    return buffer;
}

}  // namespace

std::string to_json(Machine& machine, const Value& value, const JsonStyle& style) {
    JsonWriter writer(machine, style);
    writer.write(value, 0);
    return std::move(writer.out);
}

Value format_percent(Machine& machine, const std::string& format, const List& arguments, const Value* named) {
    std::string out;
    size_t used = 0;
    for (size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '%') {
            out += format[i];
            continue;
        }
        if (++i < format.size() && format[i] == '%') {
            out += '%';
            continue;
        }
        Field field;
        const Value* value = nullptr;
        if (i < format.size() && format[i] == '(' && named) {
            const size_t end = format.find(')', i);
            if (end == format.npos) return machine.fail("incomplete format key");
            value = named->find(std::string_view(format).substr(i + 1, end - i - 1));
            if (!value) return machine.fail("format key is missing");
            i = end + 1;
        }
        for (; i < format.size() && std::string_view("-+0 #").find(format[i]) != std::string_view::npos;
             ++i) {
            field.left |= format[i] == '-';
            field.zero |= format[i] == '0';
            field.plus |= format[i] == '+';
        }
        const auto number = [&] {
            int n = 0;
            for (; i < format.size() && format[i] >= '0' && format[i] <= '9'; ++i)
                n = std::min(n * 10 + format[i] - '0', 1 << 20);
            return n;
        };
        field.width = number();
        if (i < format.size() && format[i] == '.') {
            ++i;
            field.precision = number();
        }
        if (i >= format.size()) return machine.fail("incomplete format");
        if (field.width == 1 << 20 || field.precision == 1 << 20) return machine.fail("format is too wide");
        field.type = format[i];
        if (!value && used >= arguments.size()) return machine.fail("not enough arguments for format string");
        if (!value) value = &arguments[used++];
        out += pad(format_field(machine, field, *value), field);
        if (!machine.grow(out.size())) return {};
    }
    if (used < arguments.size() && !named)
        return machine.fail("not all arguments converted during string formatting");
    return machine.string(std::move(out));
}

}  // namespace mortise::text::jinja
