// The provider's tables. Thread-safe.
#pragma once

#include "level.h"
#include "mortise/abi.h"

namespace mortise::cpu {

// The table at the level that the environment or the machine chooses.
const mortise_kernels_v1& kernels();
// A given level, for tests. emulated: amx with its tiles in plain arithmetic.
// Requires: the machine runs it (why_not(level) is null; avx512 for emulated amx).
const mortise_kernels_v1& kernels(Level level, bool emulated = false);

}  // namespace mortise::cpu
