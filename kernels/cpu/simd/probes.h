// The yardsticks: reading memory in eight prefetched streams, and f32 multiply-adds with operands in the
// private cache. Textual part of a backend.
#pragma once

#include "../backend.h"

namespace mortise::cpu {
namespace {

uint64_t read_memory(const void* data, uint64_t bytes) {
    constexpr uint64_t ways = 8;
    const uint64_t length = bytes / ways / 64 * 64;
    const uint8_t* p = static_cast<const uint8_t*>(data);
    I seen[ways];
    for (I& s : seen) s = set_bits(0);
    for (uint64_t at = 0; at < length; at += 64) {
        for (uint64_t s = 0; s < ways; s++) {
            prefetch(p + s * length + at + 1024);
            seen[s] = seen[s] | load_bits(p + s * length + at);
        }
    }
    I all = seen[0];
    for (uint64_t s = 1; s < ways; s++) all = all | seen[s];
    uint32_t lanes[16];
    store_bits(lanes, all);
    uint64_t result = 0;
    for (uint32_t lane : lanes) result = result * 31 + lane;
    return result;
}

constexpr uint64_t probe_columns = 1024;

// scratch: probe_columns * (rows + 16 * panels) floats, zeroed here.
double multiply_f32(uint64_t rounds, void* scratch) {
    float* x = static_cast<float*>(scratch);
    float* w = x + gemm_row_block * probe_columns;
    const uint64_t floats = probe_columns * (gemm_row_block + gemm_panel_block * 16);
    for (uint64_t i = 0; i < floats; i++) x[i] = 0;
    const float* panels[gemm_panel_block];
    for (int p = 0; p < gemm_panel_block; p++) panels[p] = w + p * probe_columns * 16;
    float sink = 0;
    for (uint64_t r = 0; r < rounds; r++) {
        F acc[gemm_row_block][gemm_panel_block];
        multiply<gemm_row_block, gemm_panel_block>(x, probe_columns, panels, probe_columns, acc);
        for (auto& line : acc) {
            for (F& a : line) sink += sum(a);
        }
        x[0] = sink;
    }
    return 2.0 * gemm_row_block * gemm_panel_block * 16 * probe_columns * static_cast<double>(rounds);
}
constexpr uint64_t multiply_f32_scratch =
    probe_columns * (gemm_row_block + gemm_panel_block * 16) * sizeof(float);

}  // namespace
}  // namespace mortise::cpu
