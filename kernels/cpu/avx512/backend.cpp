// Level avx512: 512-bit registers; the matrix product in bf16 where that is the faster unit.
#include "vec.h"

#include "../simd/backend.h"
#include "dot.h"

namespace mortise::cpu {
namespace {

constexpr Backend with_dot(Backend b) {
    b.bf16_inputs = true;
    b.gemm_panels = dot_panels;
    // Processors with this level have 1 MiB or more. Each block adds to all of y, which costs more than
    // panels that come from there.
    b.cache_share = 768 << 10;
    b.most_block = 2048;
    b.gemm_scratch = dot_scratch;
    b.gemm = dot_gemm;
    b.to_tiles = to_tiles;
    b.matrix = multiply_dot;
    b.matrix_name = "bf16 dot product, 512 bit";
    b.matrix_scratch = multiply_dot_scratch;
    return b;
}

}  // namespace

const Backend& avx512_backend(bool bf16_dot) {
    static constexpr Backend plain = common_backend("avx512", "f32 FMA, 512 bit"), dot = with_dot(plain);
    return bf16_dot ? dot : plain;
}

}  // namespace mortise::cpu
