#include "engine/text/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/text/unicode.h"

namespace mortise::text::jinja {

Value Value::undefined(std::string hint) {
    Value made;
    made.data_ = std::make_shared<std::string>(std::move(hint));
    return made;
}

Value Value::boolean(bool flag) {
    Value made(Kind::boolean);
    made.number_ = flag;
    return made;
}

Value Value::integer(int64_t number) {
    Value made(Kind::integer);
    made.number_ = number;
    return made;
}

Value Value::real(double number) {
    Value made(Kind::real);
    made.real_ = number;
    return made;
}

Value Value::string(std::string text, bool safe) {
    Value made(Kind::string);
    made.safe_ = safe;
    made.data_ = std::make_shared<std::string>(std::move(text));
    return made;
}

void Value::Container::count(const Value& part) {
    depth = std::max(depth, 1 + part.depth());
    if (__builtin_add_overflow(weight, part.weight(), &weight)) weight = SIZE_MAX;
}

Value Value::sequence(Kind kind, List items) {
    auto data = std::make_shared<Container>();
    for (const Value& item : items) data->count(item);
    data->items = std::move(items);
    Value made(kind);
    made.data_ = std::move(data);
    return made;
}

Value Value::dict(Entries entries) {
    auto data = std::make_shared<Container>();
    for (auto& [key, value] : entries) {
        data->count(key);
        data->count(value);
        const auto same = [&](const auto& entry) { return entry.first == key; };
        const auto known = std::find_if(data->entries.begin(), data->entries.end(), same);
        if (known != data->entries.end()) {
            known->second = std::move(value);
        } else {
            data->entries.emplace_back(std::move(key), std::move(value));
        }
    }
    Value made(Kind::dict);
    made.data_ = std::move(data);
    return made;
}

Value Value::object(std::shared_ptr<Object> object) {
    Value made(Kind::object);
    made.data_ = std::move(object);
    return made;
}

Value Value::from_json(const json::Node& node) {
    switch (node.kind()) {
        case json::Kind::null: return none();
        case json::Kind::boolean: return boolean(node.text() == "true");
        case json::Kind::string: return string(node.text());
        case json::Kind::integer:
        case json::Kind::real: {
            const auto& text = node.text();
            int64_t whole = 0;
            const auto* end = text.data() + text.size();
            if (std::from_chars(text.data(), end, whole).ptr == end && node.kind() == json::Kind::integer)
                return integer(whole);
            double number = 0;
            std::from_chars(text.data(), end, number);
            return real(number);
        }
        case json::Kind::array: {
            List items;
            for (const auto& item : node.items()) items.push_back(from_json(*item));
            return list(std::move(items));
        }
        case json::Kind::object: break;
    }
    // The parser refused duplicate keys, so no search for them is needed.
    auto data = std::make_shared<Container>();
    for (size_t i = 0; i < node.size(); ++i) {
        data->entries.emplace_back(string(node.keys()[i]), from_json(*node.items()[i]));
        data->count(data->entries.back().first);
        data->count(data->entries.back().second);
    }
    Value made(Kind::dict);
    made.data_ = std::move(data);
    return made;
}

const std::string& Value::text() const {
    static const std::string nameless = "an undefined value is used";
    return data_ ? *static_cast<const std::string*>(data_.get()) : nameless;
}

List Value::take_items() const { return std::exchange(static_cast<Container*>(data_.get())->items, {}); }

const Value* Value::find(const Value& key) const {
    for (const auto& [name, value] : entries())
        if (name == key) return &value;
    return nullptr;
}

const Value* Value::find(std::string_view key) const {
    for (const auto& [name, value] : entries())
        if (name.is(Kind::string) && name.text() == key) return &value;
    return nullptr;
}

bool Value::truthy() const {
    switch (kind_) {
        case Kind::undefined:
        case Kind::none: return false;
        case Kind::boolean:
        case Kind::integer: return number_ != 0;
        case Kind::real: return real_ != 0;
        case Kind::string: return !text().empty();
        case Kind::list:
        case Kind::tuple: return !items().empty();
        case Kind::dict: return !entries().empty();
        case Kind::generator:
        case Kind::object: return true;
    }
    return false;
}

int Value::depth() const {
    const bool container = is_sequence() || is(Kind::dict) || is(Kind::generator);
    return container ? static_cast<const Container*>(data_.get())->depth : 0;
}

size_t Value::size_hint() const {
    switch (kind_) {
        case Kind::string: return text().size();
        case Kind::list:
        case Kind::tuple:
        case Kind::generator: return items().size();
        case Kind::dict: return entries().size();
        default: return 1;
    }
}

size_t Value::weight() const {
    if (depth() > 0) return static_cast<const Container*>(data_.get())->weight;
    return is(Kind::string) ? 1 + text().size() : 1;
}

bool operator==(const Value& a, const Value& b) {
    if (a.is_whole() && b.is_whole()) return a.number_ == b.number_;
    if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
    if (a.kind_ != b.kind_) return false;
    switch (a.kind_) {
        case Kind::undefined:
        case Kind::none: return true;
        case Kind::string: return a.text() == b.text();
        case Kind::list:
        case Kind::tuple: return a.items() == b.items();
        case Kind::dict:
            return a.entries().size() == b.entries().size() &&
                   std::all_of(a.entries().begin(), a.entries().end(), [&](const auto& entry) {
                       const Value* other = b.find(entry.first);
                       return other && *other == entry.second;
                   });
        default: return a.data_ == b.data_;
    }
}

std::string_view python_type(const Value& value) {
    switch (value.kind()) {
        case Kind::undefined: return "Undefined";
        case Kind::none: return "NoneType";
        case Kind::boolean: return "bool";
        case Kind::integer: return "int";
        case Kind::real: return "float";
        case Kind::string: return "str";
        case Kind::list: return "list";
        case Kind::tuple: return "tuple";
        case Kind::dict: return "dict";
        case Kind::generator: return "generator";
        case Kind::object: return value.as<Object>()->type_name();
    }
    return "object";
}

std::string real_repr(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
    std::string text(buffer, end);  // shortest digits: "-1.25e+02"
    const size_t mark = text.find('e');
    const int exponent = std::stoi(text.substr(mark + 1));
    if (exponent < -4 || exponent >= 16) {
        const std::string size = std::to_string(std::abs(exponent));
        return text.substr(0, mark) + (exponent < 0 ? "e-" : "e+") + (size.size() < 2 ? "0" : "") + size;
    }
    const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed).ptr;
    text.assign(buffer, fixed);
    return text.find('.') == text.npos ? text + ".0" : text;
}

