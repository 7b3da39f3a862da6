// How much memory this process may still take, so that a load that cannot fit ends before it starts.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "plan/load_plan.h"

namespace mortise::load {

struct MemoryLimit {
    uint64_t bytes = ~uint64_t{0};
    std::string name;  // "MemAvailable"
};

// Effect: the tightest of MemAvailable (/proc/meminfo), what RLIMIT_AS leaves, and what the control group
// leaves (cgroup v2; page cache counts as free, the kernel drops it first); no limit where none is known.
MemoryLimit memory_limit();

// Effect: bytes that the control group in `folder` leaves; all ones where it sets no limit.
uint64_t control_group_left(const std::string& folder);

// Errors: out_of_memory, with what the plan needs by kind, and what there is.
Status check_memory(const plan::Memory& needed, const MemoryLimit& limit);

}  // namespace mortise::load
