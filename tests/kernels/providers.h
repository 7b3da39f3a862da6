// The providers and levels that this machine can run, and those it cannot.
#pragma once

#include <string>
#include <vector>

#include "harness.h"

namespace mortise::test {

struct Level {
    Provider provider;
    // Largest error of a product of n terms, relative to the root of the sum of the squared terms, with up to
    // 4 rows and with more: f32 arithmetic, or inputs and weights rounded to bf16: each by at most 2^-8, both
    // together by 0.0023 in the mean square; seven times that.
    double few, many;
};

const std::vector<Level>& levels();         // reference first
std::vector<std::string> levels_not_run();  // names, with the reason

inline std::string level_name(size_t i) { return levels()[i].provider.name; }

}  // namespace mortise::test
