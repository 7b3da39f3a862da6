// The packed layout of a part: one for every number of input rows and every instruction set.
//
// Output rows go in panels of 16, one row per lane. A panel is a run of records, one per column group:
//   codes of the group's columns | 16 f32 scales | 16 f32 offsets
// (scales unless the part is plain, offsets where addends, or zero points of 8-bit integers, vary). The first
// record is shorter by `phase` columns, the last one padded to `padded` columns. Behind the records lie
// scales of 16 bits, where those hold them exactly: 16 of them per group, padded to 64 bytes; then, where the
// zero points of code4 vary, 16 bytes of them per group, padded to 64. Where groups are no runs of columns,
// or do not fall on multiples of 8, the columns are moved: each group takes whole eights of places, `order`
// says which column lies in which place. Per 16 rows the codes are
//   f32   [column][16] f32                     f16  [column][16] f16
//   bf16  [column / 2][16][2] bf16             int8 [column / 4][16][4] signed bytes
//   e4m3  [column / 4][2][16][2] bytes: columns (0, 1) of all rows, then (2, 3)
//   code4 [column / 8][16] dwords: byte i has column i in its low nibble and column i + 4 in its high one
// weight = value(code) * scale + offset, value from the 16-entry table for code4; a zero point stands for the
// offset (centre - zero) * scale.
#pragma once

#include <cstdint>

namespace mortise::cpu {

inline constexpr uint64_t panel_rows = 16;
inline constexpr uint64_t column_step = 32;  // of `padded`
inline constexpr uint64_t place_step = 8;    // of the starts of groups

enum class Kind : uint32_t { f32, f16, bf16, int8, e4m3, code4 };

// Bits of one code.
constexpr uint32_t code_bits(Kind kind) {
    return kind == Kind::f32                         ? 32
           : kind == Kind::f16 || kind == Kind::bf16 ? 16
           : kind == Kind::code4                     ? 4
                                                     : 8;
}

// How the codes of a tile become those of the packing.
enum class Form : uint32_t {
    same,     // codes or plain weights as they are
    widened,  // 8-bit floats as bf16
    cast,     // weights cast to 8-bit floats before use: e4m3, or bf16 that holds any other
    decoded,  // whole weights as f32
};

inline constexpr uint32_t no_column = ~0u;

struct Packing {
    Kind kind;
    Form form;
    Kind scale_as;  // f32: within the records, bf16 or f16: behind them
    uint32_t has_scale, has_offset, has_zero;
    uint64_t rows, columns, padded, panels;
    uint64_t groups, group, phase;  // group: columns per group, a multiple of 8 unless there is one
    uint32_t exact_bf16;            // every value(code) is a bf16 number
    float centre;                   // integer codes: what the values were shifted by
    float table[16];                // of code4
    int8_t bytes[16];               // table[i] = bytes[i] * byte_unit
    float byte_unit;                // a power of two, 1 for int8; 0: no such bytes
    uint32_t moved;                 // 1: columns are moved; until the first tile has come `padded` is a bound
    const uint32_t* starts;         // [groups + 1] first place of each group; null unless moved
    const uint32_t* order;          // [padded] the column of each place or no_column; null unless moved

    constexpr uint64_t column_bytes() const { return panel_rows * code_bits(kind) / 8; }
    constexpr bool scales_apart() const { return has_scale && scale_as != Kind::f32; }
    constexpr uint64_t scale_floats() const {
        return has_scale && !scales_apart() ? panel_rows : 0;
    }  // in a record
    constexpr uint64_t tail_bytes() const {
        return (scale_floats() + has_offset * panel_rows) * sizeof(float);
    }
    constexpr uint64_t scale_bytes() const {
        return scales_apart() ? (groups * panel_rows * 2 + 63) / 64 * 64 : 0;
    }
    constexpr uint64_t zero_bytes() const { return has_zero ? (groups * panel_rows + 63) / 64 * 64 : 0; }
    // Offsets of what lies behind the records.
    constexpr uint64_t scales() const { return padded * column_bytes() + groups * tail_bytes(); }
    constexpr uint64_t zeros() const { return scales() + scale_bytes(); }
    constexpr uint64_t panel_bytes() const { return zeros() + zero_bytes(); }
    constexpr bool shifted() const { return has_offset || has_zero; }
    // First column of group g, and one past its last one, padding included.
    constexpr uint64_t begin(uint64_t g) const { return starts ? starts[g] : g == 0 ? 0 : g * group - phase; }
    constexpr uint64_t end(uint64_t g) const {
        return starts ? starts[g + 1] : g + 1 == groups ? padded : (g + 1) * group - phase;
    }
    // Offset of a column's codes in a panel.
    constexpr uint64_t record(uint64_t g) const { return begin(g) * column_bytes() + g * tail_bytes(); }
    constexpr uint64_t group_of(uint64_t column) const {
        if (starts) return search(column);
        const uint64_t g = groups == 1 ? 0 : (column + phase) / group;
        return g < groups ? g : groups - 1;
    }
    // What the decoders' values are multiplied by beside the scale: they read 2^-8 of an e4m3.
    constexpr float unit() const { return kind == Kind::e4m3 ? 256.0f : 1.0f; }
    constexpr bool plain() const { return !has_scale && !shifted(); }
    // One scale per row and nothing else: it can be applied to the finished sum.
    constexpr bool row_scaled() const { return groups == 1 && !shifted(); }

  private:
    // The last group that starts at or before the place: those that are empty start where the next one does.
    constexpr uint64_t search(uint64_t place) const {
        uint64_t low = 0, high = groups;
        while (high - low > 1) {
            const uint64_t middle = (low + high) / 2;
            (starts[middle] <= place ? low : high) = middle;
        }
        return low;
    }
};

}  // namespace mortise::cpu
