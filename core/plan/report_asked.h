// What `explain` was asked about, found in a plan. Private to the plan's reports.
#pragma once

#include <optional>
#include <string>

#include "plan/plan.h"

namespace mortise::plan {

// A module or part that was asked for by name.
struct Asked {
    const Source* source = nullptr;
    const PartPlan* part = nullptr;
    std::optional<uint64_t> expert;  // of the part: place in its bank
};

// Effect: what the name of a module on disk, of a part or of an expert means; no source if nothing.
Asked find_module(const LoadPlan& plan, const std::string& name);
// Effect: is the move one of what was asked for?
bool concerns(const Asked& asked, const Move& move);
// Effect: the error of a name that means nothing, with the nearest one.
Error unknown(const LoadPlan& plan, const std::string& name);
// Effect: the kernel that runs the part, or null.
const KernelPlan* kernel_of(const LoadPlan& plan, const PartPlan* part);

}  // namespace mortise::plan
