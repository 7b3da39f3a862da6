// Rows of one tile on their way into panels. One writer for each tile and thread.
#pragma once

#include <vector>

#include "mortise/abi.h"
#include "packing.h"

namespace mortise::cpu {

class PanelWriter {
  public:
    // Requires: the tile fits its part (PackedPart::pack checks); all of them outlive the writer.
    PanelWriter(const Packing& packing, const mortise_spec& spec, const mortise_tile& tile);

    // Effect: rows [row, row + 16) of the tile, as far as they exist, into one panel, the rest of it zero;
    // false if a scale needs more than its 16 bits.
    bool write(uint64_t row, uint8_t* panel);

  private:
    const uint8_t* elements(uint64_t row, uint64_t count);
    const uint8_t* arrange(const uint8_t* rows, uint64_t count);
    bool write_codes(const uint8_t* from, uint64_t lane, uint64_t count, uint8_t* out) const;
    bool write_tail(uint64_t row, uint64_t lane, uint64_t g, bool poisoned, uint8_t* panel) const;

    const Packing& packing_;
    const mortise_spec& spec_;
    const mortise_tile& tile_;
    uint64_t size_;                   // of an element, bytes
    std::vector<float> values_;       // of the rows of a panel, where they are decoded
    std::vector<uint8_t> converted_;  // elements made of them
    std::vector<uint8_t> arranged_;   // the rows of a panel in packed order
};

}  // namespace mortise::cpu
