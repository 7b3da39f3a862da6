// Small floating point numbers: exact decoding, and encoding by round-to-nearest-even. Thread-safe.
//
// f16: IEEE 754 binary16. bf16: upper half of binary32. e4m3 (finite), e5m2, e8m0, e2m1, e2m3, e3m2: OCP
// "8-bit Floating Point" 1.0 and "Microscaling Formats" 1.0. fnuz: Graphcore/AMD/Qualcomm, arXiv:2206.02915.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace mortise {

inline float f16_to_f32(uint16_t code) {
    uint32_t sign = static_cast<uint32_t>(code & 0x8000u) << 16;
    uint32_t rest = static_cast<uint32_t>(code & 0x7FFFu) << 13;
    if (rest >= 0x0F800000u) return std::bit_cast<float>(sign | 0x70000000u | rest);  // infinity, NaN
    if (rest >= 0x00800000u) return std::bit_cast<float>(sign | (rest + 0x38000000u));
    float magnitude = static_cast<float>(rest >> 13) * 0x1p-24f;  // subnormal: exact
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// Overflow becomes infinity; NaN stays NaN.
inline uint16_t f32_to_f16(float value) {
    uint32_t word = std::bit_cast<uint32_t>(value);
    auto sign = static_cast<uint16_t>((word >> 16) & 0x8000u);
    uint32_t magnitude = word & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x1FFu));
    if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and above
    if (magnitude < 0x38800000u) {                                               // below 2^-14: subnormal
        if (magnitude < 0x33000000u) return sign;
        uint32_t shift = 126u - (magnitude >> 23);  // 14..24: units of 2^-24
        uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
        uint32_t kept = mantissa >> shift;
        uint32_t lost = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
        kept += lost > half || (lost == half && (kept & 1u));
        return static_cast<uint16_t>(sign | kept);
    }
    magnitude += 0xFFFu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u) >> 13));
}

inline float bf16_to_f32(uint16_t code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }

inline uint16_t f32_to_bf16(float value) {
    uint32_t word = std::bit_cast<uint32_t>(value);
    if ((word & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((word >> 16) | 0x40u);
    return static_cast<uint16_t>((word + 0x7FFFu + ((word >> 16) & 1u)) >> 16);
}

// What happens to a value beyond the largest finite code.
enum class Overflow : uint8_t {
    saturate,  // the largest finite code, also for infinity
    special,   // infinity where the type has one, else NaN, else saturate: a plain cast of the frameworks
};

// Effect: values of all codes: 256, 64 or 16 of them; NaN and infinity included.
// Requires: dtype is f8_*, f6_* or f4_e2m1.
std::span<const float> decode_table(DType dtype);

// Effect: value of the low bits of `code`. Requires: as decode_table.
inline float decode_small(DType dtype, uint8_t code) {
    auto table = decode_table(dtype);
    return table[code & (table.size() - 1)];
}

// Effect: nearest code, ties to the even code. NaN becomes a NaN code where there is one, else the largest
// code. e8m0 has no sign and no zero: encodes the nearest power of two of |value|, at least 2^-127.
// Requires: as decode_table.
uint8_t encode_small(DType dtype, float value, Overflow overflow);

// Effect: the code of the same value at half scale: what e4m3fn bytes become under a doubled scale.
// -0 becomes 0, NaN becomes NaN.
inline uint8_t e4m3fn_to_fnuz(uint8_t code) {
    if (code == 0x80) return 0;
    return (code & 0x7F) == 0x7F ? 0x80 : code;
}

}  // namespace mortise
