// Level generic: whatever the compiler's baseline offers.
#include "vec.h"

#include "../simd/backend.h"

namespace mortise::cpu {

const Backend& generic_backend() {
    static constexpr Backend backend = common_backend("generic", "f32 multiply and add, portable vectors");
    return backend;
}

}  // namespace mortise::cpu
