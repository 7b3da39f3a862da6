// Level avx2: 256-bit registers, fused multiply-add, f16 conversion.
#include "vec.h"

#include "bytes.h"

#include "../simd/backend.h"

namespace mortise::cpu {

const Backend& avx2_backend() {
    static constexpr Backend backend = common_backend("avx2", "f32 FMA, 256 bit");
    return backend;
}

}  // namespace mortise::cpu
