// Methods of strings, lists, dicts and loops. Those that would change their value do not exist, as in
// jinja2's immutable sandbox.
#include <algorithm>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

using Method = Value (*)(Machine&, const Value& self, const CallArguments&);
struct Entry {
    std::string_view name;
    Method method;
};

Value strings(Machine& machine, const std::vector<std::string>& parts, Kind kind = Kind::list) {
    List items;
    for (const auto& part : parts) {
        if (!machine.grow(part.size())) return {};
        items.push_back(Value::string(part));
    }
    return machine.list(std::move(items), kind);
}

template <std::string (*transform)(std::string_view)>
Value simple(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    return machine.string(transform(self.text()));
}

template <bool left, bool right>
Value strip(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"chars"});
    std::string_view text = self.text();
    if (bound[0] && bound[0]->is(Kind::string)) {
        text = strip_characters(text, bound[0]->text(), left, right);
    } else {
        if (left) text = python_lstrip(text);
        if (right) text = python_rstrip(text);
    }
    return machine.string(std::string(text));
}

template <bool from_right>
Value split(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"sep", "maxsplit"});
    const int64_t limit = whole_of(machine, bound[1], -1);
    if (!bound[0] || bound[0]->is(Kind::none))
        return strings(machine, split_space(self.text(), limit, from_right));
    if (!bound[0]->is(Kind::string))
        return machine.fail("must be str or None, not " + std::string(python_type(*bound[0])));
    if (bound[0]->text().empty()) return machine.fail("empty separator");
    return strings(machine, split_at(self.text(), bound[0]->text(), limit, from_right));
}

template <bool from_right>
Value partition(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"sep"});
    const std::string separator = string_of(machine, bound[0], "");
    if (separator.empty()) return machine.fail("empty separator");
    auto parts = split_at(self.text(), separator, 1, from_right);
    if (parts.size() == 2) {
        parts.insert(parts.begin() + 1, separator);
    } else {
        parts.insert(from_right ? parts.begin() : parts.end(), 2, "");
    }
    return strings(machine, parts, Kind::tuple);
}

Value splitlines(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"keepends"});
    return strings(machine, split_lines(self.text(), flag_of(bound[0], false)));
}

template <bool prefix>
Value with_end(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"prefix"});
    if (!bound[0]) return machine.fail("an argument is needed");
    const List wanted = bound[0]->is(Kind::tuple) ? bound[0]->items() : List{*bound[0]};
    bool found = false;
    for (const Value& text : wanted) {
        if (!text.is(Kind::string))
            return machine.fail(text.is(Kind::undefined) ? text.text() : "a string is required");
        found |= prefix ? self.text().starts_with(text.text()) : self.text().ends_with(text.text());
    }
    return Value::boolean(found);
}

template <bool prefix>
Value remove_end(Machine& machine, const Value& self, const CallArguments& arguments) {
    const std::string part = string_of(machine, bind(machine, arguments, {"prefix"})[0], "");
    const std::string& text = self.text();
    if (prefix && text.starts_with(part)) return machine.string(text.substr(part.size()));
    if (!prefix && text.ends_with(part)) return machine.string(text.substr(0, text.size() - part.size()));
    return self;
}

Value replace(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"old", "new", "count"});
    if (!bound[0] || !bound[1] || !bound[0]->is(Kind::string) || !bound[1]->is(Kind::string))
        return machine.fail("replace needs two strings");
    const std::string &from = bound[0]->text(), &to = bound[1]->text();
    if (!machine.grow(self.text().size() * (1 + to.size() / std::max<size_t>(from.size(), 1)))) return {};
    return machine.string(replace_all(self.text(), from, to, whole_of(machine, bound[2], -1)));
}

template <bool from_right, bool must>
Value find(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"sub"});
    if (!bound[0] || !bound[0]->is(Kind::string)) return machine.fail("a string is required");
    machine.step(self.text().size() / 64);
    const size_t at = from_right ? self.text().rfind(bound[0]->text()) : self.text().find(bound[0]->text());
    if (at == std::string::npos) return must ? machine.fail("substring not found") : Value::integer(-1);
    return Value::integer(
        static_cast<int64_t>(code_point_count(std::string_view(self.text()).substr(0, at))));
}

