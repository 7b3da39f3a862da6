// A plan in words: what `plan` and `explain` print, as text and as JSON. Pure functions over the plan.
#pragma once

#include <string>

#include "plan/plan.h"

namespace mortise::plan {

// Effect: summary, groups with their kernels, drops, obligations, memory. `all`: every module and move too.
std::string plan_text(const Planned& planned, bool all);
// The same as one JSON object; always complete. Keys are stable: version 1.
std::string plan_json(const Planned& planned);

// Effect: why the module or part `name` is what it is: rule and line, attributes, tensors, moves, kernel.
// Errors: usage when nothing is called so, with the nearest names.
Result<std::string> explain_text(const Planned& planned, const std::string& name);
Result<std::string> explain_json(const Planned& planned, const std::string& name);

}  // namespace mortise::plan
