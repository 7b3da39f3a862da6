// The packed form of one part: its canonical rows as they came, so that the host's reference decode can be
// asked for any of them again.
//
// Threads: store() concurrently on distinct tiles; decode() from anywhere after the last store().
#pragma once

#include <cstdint>

#include "mortise/abi.h"

namespace mortise::reference {

class Bank {
  public:
    explicit Bank(const mortise_kernel_part& part);

    uint64_t bytes() const { return bytes_; }
    const mortise_kernel_part& part() const { return *part_; }

    // Effect: keeps the tile's arrays. Errors: a tile whose arrays or extents the part did not announce.
    mortise_status store(const mortise_tile& tile, uint8_t* packed);
    // Effect: out[r][c] = weight of row `row` + r of `expert`, f32 [rows][columns].
    void decode(const uint8_t* packed, uint64_t expert, uint64_t row, uint64_t rows, float* out) const;

  private:
    const mortise_kernel_part* part_;
    uint64_t element_ = 1, groups_ = 1;  // bytes of a code or plain weight; column groups
    uint64_t scale_ = 0, zero_ = 0, addend_ = 0, map_ = 0, table_ = 0, cast_ = 0, bytes_ = 0;  // offsets
    mortise_tile shape_{};  // what all tiles have in common, from the first one
};

}  // namespace mortise::reference
