// Which instruction set the provider uses: the best that processor and system allow, or the one that
// MORTISE_CPU_ISA names. Thread-safe.
#pragma once

#include <string>

namespace mortise::cpu {

enum class Level { generic = 0, avx2 = 1, avx512 = 2, amx = 3 };
inline constexpr int level_count = 4;

const char* name(Level level);

// Effect: null when this machine can run `level`, else why not. amx: the first call asks the system for the
// right to use tiles.
const char* why_not(Level level);

struct Choice {
    Level level = Level::generic;
    std::string error;  // not empty: the environment names a level that does not exist or cannot run here
};
Choice choose();

// Effect: true where the 512-bit bf16 dot product outruns f32 multiply-adds. AMD's does twice the work of an
// f32 multiply-add; Intel's (Cooper Lake to Granite Rapids) half, and there f32 is used. Decided by vendor so
// that a machine always gives the same bits.
bool bf16_dot_is_fast();

// Effect: null when this machine can run the amx level with emulated tiles, else why not.
const char* why_not_emulated_amx();

}  // namespace mortise::cpu
