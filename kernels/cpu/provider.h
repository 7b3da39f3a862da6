// The provider's tables. Thread-safe.
#pragma once

#include "level.h"
#include "mortise/abi.h"

namespace mortise::cpu {

// The table at the level that the environment or the machine chooses.
const mortise_kernels_v1& kernels();
// A given level, for tests. alternative: amx with its tiles in plain arithmetic, avx512 with the f32 product
// whatever the processor is best at. Requires: the machine runs it (why_not(level), why_not_emulated_amx()).
const mortise_kernels_v1& kernels(Level level, bool alternative = false);

}  // namespace mortise::cpu
