// Level avx512: 512-bit registers; the matrix product in bf16 where that is the faster unit.
#include "vec.h"

#include "../simd/backend.h"

namespace mortise::cpu {

const Backend& avx512_backend(bool) {
    static constexpr Backend backend = common_backend("avx512", "f32 FMA, 512 bit");
    return backend;
}

}  // namespace mortise::cpu
