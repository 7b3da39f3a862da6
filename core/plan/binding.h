// Binds every operator of the graph to the provider that bids most. Private to the plan.
#pragma once

#include <span>

#include "plan/plan.h"

namespace mortise::plan {

// A provider that was opened for the device.
struct Provider {
    const mortise_kernels_v1* table = nullptr;
    std::string id;
};

// Effect: kernels and steps of the plan. A linear group that no provider takes whole is split into its parts;
// a table that both an embedding and the head use is bound once, to a kernel that gathers too.
// Errors: unsupported_kernel, naming op, part and every provider's reason.
Status bind_kernels(const Options& options, std::span<const Provider> providers,
                    const std::map<uint32_t, std::vector<uint32_t>>& parts_of_weight, LoadPlan& plan);

// Effect: plan.memory, from the same numbers that the loader and the engine allocate.
void estimate_memory(LoadPlan& plan);

}  // namespace mortise::plan
