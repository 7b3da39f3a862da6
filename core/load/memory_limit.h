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

// Effect: the tightest of MemAvailable (/proc/meminfo) and what RLIMIT_AS leaves; no limit where neither is known.
MemoryLimit memory_limit();

// Errors: out_of_memory, with what the plan needs by kind, and what there is.
Status check_memory(const plan::Memory& needed, const MemoryLimit& limit);

}  // namespace mortise::load
