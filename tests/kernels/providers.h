// The providers and levels that this machine can run, and those it cannot.
#pragma once

#include <string>
#include <vector>

#include "harness.h"

namespace mortise::test {

struct Level {
    Provider provider;
    // Largest error of a product of n terms, relative to the root of the sum of the squared terms: exact for
    // f32 arithmetic, rounded for inputs and weights rounded to bf16 (2^-9 each; six times the expected error).
    double exact, rounded;
};

const std::vector<Level>& levels();               // reference first
std::vector<std::string> levels_not_run();        // names, with the reason

inline std::string level_name(size_t i) { return levels()[i].provider.name; }

}  // namespace mortise::test
