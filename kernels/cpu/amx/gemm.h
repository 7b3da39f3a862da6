// The matrix product with tiles: 32 input rows x 2 panels in four accumulators, both operands from the
// private cache.
#pragma once

#include "../simd/gemm_bf16.h"
#include "tiles.h"

namespace mortise::cpu {
namespace {

constexpr int tile_panels = 2;

// Effect: sums [Rows][Panels] of 16 x 16 floats. a: the tiles of the rows, b: those of the panels.
template <int Rows, int Panels, class Tiles>
inline void tile_block(Tiles& tiles, const uint16_t* const (&a)[2], const uint16_t* const (&b)[2],
                       uint64_t columns, float (&sums)[2][2][256]) {
    tiles.template zero<0>();
    if constexpr (Panels > 1) tiles.template zero<1>();
    if constexpr (Rows > 1) tiles.template zero<2>();
    if constexpr (Rows > 1 && Panels > 1) tiles.template zero<3>();
    for (uint64_t at = 0; at < columns * 16; at += 512) {
        tiles.template load<4>(a[0] + at);
        tiles.template load<6>(b[0] + at);
        tiles.template dot<0, 4, 6>();
        if constexpr (Panels > 1) {
            tiles.template load<7>(b[1] + at);
            tiles.template dot<1, 4, 7>();
        }
        if constexpr (Rows > 1) {
            tiles.template load<5>(a[1] + at);
            tiles.template dot<2, 5, 6>();
            if constexpr (Panels > 1) tiles.template dot<3, 5, 7>();
        }
    }
    tiles.template store<0>(sums[0][0]);
    if constexpr (Panels > 1) tiles.template store<1>(sums[0][1]);
    if constexpr (Rows > 1) tiles.template store<2>(sums[1][0]);
    if constexpr (Rows > 1 && Panels > 1) tiles.template store<3>(sums[1][1]);
}

template <class Tiles>
inline void tile_strip(Tiles& tiles, const Strip& strip) {
    const uint64_t columns = strip.last - strip.first;
    const uint16_t* const panels[2] = {strip.panels[0], strip.panels[1]};
    for (uint64_t row = 0; row < strip.rows; row += 32) {
        alignas(64) float sums[2][2][256];
        const bool two = strip.rows - row > 16;
        const uint16_t* const rows[2] = {strip.tile(row), two ? strip.tile(row + 16) : nullptr};
        if (two && strip.count == 2)
            tile_block<2, 2>(tiles, rows, panels, columns, sums);
        else if (two)
            tile_block<2, 1>(tiles, rows, panels, columns, sums);
        else if (strip.count == 2)
            tile_block<1, 2>(tiles, rows, panels, columns, sums);
        else
            tile_block<1, 1>(tiles, rows, panels, columns, sums);
        const uint64_t count = least(32, strip.rows - row);
        for (uint64_t t = 0; t < count; t++) {
            for (uint64_t p = 0; p < strip.count; p++) {
                write_strip(strip, row + t, p, load(sums[t / 16][p] + t % 16 * 16));
            }
        }
    }
}

uint64_t tile_scratch(uint64_t block) { return tile_panels * block * panel_rows * sizeof(uint16_t); }

template <class Tiles>
void tile_gemm(const Product& product, const Inputs& inputs, const uint16_t* rounded) {
    Tiles tiles;
    gemm_bf16<tile_panels>(product, inputs, rounded, [&](const Strip& strip) { tile_strip(tiles, strip); });
}

constexpr uint64_t probe_tile_columns = 4096;  // 2 x (2 tiles of 1 KiB) x 128 = 512 KiB: above L1, inside L2

template <class Tiles>
double multiply_tiles(uint64_t rounds, void* scratch) {
    uint16_t* x = static_cast<uint16_t*>(scratch);
    const uint64_t strip = probe_tile_columns * 16;
    std::memset(x, 0, 4 * strip * sizeof(uint16_t));
    const uint16_t* const a[2] = {x, x + strip};
    const uint16_t* const b[2] = {x + 2 * strip, x + 3 * strip};
    Tiles tiles;
    alignas(64) float sums[2][2][256];
    const uint64_t times = rounds / 10 + 1;
    for (uint64_t r = 0; r < times; r++) tile_block<2, 2>(tiles, a, b, probe_tile_columns, sums);
    return 2.0 * 32 * 32 * probe_tile_columns * static_cast<double>(times);
}

}  // namespace
}  // namespace mortise::cpu
