// How many columns one pass of the matrix product takes.
#pragma once

#include <algorithm>

#include "backend.h"

namespace mortise::cpu {

inline constexpr uint64_t least_block = 256;

// Effect: columns whose inputs, `rows` of them, fit the share of the private cache that is theirs.
inline uint64_t block_columns(const Backend& backend, uint64_t rows, uint64_t padded) {
    const uint64_t element = backend.bf16_inputs ? sizeof(uint16_t) : sizeof(float);
    const uint64_t fit = backend.cache_share / (rows * element) / column_step * column_step;
    return std::min(padded, std::clamp(fit, least_block, backend.most_block));
}

}  // namespace mortise::cpu
