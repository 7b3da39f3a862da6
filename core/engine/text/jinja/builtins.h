// What templates can call: filters, tests, methods of values, global functions. Tables without state.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/text/jinja/value.h"

namespace mortise::text::jinja {

class Machine;

struct CallArguments {
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;
};

using Filter = Value (*)(Machine&, const Value& self, const CallArguments&);
using Test = bool (*)(Machine&, const Value& self, const CallArguments&);

enum class Known : uint8_t { no, yes, elsewhere };  // elsewhere: jinja2 has it, this interpreter does not
Known known_filter(std::string_view name);
Known known_test(std::string_view name);
Filter find_filter(std::string_view name);  // null when unknown
Test find_test(std::string_view name);

// Effect: the method `name` of `self` called; nothing when values of this kind have no such method.
bool has_method(const Value& self, std::string_view name);
Value call_method(Machine& machine, const Value& self, std::string_view name, const CallArguments& arguments);

// Effect: a global function by name (range, dict, namespace, raise_exception, strftime_now), or undefined.
Value find_global(Machine& machine, std::string_view name);

// Effect: arguments by position or name in the order of `names`; an absent one is empty.
//   Too many or unknown ones are an error of the template.
std::vector<std::optional<Value>> bind(Machine& machine, const CallArguments& arguments,
                                       std::initializer_list<std::string_view> names);

}  // namespace mortise::text::jinja
