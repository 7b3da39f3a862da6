// Filters on strings. Whatever is not a string is turned into one first, as in jinja2.
#include <algorithm>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

template <std::string (*transform)(std::string_view)>
Value simple(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    return machine.string(transform(text_of(machine, self)));
}

Value trim(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"chars"});
    const std::string text = text_of(machine, self);
    if (!bound[0] || bound[0]->is(Kind::none))
        return machine.string(std::string(python_strip(text)), self.is_safe());
    return machine.string(std::string(strip_characters(text, text_of(machine, *bound[0]), true, true)));
}

Value escape(Machine& machine, const Value& self, const CallArguments&) {
    return self.is_safe() ? self : machine.string(escape_html(text_of(machine, self)), true);
}

Value safe(Machine& machine, const Value& self, const CallArguments&) {
    return machine.string(text_of(machine, self), true);
}

Value string(Machine& machine, const Value& self, const CallArguments&) {
    return self.is(Kind::string) ? self : machine.string(text_of(machine, self));
}

Value replace(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"old", "new", "count"});
    if (!bound[0] || !bound[1]) return machine.fail("replace needs two arguments");
    const bool counted = bound[2] && !bound[2]->is(Kind::none);
    const std::string text = text_of(machine, self), from = text_of(machine, *bound[0]),
                      to = text_of(machine, *bound[1]);
    if (!machine.grow(text.size() * (1 + to.size() / std::max<size_t>(from.size(), 1)))) return {};
    return machine.string(replace_all(text, from, to, counted ? whole_of(machine, bound[2], -1) : -1));
}

Value indent(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"width", "first", "blank"});
    const bool text_width = bound[0] && bound[0]->is(Kind::string);
    const int64_t width = text_width ? 0 : std::clamp<int64_t>(whole_of(machine, bound[0], 4), 0, 10000);
    const std::string space = text_width ? bound[0]->text() : std::string(static_cast<size_t>(width), ' ');
    const bool first = flag_of(bound[1], false), blank = flag_of(bound[2], false);
    const auto lines = split_lines(text_of(machine, self) + "\n", false);
    if (!machine.grow((space.size() + 1) * lines.size())) return {};
    std::string out = first ? space : "";
    for (size_t i = 0; i < lines.size(); ++i) {
        if (i) out += '\n';
        if (i && (blank || !lines[i].empty())) out += space;
        out += lines[i];
    }
    return machine.string(std::move(out));
}

Value center(Machine& machine, const Value& self, const CallArguments& arguments) {
    CallArguments with_width = arguments;
    if (with_width.positional.empty() && with_width.named.empty())
        with_width.positional.push_back(Value::integer(80));
    for (const auto& [name, value] : arguments.named) with_width.positional.push_back(value);
    with_width.named.clear();
    return call_method(machine, Value::string(text_of(machine, self)), "center", with_width);
}

Value truncate(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"length", "killwords", "end", "leeway"});
    const std::string text = text_of(machine, self), end = string_of(machine, bound[2], "...");
    const int64_t length = whole_of(machine, bound[0], 255), leeway = whole_of(machine, bound[3], 5);
    const auto size = static_cast<int64_t>(code_point_count(text)),
               end_size = static_cast<int64_t>(code_point_count(end));
    if (length < end_size || leeway < 0)
        return machine.fail("truncate: expected a length of at least that of 'end'");
    if (size - leeway <= length) return machine.string(text);
    std::string cut = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_size)));
    if (!flag_of(bound[1], false)) cut = cut.substr(0, cut.rfind(' '));  // npos keeps all, as rsplit does
    return machine.string(cut + end);
}

Value format(Machine& machine, const Value& self, const CallArguments& arguments) {
    if (arguments.named.empty())
        return format_percent(machine, text_of(machine, self), arguments.positional, nullptr);
    Value::Entries entries;
    for (const auto& [name, value] : arguments.named) entries.emplace_back(Value::string(name), value);
    const Value named = Value::dict(std::move(entries));
    return format_percent(machine, text_of(machine, self), {}, &named);
}

Value wordcount(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    int64_t count = 0;
    bool inside = false;
    const std::string text = text_of(machine, self);
    for (size_t i = 0; i < text.size();) {
        const bool word = is_word(next_code_point(text, i));
        count += word && !inside;
        inside = word;
    }
    return Value::integer(count);
}

Value urlencode(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    if (self.is(Kind::dict) || self.is_sequence())
        return machine.fail("urlencode of a " + std::string(python_type(self)) + " is not supported",
                            Code::unsupported_template);
    std::string out;
    for (const char c : text_of(machine, self)) {
        constexpr std::string_view plain = "_.-~/";
        const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          plain.find(c) != plain.npos;
        constexpr std::string_view digits = "0123456789ABCDEF";
        const auto byte = static_cast<uint8_t>(c);
        keep ? out += c : ((out += '%') += digits[byte / 16]) += digits[byte % 16];
    }
    return machine.string(std::move(out));
}

constexpr FilterEntry table[] = {
    {"capitalize", simple<python_capitalize>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"forceescape", simple<escape_html>},
    {"format", format},
    {"indent", indent},
    {"lower", simple<python_lower>},
    {"replace", replace},
    {"safe", safe},
    {"string", string},
    {"title", simple<title_filter>},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", simple<python_upper>},
    {"urlencode", urlencode},
    {"wordcount", wordcount},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const auto& entry) { return entry.name == name; });
    return found == std::end(table) ? nullptr : found->filter;
}

}  // namespace mortise::text::jinja
