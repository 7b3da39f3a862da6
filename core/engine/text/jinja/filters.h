// Internal to the interpreter: the filters, in three files by what they work on.
#pragma once

#include <string_view>

#include "engine/text/jinja/builtins.h"

namespace mortise::text::jinja {

struct FilterEntry {
    std::string_view name;
    Filter filter;
};

// Each: null when the name is not in that file's table.
Filter find_text_filter(std::string_view name);
Filter find_list_filter(std::string_view name);
Filter find_value_filter(std::string_view name);

// Values of optional arguments; errors stick in the machine.
bool flag_of(const std::optional<Value>& value, bool otherwise);
int64_t whole_of(Machine& machine, const std::optional<Value>& value, int64_t otherwise);
std::string string_of(Machine& machine, const std::optional<Value>& value, std::string_view otherwise);

}  // namespace mortise::text::jinja
