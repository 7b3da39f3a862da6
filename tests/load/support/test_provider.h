// A kernel provider that keeps plain f32 rows and multiplies them one by one. Its memory can be made
// inaccessible outside its own calls.
#pragma once

#include <cstdint>
#include <string>

#include "mortise/abi_kernels.h"

namespace mortise::testing {

// Every table has its own memory; packed bytes are the same.
const mortise_kernels_v1* open_provider();     // memory like any other
const mortise_kernels_v1* guarded_provider();  // PROT_NONE outside alloc, fill, pack, seal and run

// What the provider saw since the last reset(). Counts are over both tables.
struct Seen {
    uint64_t allocated = 0;  // bytes that are not freed
    uint64_t kernels = 0;    // created and not destroyed
    uint64_t packs = 0, seals = 0;
    uint64_t dirty_packs = 0;  // packs into bytes that were not all 0xFF
    uint64_t packs_after_seal = 0;
    uint64_t unwritten_at_seal = 0;  // rows of parts that were sealed with poison inside
};
Seen seen();
void reset();
// Effect: the next calls of that function fail: "alloc", "create", "pack", "seal"; "" = none.
void fail_in(const std::string& function, mortise_status status = MORTISE_INTERNAL);

}  // namespace mortise::testing
