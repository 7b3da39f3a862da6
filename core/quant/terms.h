// Arithmetic on the terms of a layout, for this room only.
#pragma once

#include <cstdint>

#include "base/checked.h"
#include "quant/spec.h"

namespace mortise::quant {

inline int64_t term_value(const Term& term, uint64_t source) {
    uint64_t digit = source / term.div;
    if (term.mod) digit %= term.mod;
    return static_cast<int64_t>(digit) * term.stride;
}

// Values that a source takes: 0 .. count - 1.
inline uint64_t source_count(uint32_t source, const Extent& extent, uint32_t plane_bits) {
    switch (source) {
        case MORTISE_SOURCE_ROW: return extent.rows;
        case MORTISE_SOURCE_COLUMN: return extent.columns;
        case MORTISE_SOURCE_BIT: return plane_bits;
        case MORTISE_SOURCE_EXPERT: return extent.experts;
        case MORTISE_SOURCE_ROW_STREAM: return extent.rows * plane_bits;
        case MORTISE_SOURCE_COLUMN_STREAM: return extent.columns * plane_bits;
        case MORTISE_SOURCE_FLAT: return extent.rows * extent.columns;
        default: return 0;
    }
}

// Values of the digit: at most mod, at most what the source reaches.
inline uint64_t digit_count(const Term& term, uint64_t source_values) {
    uint64_t reach = divide_up(source_values, term.div);
    return term.mod && term.mod < reach ? term.mod : reach;
}

// Effect: the layout with its one plane written out when it is dense.
Layout explicit_layout(const Layout& layout, const Extent& extent, uint32_t bits);
// Effect: FLAT terms replaced by ROW and COLUMN terms where rows begin on a digit; true if none is left.
bool split_flat(Layout& layout, const Extent& extent);

// Least and greatest value of one source's terms over all values of the source.
struct Bounds {
    int64_t low = 0, high = 0;
};
Bounds source_bounds(const Plane& plane, uint32_t source, uint64_t values);
// Least and greatest bit address of a plane.
Bounds plane_bounds(const Plane& plane, const Extent& extent);

}  // namespace mortise::quant
