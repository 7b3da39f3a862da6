// Many input rows times packed panels in f32: panels are decoded into scratch for one block of columns, then
// multiplied with all rows while they lie in the private cache. Textual part of a backend.
#pragma once

#include "../backend.h"
#include "decode.h"

namespace mortise::cpu {
namespace {

// Which pass over the columns, and what the last one adds.
struct Pass {
    bool first, last;
    const float* scale;  // [16] of the panel when rows are scaled at the end, else null
};

// Effect: y += sums; the last pass scales and adds the bias. `left` rows of the panel exist.
inline void write_sums(F sums, float* y, uint64_t left, const Pass& pass, const float* bias) {
    const bool whole = left >= panel_rows;
    if (!pass.first) sums = sums + (whole ? load(y) : load_n(y, left));
    if (pass.last && pass.scale) sums = sums * load(pass.scale);
    if (pass.last && bias) sums = sums + (whole ? load(bias) : load_n(bias, left));
    if (whole)
        store(y, sums);
    else
        store_n(y, sums, left);
}

inline Pass pass_of(const Product& product, uint64_t panel, uint64_t first, uint64_t last) {
    const Packing& packing = *product.packing;
    const bool late = packing.row_scaled() && packing.has_scale;
    const float* scale = late ? tail_of(packing, panel_of(packing, product.packed, panel), 0) : nullptr;
    return {first == 0 && !product.adds, last == packing.padded, scale};
}

// Columns [first, last) of one panel as f32 [column][16].
template <Kind K>
void decode_panel(const Packing& packing, const uint8_t* panel, uint64_t first, uint64_t last, float* out) {
    decode_columns<K>(packing, panel, first, last, packing.row_scaled(),
                      [&](uint64_t column, const F(&w)[Decoder<K>::step]) {
                          for (int j = 0; j < Decoder<K>::step; j++)
                              store(out + (column - first + j) * 16, w[j]);
                      });
}

template <int Rows, int Panels>
inline void multiply(const float* x, uint64_t stride, const float* const* panels, uint64_t columns,
                     F (&acc)[Rows][Panels]) {
    for (auto& line : acc) {
        for (F& a : line) a = zero();
    }
    for (uint64_t k = 0; k < columns; k++) {
        F w[Panels];
        for (int p = 0; p < Panels; p++) w[p] = load(panels[p] + k * 16);
        for (int t = 0; t < Rows; t++) {
            const F value = set(x[t * stride + k]);
            for (int p = 0; p < Panels; p++) acc[t][p] = fma(w[p], value, acc[t][p]);
        }
    }
}

// One block: `Rows` input rows against `Panels` panels from `panel` on.
template <int Rows, int Panels>
void block(const Product& product, const Inputs& inputs, uint64_t row, uint64_t panel,
           const float* const* panels, uint64_t first, uint64_t last) {
    F acc[Rows][Panels];
    multiply<Rows, Panels>(inputs.x + row * inputs.stride + first, inputs.stride, panels, last - first, acc);
    for (int p = 0; p < Panels; p++) {
        const Pass pass = pass_of(product, panel + p, first, last);
        const uint64_t at = (panel + p) * panel_rows, left = product.packing->rows - at;
        const float* bias = product.bias ? product.bias + at : nullptr;
        for (int t = 0; t < Rows; t++) {
            write_sums(acc[t][p], product.y + (row + t) * product.stride + at, left, pass, bias);
        }
    }
}

template <int Rows, int Panels>
void all_rows(const Product& product, const Inputs& inputs, uint64_t panel, const float* const* panels,
              uint64_t first, uint64_t last, uint64_t row = 0) {
    for (; row + Rows <= inputs.rows; row += Rows) {
        block<Rows, Panels>(product, inputs, row, panel, panels, first, last);
    }
    if constexpr (Rows > 1) {
        if (row < inputs.rows) all_rows<Rows - 1, Panels>(product, inputs, panel, panels, first, last, row);
    }
}

template <int Panels>
void some_panels(const Product& product, const Inputs& inputs, uint64_t panel, uint64_t count,
                 const float* const* panels, uint64_t first, uint64_t last) {
    if (count == Panels) return all_rows<gemm_row_block, Panels>(product, inputs, panel, panels, first, last);
    if constexpr (Panels > 1) some_panels<Panels - 1>(product, inputs, panel, count, panels, first, last);
}

uint64_t gemm_scratch(uint64_t columns) { return gemm_panel_block * columns * panel_rows * sizeof(float); }

void gemm(const Product& product, const Inputs& inputs, const uint16_t*) {
    const Packing& packing = *product.packing;
    for (uint64_t first = 0; first < packing.padded; first += product.block) {
        const uint64_t last = least(first + product.block, packing.padded);
        for (uint64_t panel = product.first; panel < product.last; panel += gemm_panel_block) {
            const uint64_t count = least(gemm_panel_block, product.last - panel);
            const float* panels[gemm_panel_block];
            for (uint64_t p = 0; p < count; p++) {
                float* out = static_cast<float*>(product.scratch) + p * product.block * panel_rows;
                const uint8_t* codes = panel_of(packing, product.packed, panel + p);
                MORTISE_FOR_KIND(packing.kind, decode_panel, packing, codes, first, last, out);
                panels[p] = out;
            }
            some_panels<gemm_panel_block>(product, inputs, panel, count, panels, first, last);
        }
    }
}

}  // namespace
}  // namespace mortise::cpu
