// How names are compared with the patterns of configs. Pure, thread-safe; compiled patterns are cached.
#pragma once

#include <string_view>

#include "base/result.h"

namespace mortise::plan {

// Effect: does `name` match `pattern`? kind: MORTISE_PATTERN_*. Regular expressions follow Python's re.match:
// anchored at the start, open at the end; they run in linear time, or under a step limit where they look
// around. Errors: config_value for a pattern that does not compile, or one above 1 KiB.
Result<bool> matches(uint32_t kind, std::string_view pattern, std::string_view name);

}  // namespace mortise::plan
