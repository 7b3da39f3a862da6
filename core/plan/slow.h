// Which groups of a plan fell to the reference kernels, and what that costs. Pure functions over the plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "plan/load_plan.h"

namespace mortise::plan {

// Weights that one kernel reads for one token: all of its parts, the chosen experts only.
uint64_t weights_per_token(const KernelPlan& kernel);

// Effect: "0.21 s a token": the time in which the reference kernel decodes that many weights on the kernel's
// threads; a rough figure from one machine, right within a factor of a few.
std::string reference_cost(uint64_t weights, uint32_t threads);

// Effect: one line for all groups and operators of the plan that run on a reference kernel although another
// was wanted: how many, the first of them and why, and the cost; nothing when there are none.
std::optional<std::string> slow_kernels(const LoadPlan& plan);

}  // namespace mortise::plan
