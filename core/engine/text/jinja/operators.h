// Internal to the interpreter: Python's operators on values. Errors stick in the machine.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/text/jinja/machine.h"

namespace mortise::text::jinja {

Value arithmetic(Machine& machine, std::string_view op, const Value& a, const Value& b);
Value negate(Machine& machine, const Value& a);
// Effect: a < b as Python orders them; an error when it does not.
bool less(Machine& machine, const Value& a, const Value& b);
bool compare(Machine& machine, std::string_view op, const Value& a, const Value& b);
bool contains(Machine& machine, const Value& container, const Value& item);

Value attribute(Machine& machine, const Value& object, const std::string& name);  // object.name
Value item(Machine& machine, const Value& object, const Value& key);              // object[key]
// Effect: object[begin:end:stride]; empty bounds are Python's defaults.
Value slice(Machine& machine, const Value& object, const Value& begin, const Value& end, const Value& stride);
// Effect: "a.b.0" followed from `object`, as filters with attribute=... do.
Value attribute_path(Machine& machine, const Value& object, const Value& path);

std::string text_of(Machine& machine, const Value& value);  // str()
// Effect: Python's `format % arguments`.
Value format_percent(Machine& machine, const std::string& format, const List& arguments, const Value* named);

struct JsonStyle {
    int indent = -1;  // -1: one line
    std::string item_separator = ", ", key_separator = ": ";
    bool ascii = false, sorted = false;
};
std::string to_json(Machine& machine, const Value& value, const JsonStyle& style);

}  // namespace mortise::text::jinja