namespace {

std::string string_repr(const std::string& text) {
    const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
    std::string out(1, quote);
    for (size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        char buffer[16];
        if (c == static_cast<char32_t>(quote) || c == '\\') {
            (out += '\\') += static_cast<char>(c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
        } else if (is_printable(c)) {
            append_utf8(out, c);
        } else {
            std::snprintf(buffer, sizeof buffer,
                          c < 0x100     ? "\\x%02x"
                          : c < 0x10000 ? "\\u%04x"
                                        : "\\U%08x",
                          static_cast<unsigned>(c));
            out += buffer;
        }
    }
    return out += quote;
}

std::string sequence_repr(const Value& value) {
    const bool tuple = value.is(Kind::tuple);
    std::string out = tuple ? "(" : "[";
    for (size_t i = 0; i < value.items().size(); ++i) (out += i ? ", " : "") += to_repr(value.items()[i]);
    if (tuple && value.items().size() == 1) out += ",";
    return out += tuple ? ")" : "]";
}

}  // namespace

std::string to_repr(const Value& value) {
    switch (value.kind()) {
        case Kind::undefined: return "Undefined";
        case Kind::none: return "None";
        case Kind::boolean: return value.whole() ? "True" : "False";
        case Kind::integer: return std::to_string(value.whole());
        case Kind::real: return real_repr(value.real());
        case Kind::string: {
            const auto text = string_repr(value.text());
            return value.is_safe() ? "Markup(" + text + ")" : text;
        }
        case Kind::list:
        case Kind::tuple: return sequence_repr(value);
        case Kind::dict: {
            std::string out = "{";
            for (const auto& [key, item] : value.entries())
                (out += out.size() > 1 ? ", " : "").append(to_repr(key)).append(": ").append(to_repr(item));
            return out += "}";
        }
        case Kind::generator: return "<generator object>";
        case Kind::object: return "<" + std::string(value.as<Object>()->type_name()) + ">";
    }
    return "";
}

std::string to_str(const Value& value) {
    if (value.is(Kind::string)) return value.text();
    return value.is(Kind::undefined) ? "" : to_repr(value);
}

}  // namespace mortise::text::jinja
