// Many input rows times packed panels in bf16: what the 512-bit dot product and the tiles have in common.
// Weights of one scale per row go into the product exactly (every code is a bf16 number) and the finished
// sums are scaled; finer scales are applied before the rounding. Textual part of a 512-bit backend.
#pragma once

#include "../backend.h"
#include "gemm.h"

namespace mortise::cpu {
namespace {

// Lanes of `even` and `odd` rounded to bf16, interleaved.
inline __m512i round_pair(F even, F odd) {
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd.v, even.v));
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

// The same for lanes that are bf16 numbers.
inline __m512i join_pair(F even, F odd) {
    const I high = as_bits(odd) & set_bits(static_cast<int32_t>(0xffff0000));
    return (shift_right<16>(as_bits(even)) | high).v;
}

// Columns [first, last) of one panel as bf16 [column / 2][16][2].
template <Kind K>
void decode_panel_bf16(const Packing& packing, const uint8_t* panel, uint64_t first, uint64_t last,
                       uint16_t* out) {
    const bool raw = packing.row_scaled(), exact = packing.exact_bf16 && (raw || packing.plain());
    const auto at = [&](uint64_t column) { return out + (column - first) * panel_rows; };
    if (exact) {
        decode_columns<K>(packing, panel, first, last, raw,
                          [&](uint64_t column, const F(&w)[Decoder<K>::step]) {
                              for (int j = 0; j < Decoder<K>::step; j += 2)
                                  _mm512_storeu_si512(at(column + j), join_pair(w[j], w[j + 1]));
                          });
    } else {
        decode_columns<K>(packing, panel, first, last, raw,
                          [&](uint64_t column, const F(&w)[Decoder<K>::step]) {
                              for (int j = 0; j < Decoder<K>::step; j += 2)
                                  _mm512_storeu_si512(at(column + j), round_pair(w[j], w[j + 1]));
                          });
    }
}

// Effect: the panel's columns as bf16 pairs: in place when that is how they are packed, else in `scratch`.
inline const uint16_t* bf16_panel(const Product& product, uint64_t panel, uint64_t first, uint64_t last,
                                  uint16_t* scratch) {
    const Packing& packing = *product.packing;
    const uint8_t* codes = panel_of(packing, product.packed, panel);
    if (packing.kind == Kind::bf16 && packing.row_scaled()) {
        return reinterpret_cast<const uint16_t*>(codes + first * packing.column_bytes());
    }
    MORTISE_FOR_KIND(packing.kind, decode_panel_bf16, packing, codes, first, last, scratch);
    return scratch;
}

// One block of columns of up to `Panels` panels, ready to be multiplied.
struct Strip {
    const Product* product;
    const uint16_t* tiles;  // of all input rows
    uint64_t rows, panel, count, first, last;
    const uint16_t* panels[4];
    Pass passes[4];  // of each panel
    // Tile of 16 input rows from `row` on that holds the strip's first column.
    const uint16_t* tile(uint64_t row) const {
        return tiles + (row / 16 * (product->packing->padded / 32) + first / 32) * 512;
    }
};

// Effect: multiply(strip) for all panels and blocks of columns.
template <int Panels, class Multiply>
inline void gemm_bf16(const Product& product, const Inputs& inputs, const uint16_t* tiles,
                      Multiply multiply_strip) {
    const Packing& packing = *product.packing;
    for (uint64_t first = 0; first < packing.padded; first += product.block) {
        const uint64_t last = least(first + product.block, packing.padded);
        for (uint64_t panel = product.first; panel < product.last; panel += Panels) {
            Strip strip{&product, tiles, inputs.rows, panel, least(Panels, product.last - panel),
                        first,    last,  {}};
            for (uint64_t p = 0; p < strip.count; p++) {
                uint16_t* scratch = static_cast<uint16_t*>(product.scratch) + p * product.block * panel_rows;
                strip.panels[p] = bf16_panel(product, panel + p, first, last, scratch);
                strip.passes[p] = pass_of(product, panel + p, first, last);
            }
            multiply_strip(strip);
        }
    }
}

// Effect: y of one input row and one panel, from the sums of this strip.
inline void write_strip(const Strip& strip, uint64_t row, uint64_t p, F sums) {
    const Product& product = *strip.product;
    const uint64_t at = (strip.panel + p) * panel_rows;
    write_sums(sums, product.y + row * product.stride + at, product.packing->rows - at, strip.passes[p],
               product.bias ? product.bias + at : nullptr);
}

void to_tiles(const Inputs& inputs, uint64_t padded, uint64_t first, uint64_t last, uint16_t* tiles) {
    const uint64_t end = (last + 15) / 16 * 16;
    for (uint64_t row = first; row < end; row++) {
        uint16_t* out = tiles + row / 16 * (padded / 32) * 512 + row % 16 * 32;
        const float* x = inputs.x + row * inputs.stride;
        for (uint64_t k = 0; k < padded; k += 32, out += 512) {
            const bool exists = row < inputs.rows;
            const __m512 low = exists ? _mm512_loadu_ps(x + k) : _mm512_setzero_ps();
            const __m512 high = exists ? _mm512_loadu_ps(x + k + 16) : _mm512_setzero_ps();
            _mm512_storeu_si512(out, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
        }
    }
}

}  // namespace
}  // namespace mortise::cpu
