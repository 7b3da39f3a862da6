#include "level.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mortise::cpu {
namespace {

struct Registers {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    Registers r;
    if (__get_cpuid_max(0, nullptr) >= leaf) __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    return r;
}

bool bit(uint32_t value, int index) { return (value >> index & 1) != 0; }

// Register state that the system saves: XCR0.
uint64_t saved_state() {
    if (!bit(cpuid(1).c, 27)) return 0;
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
}

bool system_saves(uint64_t mask) { return (saved_state() & mask) == mask; }

const char* why_not_avx2() {
    constexpr uint64_t ymm = 0x6;
    const Registers one = cpuid(1);
    if (!system_saves(ymm)) return "the system does not save the 256-bit registers";
    if (!bit(cpuid(7).b, 5)) return "the processor has no AVX2";
    if (!bit(one.c, 12) || !bit(one.c, 29)) return "the processor has no FMA or no F16C";
    return nullptr;
}

const char* why_not_avx512() {
    constexpr uint64_t zmm = 0xe6;
    if (const char* why = why_not_avx2()) return why;
    if (!system_saves(zmm)) return "the system does not save the 512-bit registers";
    const uint32_t b = cpuid(7).b;
    if (!bit(b, 16) || !bit(b, 17) || !bit(b, 30) || !bit(b, 31))
        return "the processor has no AVX-512 F, DQ, BW, VL";
    return nullptr;
}

const char* why_not_bf16() {
    if (const char* why = why_not_avx512()) return why;
    return bit(cpuid(7, 1).a, 5) ? nullptr : "the processor has no AVX-512 BF16";
}

const char* ask_for_tiles() {
#ifdef SYS_arch_prctl
    constexpr long request_permission = 0x1023, tile_data = 18;
    if (syscall(SYS_arch_prctl, request_permission, tile_data) == 0) return nullptr;
#endif
    return "the system does not grant the use of tiles";
}

const char* why_not_amx() {
    constexpr uint64_t tiles = 0x60000;
    if (const char* why = why_not_bf16()) return why;
    const uint32_t d = cpuid(7).d;
    if (!bit(d, 24) || !bit(d, 22)) return "the processor has no AMX with bf16";
    if (!system_saves(tiles)) return "the system does not save the tiles";
    static const char* const granted = ask_for_tiles();
    return granted;
}

}  // namespace

const char* name(Level level) {
    static const char* const names[level_count] = {"generic", "avx2", "avx512", "amx"};
    return names[static_cast<int>(level)];
}

// Asked once each: a hypervisor takes its time for every cpuid.
const char* why_not(Level level) {
    static const char *const avx2 = why_not_avx2(), *const avx512 = why_not_avx512();
    switch (level) {
        case Level::generic: return nullptr;
        case Level::avx2: return avx2;
        case Level::avx512: return avx512;
        default: {
            static const char* const amx = why_not_amx();
            return amx;
        }
    }
}

Choice choose() {
    const char* wish = std::getenv("MORTISE_CPU_ISA");
    if (wish && *wish) {
        for (int i = 0; i < level_count; i++) {
            const Level level = static_cast<Level>(i);
            if (std::strcmp(wish, name(level)) != 0) continue;
            const char* why = why_not(level);
            return {level, why ? std::string("MORTISE_CPU_ISA=") + wish + ": " + why : std::string()};
        }
        return {Level::generic,
                std::string("MORTISE_CPU_ISA=") + wish + ": known are generic, avx2, avx512, amx"};
    }
    for (int i = level_count - 1; i > 0; i--) {
        if (!why_not(static_cast<Level>(i))) return {static_cast<Level>(i), {}};
    }
    return {};
}

bool bf16_dot_is_fast() {
    static const bool fast = [] {
        const Registers vendor = cpuid(0);
        const bool amd = vendor.b == 0x68747541 && vendor.d == 0x69746e65 && vendor.c == 0x444d4163;
        return amd && !why_not_bf16();
    }();
    return fast;
}

const char* why_not_emulated_amx() { return why_not_bf16(); }

}  // namespace mortise::cpu
