// The reference provider's table. Thread-safe.
#pragma once

#include "mortise/abi.h"

namespace mortise::reference {

const mortise_kernels_v1& kernels();

}  // namespace mortise::reference
