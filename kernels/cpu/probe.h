// The machine's yardsticks, measured with a level's own instructions.
#pragma once

#include "backend.h"
#include "mortise/abi.h"

namespace mortise::cpu {

// Effect: as mortise_kernels_v1.probe. Each thread reads memory of its own or multiplies in its own cache.
mortise_status probe(const Backend& backend, uint32_t kind, uint32_t rank, uint32_t size, double seconds,
                     double* per_second, char* name);

}  // namespace mortise::cpu
