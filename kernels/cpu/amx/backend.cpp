// Level amx: everything as avx512, the matrix product with tiles.
#include "../avx512/vec.h"

#include "../simd/backend.h"
#include "gemm.h"

namespace mortise::cpu {
namespace {

template <class Tiles>
constexpr Backend with_tiles(const char* name, const char* matrix_name) {
    Backend b = common_backend(name, matrix_name);
    b.bf16_inputs = true;
    b.gemm_panels = tile_panels;
    b.gemm_scratch = tile_scratch;
    b.cache_share = 1 << 20;  // of 2 MiB
    b.gemm = tile_gemm<Tiles>;
    b.to_tiles = to_tiles;
    b.matrix = multiply_tiles<Tiles>;
    b.matrix_scratch = 4 * probe_tile_columns * 16 * sizeof(uint16_t);
    return b;
}

}  // namespace

const Backend& amx_backend(bool emulated) {
    static constexpr Backend hardware = with_tiles<HardwareTiles>("amx", "AMX bf16 from the private cache");
    static constexpr Backend plain = with_tiles<EmulatedTiles>("amx emulated", "emulated tiles");
    return emulated ? plain : hardware;
}

}  // namespace mortise::cpu
