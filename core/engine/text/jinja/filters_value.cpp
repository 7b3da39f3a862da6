// Filters on numbers and on values of any kind.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

Value default_value(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"default_value", "boolean"});
    const bool missing = self.is(Kind::undefined) || (flag_of(bound[1], false) && !self.truthy());
    return missing ? bound[0].value_or(Value::string("")) : self;
}

Value length(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    if (self.is(Kind::string)) return Value::integer(static_cast<int64_t>(code_point_count(self.text())));
    if (self.is(Kind::undefined)) return Value::integer(0);
    if (self.is_sequence() || self.is(Kind::dict))
        return Value::integer(static_cast<int64_t>(self.size_hint()));
    return machine.fail("object of type '" + std::string(python_type(self)) + "' has no len()");
}

Value absolute(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    if (self.is_whole()) return self.whole() < 0 ? negate(machine, self) : Value::integer(self.whole());
    if (self.is(Kind::real)) return Value::real(std::fabs(self.real()));
    return machine.fail("bad operand type for abs(): '" + std::string(python_type(self)) + "'");
}

// Python's float(text): nothing when it is none.
std::optional<double> parse_real(std::string_view text) {
    std::string plain(python_strip(text));
    std::erase(plain, '_');
    std::string_view digits = plain;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    double number = 0;
    const auto* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (digits.empty() || stop != end || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range) return std::strtod(plain.c_str(), nullptr);
    return number;
}

Value whole_from_real(double number, const Value& otherwise) {
    const double cut = std::trunc(number);
    return cut >= -9223372036854775808.0 && cut < 9223372036854775808.0
               ? Value::integer(static_cast<int64_t>(cut))
               : otherwise;
}

Value to_integer(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"default", "base"});
    const Value otherwise = bound[0].value_or(Value::integer(0));
    const int64_t base = whole_of(machine, bound[1], 10);
    if (base < 2 || base > 36) return machine.fail("int: base must be 2 to 36");
    if (self.is_whole()) return Value::integer(self.whole());
    if (self.is(Kind::real)) return whole_from_real(self.real(), otherwise);
    if (!self.is(Kind::string)) return otherwise;
    std::string text(python_strip(self.text()));
    std::erase(text, '_');
    const bool minus = text.starts_with('-');
    std::string_view digits = text;
    if (minus || text.starts_with('+')) digits.remove_prefix(1);
    for (const auto& [radix, prefix] : {std::pair<int, std::string_view>{16, "0x"}, {8, "0o"}, {2, "0b"}})
        if (base == radix && python_lower(digits).starts_with(prefix)) digits.remove_prefix(2);
    int64_t number = 0;
    const auto* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number, static_cast<int>(base));
    if (!digits.empty() && stop == end && error == std::errc() && digits[0] != '-')
        return Value::integer(minus ? -number : number);
    const auto real = parse_real(self.text());
    return real ? whole_from_real(*real, otherwise) : otherwise;
}

Value to_real(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"default"});
    const Value otherwise = bound[0].value_or(Value::real(0));
    if (self.is_number()) return Value::real(self.as_real());
    if (!self.is(Kind::string)) return otherwise;
    const auto real = parse_real(self.text());
    return real ? Value::real(*real) : otherwise;
}

Value round_number(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"precision", "method"});
    const int64_t precision = whole_of(machine, bound[0], 0);
    const std::string method = string_of(machine, bound[1], "common");
    if (!self.is_number()) return machine.fail("round: a number is required");
    if (precision < -300 || precision > 300) return machine.fail("round: precision out of range");
    const double scale = std::pow(10.0, static_cast<double>(precision));
    if (method == "ceil" || method == "floor") {
        const double scaled = self.as_real() * scale;
        return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
    }
    if (method != "common") return machine.fail("round: method must be common, ceil or floor");
    if (self.is_whole() && precision >= 0) return Value::integer(self.whole());
    if (precision < 0) return Value::real(std::nearbyint(self.as_real() * scale) / scale);
    char buffer[1024];  // correctly rounded decimal text, as Python's round() does it
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), self.as_real());
    return Value::real(std::strtod(buffer, nullptr));
}

Value tojson(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ascii = flag_of(bound[0], false);
    style.sorted = flag_of(bound[3], false);
    if (bound[1] && !bound[1]->is(Kind::none)) {
        style.indent = static_cast<int>(std::clamp<int64_t>(whole_of(machine, bound[1], 0), 0, 100));
        style.item_separator = ",";
    }
    if (bound[2] && !bound[2]->is(Kind::none)) {
        if (!bound[2]->is_sequence() || bound[2]->items().size() != 2)
            return machine.fail("tojson: separators must be a pair");
        style.item_separator = to_str(bound[2]->items()[0]);
        style.key_separator = to_str(bound[2]->items()[1]);
    }
    return machine.string(to_json(machine, self, style));
}

Value attr(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"name"});
    if (!bound[0]) return machine.fail("attr needs a name");
    const std::string name = text_of(machine, *bound[0]);  // attributes only, never items
    return self.is(Kind::dict) && !has_method(self, name)
               ? Value::undefined("'dict object' has no attribute '" + name + "'")
               : attribute(machine, self, name);
}

Value items(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    if (self.is(Kind::undefined)) return machine.list({});
    if (!self.is(Kind::dict)) return machine.fail("Can only get item pairs from a mapping.");
    return call_method(machine, self, "items", {});
}

constexpr FilterEntry table[] = {
    {"abs", absolute},          {"attr", attr},          {"count", length},   {"d", default_value},
    {"default", default_value}, {"float", to_real},      {"int", to_integer}, {"items", items},
    {"length", length},         {"round", round_number}, {"tojson", tojson},
};

}  // namespace

Filter find_value_filter(std::string_view name) {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const auto& entry) { return entry.name == name; });
    return found == std::end(table) ? nullptr : found->filter;
}

}  // namespace mortise::text::jinja
