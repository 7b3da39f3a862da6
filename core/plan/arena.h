// Where each value of the graph lives while somebody still needs it: one arena, slots shared over time.
//
// Here, and not in the engine, because the memory estimate and the allocation must be the same numbers.
// Pure; thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/load_plan.h"

namespace mortise::plan {

struct Arena {
    static constexpr uint64_t outside = ~uint64_t{0};
    static constexpr uint64_t alignment = 64;
    std::vector<uint64_t>
        offsets;  // [values] bytes from the arena's base; outside = never produced, or result rows
    uint64_t bytes = 0;

    // The tail: the last steps, from the output head on. They work row by row, so they run only for the rows
    // whose logits are wanted, and their outputs lie in the caller's result rows, not in the arena.
    uint32_t tail = none;        // index of its first step; none = the graph has no such end
    uint32_t tail_input = none;  // value whose wanted rows the tail reads
    bool in_tail(uint32_t step) const { return tail != none && step >= tail; }
};

// Requires: steps in execution order, each output produced once; rows of f32.
Arena arrange(const model::ModuleTree& tree, const std::vector<Step>& steps, uint64_t max_rows);

}  // namespace mortise::plan
