// From canonical tiles to the layout of packing.h. Thread-safe on distinct tiles.
#pragma once

#include "kernel.h"
#include "packing.h"

namespace mortise::cpu {

// Effect: the packing of a part; returns null, or why there is none.
const char* choose_packing(const mortise_kernel_part& part, Packing& out);

// Effect: writes the panels of `tile`, which starts at a multiple of panel_rows. The tile of row 0 also fills
// packing.table. Errors: a tile that contradicts the part.
mortise_status pack_tile(Packing& packing, const mortise_kernel_part& part, const mortise_tile& tile, uint8_t* packed);

}  // namespace mortise::cpu
