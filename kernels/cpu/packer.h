// From canonical tiles to the layout of packing.h.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "columns.h"
#include "kernel.h"
#include "packing.h"

namespace mortise::cpu {

constexpr bool is_integer(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_UNSIGNED || encoding == MORTISE_ENCODING_OFFSET ||
           encoding == MORTISE_ENCODING_TWOS;
}

// Effect: the packing of a part (of one of its experts), as far as it is known without a tile; returns null,
// or why there is none. activations: weights are cast only where inputs may be quantized.
const char* choose_packing(const mortise_kernel_part& part, uint32_t activations, Packing& out);

// Effect: what is unusual about it, for the plan; "" if nothing.
const char* describe(const Packing& packing);

// Rows of floats in the packed layout: [rows][columns] to panels of kind f32 without scales.
Packing plain_packing(uint64_t rows, uint64_t columns);
void pack_floats(const Packing& packing, const float* rows, uint8_t* packed);

// One part on its way into memory, and what its packed rows are. Threads: pack() on distinct tiles.
class PackedPart {
  public:
    // Requires: choose_packing() takes the part, which outlives this.
    PackedPart(const mortise_kernel_part& part, uint32_t activations);

    // Complete after the first tile.
    const Packing& packing() const { return packing_; }
    // The most that it takes.
    uint64_t bytes() const { return bytes_; }
    // Effect: writes the panels of `tile`, which starts at a multiple of panel_rows.
    // Errors: a tile that contradicts the part.
    mortise_status pack(const mortise_tile& tile, uint8_t* packed);

  private:
    void settle(const mortise_tile& tile);
    mortise_status check(const mortise_tile& tile) const;
    mortise_status check_arrays(const mortise_tile& tile) const;

    const mortise_kernel_part& part_;
    Packing packing_{};
    uint64_t bytes_ = 0;
    ColumnOrder order_;
    std::unique_ptr<std::once_flag> settled_ = std::make_unique<std::once_flag>();
};

}  // namespace mortise::cpu
