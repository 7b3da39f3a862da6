// The matrix product with the 512-bit bf16 dot product: 8 input rows x 3 panels, 24 accumulators.
#pragma once

#include "../simd/gemm_bf16.h"

namespace mortise::cpu {
namespace {

constexpr int dot_rows = 8, dot_panels = 3;

template <int Panels>
inline void dot_block(const uint16_t* x, const uint16_t* const* panels, uint64_t columns,
                      F (&acc)[dot_rows][Panels]) {
    for (auto& line : acc) {
        for (F& a : line) a = zero();
    }
    for (uint64_t k = 0; k < columns; k += 32, x += 512) {
        for (uint64_t pair = 0; pair < 16; pair++) {
            __m512bh w[Panels];
            for (int p = 0; p < Panels; p++) {
                w[p] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panels[p] + (k / 2 + pair) * 32));
            }
            for (int t = 0; t < dot_rows; t++) {
                int32_t two;
                std::memcpy(&two, x + t * 32 + pair * 2, 4);
                const __m512bh value = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
                for (int p = 0; p < Panels; p++) acc[t][p].v = _mm512_dpbf16_ps(acc[t][p].v, value, w[p]);
            }
        }
    }
}

template <int Panels>
inline void dot_strip(const Strip& strip) {
    for (uint64_t row = 0; row < strip.rows; row += dot_rows) {
        F acc[dot_rows][Panels];
        dot_block<Panels>(strip.tile(row) + row % 16 * 32, strip.panels, strip.last - strip.first, acc);
        const uint64_t count = least(dot_rows, strip.rows - row);
        for (uint64_t t = 0; t < count; t++) {
            for (int p = 0; p < Panels; p++) write_strip(strip, row + t, p, acc[t][p]);
        }
    }
}

uint64_t dot_scratch(uint64_t block) { return dot_panels * block * panel_rows * sizeof(uint16_t); }

void dot_gemm(const Product& product, const Inputs& inputs, const uint16_t* tiles) {
    gemm_bf16<dot_panels>(product, inputs, tiles, [](const Strip& strip) {
        switch (strip.count) {
            case 1: return dot_strip<1>(strip);
            case 2: return dot_strip<2>(strip);
            default: return dot_strip<3>(strip);
        }
    });
}

// scratch: one tile row of inputs and three panels of probe_columns, zeroed here.
double multiply_dot(uint64_t rounds, void* scratch) {
    uint16_t* x = static_cast<uint16_t*>(scratch);
    uint16_t* w = x + probe_columns * 16;
    for (uint64_t i = 0; i < probe_columns * 16 * (1 + dot_panels); i++) x[i] = 0;
    const uint16_t* panels[dot_panels];
    for (int p = 0; p < dot_panels; p++) panels[p] = w + p * probe_columns * 16;
    float sink = 0;
    for (uint64_t r = 0; r < rounds; r++) {
        F acc[dot_rows][dot_panels];
        dot_block<dot_panels>(x, panels, probe_columns, acc);
        for (auto& line : acc) {
            for (F& a : line) sink += sum(a);
        }
        x[0] = sink != 0;
    }
    return 2.0 * dot_rows * dot_panels * 16 * probe_columns * static_cast<double>(rounds);
}
constexpr uint64_t multiply_dot_scratch = probe_columns * 16 * (1 + dot_panels) * sizeof(uint16_t);

}  // namespace
}  // namespace mortise::cpu