Value count(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"sub"});
    if (!bound[0]) return machine.fail("an argument is needed");
    if (!self.is(Kind::string))
        return Value::integer(std::count(self.items().begin(), self.items().end(), *bound[0]));
    if (!bound[0]->is(Kind::string)) return machine.fail("a string is required");
    if (bound[0]->text().empty())
        return Value::integer(static_cast<int64_t>(code_point_count(self.text())) + 1);
    return Value::integer(static_cast<int64_t>(split_at(self.text(), bound[0]->text(), -1, false).size()) -
                          1);
}

Value join(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"iterable"});
    if (!bound[0]) return machine.fail("join needs an argument");
    std::string text;
    bool next = false;
    for (const Value& item : machine.iterate(*bound[0])) {
        if (!item.is(Kind::string))
            return machine.fail("join: a string is required, not " + std::string(python_type(item)));
        if (std::exchange(next, true)) text += self.text();
        text += item.text();
        if (text.size() > machine.limits().memory) break;
    }
    return machine.string(std::move(text));
}

// Where the text goes when filled up to a width: to the left, to the right, in the middle, behind the sign.
enum class Place : uint8_t { left, right, middle, zeros };
template <Place place>
Value fill(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"width", "fillchar"});
    const int64_t width = whole_of(machine, bound[0], 0);
    const std::string with = place == Place::zeros ? "0" : string_of(machine, bound[1], " ");
    if (code_point_count(with) != 1 || width > 1 << 20)
        return machine.fail("a fill needs one character and a sane width");
    const auto missing = width - static_cast<int64_t>(code_point_count(self.text()));
    if (missing <= 0) return self;
    // str.center puts the odd one to the left when the width is odd
    int64_t before = place == Place::middle ? missing / 2 + (missing & width & 1)
                     : place == Place::left ? 0
                                            : missing;
    std::string left, right;
    for (int64_t i = 0; i < missing; ++i) (i < before ? left : right) += with;
    const bool sign =
        place == Place::zeros && !self.text().empty() && (self.text()[0] == '-' || self.text()[0] == '+');
    return machine.string(sign ? self.text()[0] + left + self.text().substr(1) : left + self.text() + right);
}

template <bool (*is)(char32_t)>
Value all(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    const auto points = code_points(self.text());
    return Value::boolean(!points.empty() && std::all_of(points.begin(), points.end(), is));
}
bool alphanumeric(char32_t c) { return is_letter(c) || is_numeric(c); }
bool ascii(char32_t c) { return c < 0x80; }

template <bool upper>
Value one_case(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    bool any = false;
    for (const char32_t c : code_points(self.text())) {
        if (is_title(c) || (upper ? is_lower(c) : is_upper(c))) return Value::boolean(false);
        any |= upper ? is_upper(c) : is_lower(c);
    }
    return Value::boolean(any);
}

// str.format with plain fields: {}, {0}, {name}.
Value format(Machine& machine, const Value& self, const CallArguments& arguments) {
    const std::string& text = self.text();
    std::string out;
    size_t next = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        if ((text[i] == '{' || text[i] == '}') && i + 1 < text.size() && text[i + 1] == text[i]) {
            out += text[i++];
            continue;
        }
        if (text[i] == '}') return machine.fail("Single '}' encountered in format string");
        if (text[i] != '{') {
            out += text[i];
            continue;
        }
        const size_t end = text.find('}', i);
        if (end == text.npos) return machine.fail("Single '{' encountered in format string");
        const std::string field = text.substr(i + 1, end - i - 1);
        i = end;
        if (field.find_first_of(":!.[{") != field.npos)
            return machine.fail("format field '{" + field + "}' is not supported",
                                Code::unsupported_template);
        const bool number =
            !field.empty() && field.size() < 6 && field.find_first_not_of("0123456789") == field.npos;
        const Value* value = nullptr;
        if (field.empty() || number) {
            const size_t index = number ? static_cast<size_t>(std::stoi(field)) : next++;
            if (index < arguments.positional.size()) value = &arguments.positional[index];
        }
        for (const auto& [name, named] : arguments.named)
            if (name == field) value = &named;
        if (!value) return machine.fail("format: no argument for '{" + field + "}'");
        out += text_of(machine, *value);
        if (!machine.grow(out.size())) return {};
    }
    return machine.string(std::move(out));
}

Value get(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"key", "default"});
    if (!bound[0]) return machine.fail("get needs a key");
    machine.step(1 + self.size_hint() / 16);
    const Value* found = self.find(*bound[0]);
    return found ? *found : bound[1].value_or(Value::none());
}

enum class Part : uint8_t { keys, values, items };
template <Part part>
Value view(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    List out;
    for (const auto& [key, value] : self.entries())
        out.push_back(part == Part::keys     ? key
                      : part == Part::values ? value
                                             : machine.list({key, value}, Kind::tuple));
    return machine.list(std::move(out));
}

