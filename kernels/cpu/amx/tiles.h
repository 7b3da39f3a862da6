// Eight tiles of 16 rows x 64 bytes, as the hardware has them and as plain arithmetic: the same interface, so
// that packing and arithmetic of the tile kernels are tested on machines without the unit.
#pragma once

#include <cstdint>
#include <cstring>

#include "../avx512/vec.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t tile_bytes = 1024;

// While one exists the calling thread's tiles are configured. The instructions are written out: GCC 12 tells
// the optimizer that its ldtilecfg intrinsic reads 8 bytes, and stores to the rest of the configuration are
// dropped.
class HardwareTiles {
  public:
    HardwareTiles() { asm volatile("ldtilecfg %0" : : "m"(configuration)); }
    ~HardwareTiles() { asm volatile("tilerelease" : : : "memory"); }
    HardwareTiles(const HardwareTiles&) = delete;

    template <int T>
    void zero() {
        asm volatile("tilezero %%tmm%c0" : : "i"(T));
    }
    template <int T>
    void load(const void* rows) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(uint64_t{64}), "i"(T) : "memory");
    }
    template <int T>
    void store(void* rows) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(rows), "r"(uint64_t{64}), "i"(T) : "memory");
    }
    // C += A . B: A has 16 rows of 32 bf16, B 16 rows of 16 pairs.
    template <int C, int A, int B>
    void dot() {
        asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
    }

  private:
    struct alignas(64) Configuration {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    };
    static constexpr Configuration configuration = {
        1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
};

// The same bits from plain arithmetic, as the instruction's definition says: even and odd columns are summed
// apart with fused multiply-adds, joined, and added to C; subnormals count as zero throughout.
class EmulatedTiles {
  public:
    template <int T>
    void zero() {
        std::memset(bytes_[T], 0, tile_bytes);
    }
    template <int T>
    void load(const void* rows) {
        std::memcpy(bytes_[T], rows, tile_bytes);
    }
    template <int T>
    void store(void* rows) {
        std::memcpy(rows, bytes_[T], tile_bytes);
    }
    template <int C, int A, int B>
    void dot() {
        for (int m = 0; m < 16; m++) {
            F even = mortise::cpu::zero(), odd = even;
            for (int k = 0; k < 16; k++) {
                const I pairs = load_bits(bytes_[B] + k * 64);
                uint32_t two;
                std::memcpy(&two, bytes_[A] + m * 64 + k * 4, 4);
                even = flush(fma(flush(number(two << 16)), flush(as_float(shift_left<16>(pairs))), even));
                odd = flush(fma(flush(number(two & 0xffff0000u)),
                                flush(as_float(pairs & set_bits(static_cast<int32_t>(0xffff0000)))), odd));
            }
            float* c = reinterpret_cast<float*>(bytes_[C] + m * 64);
            mortise::cpu::store(c, flush(flush(mortise::cpu::load(c)) + flush(even + odd)));
        }
    }

  private:
    static F number(uint32_t bits) {
        float value;
        std::memcpy(&value, &bits, 4);
        return set(value);
    }
    static F flush(F x) {
        const F size = as_float(as_bits(x) & set_bits(0x7fffffff));
        const F none = as_float(as_bits(x) & set_bits(INT32_MIN));
        return where_less(size, set(1.17549435e-38f), none, x);
    }
    alignas(64) uint8_t bytes_[8][tile_bytes];
};

}  // namespace
}  // namespace mortise::cpu
