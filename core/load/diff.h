// Two checkpoints held against each other, part by part: what each means, not how it is written.
//
// Dialect, packing, fusion and sharding do not matter; parts are matched by their canonical names.
#pragma once

#include <string>
#include <vector>

#include "load/loader.h"
#include "plan/plan.h"

namespace mortise::load {

// One part or vector that is not the same on both sides, or is on one side only.
struct Difference {
    std::string name;
    bool in_a = true, in_b = true;
    std::string a, b;     // what it is on each side: "int4 g128 asymmetric, f16 scales [256,384]"
    bool values = false;  // decoded weights differ
    bool spec = false;    // codes, scales, offsets or epilogue differ, though they may decode to the same
    bool act = false;     // inputs are quantized by another rule
    // Of the weights, where both sides have the same extent.
    uint64_t weights = 0, changed = 0;
    double max_error = 0, rms = 0;
    uint64_t row = 0, column = 0;    // of the largest error, or of the first one that is not a number
    float value_a = 0, value_b = 0;  // there
};

struct DiffReport {
    uint64_t parts = 0, vectors = 0;      // compared
    std::vector<Difference> differences;  // by name; also those in `act` alone
    bool same_values() const;             // every part on both sides, every weight bit-equal
    bool same() const;                    // and every spec
};

// Requires: plans of size 1. Errors: as verify(), naming the file.
Result<DiffReport> diff(const plan::Planned& a, const plan::Planned& b, Team& team,
                        const Progress& progress = {});

}  // namespace mortise::load