Value copy(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    return self;
}

Value index(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"value"});
    if (!bound[0]) return machine.fail("index needs a value");
    const auto found = std::find(self.items().begin(), self.items().end(), *bound[0]);
    if (found == self.items().end()) return machine.fail("the value is not in the list");
    return Value::integer(found - self.items().begin());
}

Value cycle(Machine& machine, const Value& self, const CallArguments& arguments) {
    if (arguments.positional.empty()) return machine.fail("no items for cycling given");
    return arguments.positional[self.as<Loop>()->index % arguments.positional.size()];
}

Value changed(Machine&, const Value& self, const CallArguments& arguments) {
    auto* loop = self.as<Loop>();
    const bool same = loop->last_changed && *loop->last_changed == arguments.positional;
    loop->last_changed = arguments.positional;
    return Value::boolean(!same);
}

constexpr Entry string_methods[] = {
    {"capitalize", simple<python_capitalize>},
    {"casefold", simple<python_lower>},
    {"center", fill<Place::middle>},
    {"count", count},
    {"endswith", with_end<false>},
    {"find", find<false, false>},
    {"format", format},
    {"index", find<false, true>},
    {"isalnum", all<alphanumeric>},
    {"isalpha", all<is_letter>},
    {"isascii", all<ascii>},
    {"isdecimal", all<is_decimal>},
    {"isdigit", all<is_decimal>},
    {"islower", one_case<false>},
    {"isnumeric", all<is_numeric>},
    {"isspace", all<python_space>},
    {"isupper", one_case<true>},
    {"join", join},
    {"ljust", fill<Place::left>},
    {"lower", simple<python_lower>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_end<true>},
    {"removesuffix", remove_end<false>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", fill<Place::right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", with_end<true>},
    {"strip", strip<true, true>},
    {"swapcase", simple<python_swapcase>},
    {"title", simple<python_title>},
    {"upper", simple<python_upper>},
    {"zfill", fill<Place::zeros>},
};
constexpr Entry dict_methods[] = {
    {"copy", copy},
    {"get", get},
    {"items", view<Part::items>},
    {"keys", view<Part::keys>},
    {"values", view<Part::values>},
};
constexpr Entry list_methods[] = {{"copy", copy}, {"count", count}, {"index", index}};
constexpr Entry tuple_methods[] = {{"count", count}, {"index", index}};
constexpr Entry loop_methods[] = {{"changed", changed}, {"cycle", cycle}};

template <size_t size>
Method search(const Entry (&table)[size], std::string_view name) {
    for (const Entry& entry : table)
        if (entry.name == name) return entry.method;
    return nullptr;
}

Method find_method(const Value& self, std::string_view name) {
    switch (self.kind()) {
        case Kind::string: return search(string_methods, name);
        case Kind::dict: return search(dict_methods, name);
        case Kind::list: return search(list_methods, name);
        case Kind::tuple: return search(tuple_methods, name);
        case Kind::object: return self.as<Loop>() ? search(loop_methods, name) : nullptr;
        default: return nullptr;
    }
}

}  // namespace

bool has_method(const Value& self, std::string_view name) { return find_method(self, name) != nullptr; }

Value call_method(Machine& machine, const Value& self, std::string_view name,
                  const CallArguments& arguments) {
    if (!machine.step(1 + self.size_hint() / 64)) return {};
    return find_method(self, name)(machine, self, arguments);
}

std::optional<Value> Loop::attribute(Machine&, const std::string& name) const {
    const auto number = [](size_t n) { return Value::integer(static_cast<int64_t>(n)); };
    if (name == "index") return number(index + 1);
    if (name == "index0") return number(index);
    if (name == "revindex") return number(items.size() - index);
    if (name == "revindex0") return number(items.size() - index - 1);
    if (name == "first") return Value::boolean(index == 0);
    if (name == "last") return Value::boolean(index + 1 == items.size());
    if (name == "length") return number(items.size());
    if (name == "depth") return number(static_cast<size_t>(depth));
    if (name == "depth0") return number(static_cast<size_t>(depth - 1));
    if (name == "previtem")
        return index > 0 ? items[index - 1] : Value::undefined("there is no previous item");
    if (name == "nextitem")
        return index + 1 < items.size() ? items[index + 1] : Value::undefined("there is no next item");
    return std::nullopt;
}

}  // namespace mortise::text::jinja
