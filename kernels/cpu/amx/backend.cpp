// Level amx: as yet the vector code of avx512.
#include "../backend.h"

namespace mortise::cpu {

const Backend& amx_backend(bool) { return avx512_backend(false); }

}  // namespace mortise::cpu
