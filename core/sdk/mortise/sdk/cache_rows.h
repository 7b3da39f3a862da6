// Rows of a KV cache: one head's vector of one position, written and read by the rules of mortise_cache. One
// value at a time: what fast kernels are compared with. Pure; no allocation.
//
// Small floats: OCP "8-bit Floating Point" 1.0 (e4m3, e5m2) and "Microscaling Formats" 1.0 (e2m1). Blocks of
// 16: NVIDIA's Model Optimizer 0.47, torch/quantization/qtensor.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "mortise/abi_kernels.h"
#include "mortise/abi_quant.h"
#include "mortise/sdk/operators.h"

namespace mortise::sdk {

// A float type of at most 8 bits without infinity among the codes that are written.
struct SmallFloat {
    int mantissa_bits, bias, largest;  // largest: code of the largest finite value
    int sign;                          // bit
};
inline constexpr SmallFloat small_e4m3{3, 7, 0x7E, 0x80}, small_e5m2{2, 15, 0x7B, 0x80},
    small_e2m1{1, 1, 7, 8};

// Effect: the nearest code, ties to even, saturating; NaN becomes the code with every bit below the sign set.
inline uint8_t to_small(const SmallFloat& type, float value) {
    const int sign = std::signbit(value) ? type.sign : 0;
    if (std::isnan(value)) return static_cast<uint8_t>(sign | (type.sign - 1));
    const int exponents = (type.largest >> type.mantissa_bits) - type.bias;
    const double magnitude = std::min(std::fabs(static_cast<double>(value)), std::ldexp(2.0, exponents));
    const int lowest = 1 - type.bias;
    const int exponent = magnitude > 0 ? std::max(std::ilogb(magnitude), lowest) : lowest;
    const double steps = std::nearbyint(std::ldexp(magnitude, type.mantissa_bits - exponent));
    const int code =
        ((exponent - lowest) << type.mantissa_bits) + static_cast<int>(steps);  // a carry raises the exponent
    return static_cast<uint8_t>(sign | std::min(code, type.largest));
}
inline float from_small(const SmallFloat& type, uint8_t code) {
    const int magnitude = code & (type.sign - 1), field = magnitude >> type.mantissa_bits;
    const int one = 1 << type.mantissa_bits, mantissa = magnitude & (one - 1);
    if (magnitude > type.largest) return std::numeric_limits<float>::quiet_NaN();
    const int steps = field > 0 ? mantissa + one : mantissa;
    const float value =
        std::ldexp(static_cast<float>(steps), std::max(field, 1) - type.bias - type.mantissa_bits);
    return code & type.sign ? -value : value;
}

// How the rows of one head are coded.
struct CacheRow {
    uint32_t encoding = 0;
    uint64_t width = 0;  // elements; E2M1: a multiple of 16
    float scale = 1, zero = 0;
    const float* bias = nullptr;  // [width]

    uint64_t bytes() const {
        switch (encoding) {
            case MORTISE_ENCODING_F32: return width * 4;
            case MORTISE_ENCODING_BF16:
            case MORTISE_ENCODING_F16: return width * 2;
            case MORTISE_ENCODING_E2M1: return width / 2 + width / 16;
            default: return width;
        }
    }
    void write(const float* x, uint8_t* row) const {
        if (encoding == MORTISE_ENCODING_E2M1) return write_blocks(x, row);
        for (uint64_t i = 0; i < width; i++) {
            const float moved = bias ? x[i] - bias[i] : x[i];
            switch (encoding) {
                case MORTISE_ENCODING_F32: put(row, i, moved); break;
                case MORTISE_ENCODING_BF16: put(row, i, to_bf16(moved)); break;
                case MORTISE_ENCODING_F16: put(row, i, to_f16(moved)); break;
                case MORTISE_ENCODING_E4M3: row[i] = to_small(small_e4m3, moved / scale); break;
                case MORTISE_ENCODING_E5M2: row[i] = to_small(small_e5m2, moved / scale); break;
                default: row[i] = to_int8(moved / scale + zero);
            }
        }
    }
    void read(const uint8_t* row, float* out) const {
        if (encoding == MORTISE_ENCODING_E2M1) return read_blocks(row, out);
        for (uint64_t i = 0; i < width; i++) {
            switch (encoding) {
                case MORTISE_ENCODING_F32: out[i] = get<float>(row, i); break;
                case MORTISE_ENCODING_BF16: out[i] = from_bf16(get<uint16_t>(row, i)); break;
                case MORTISE_ENCODING_F16: out[i] = from_f16(get<uint16_t>(row, i)); break;
                case MORTISE_ENCODING_E4M3: out[i] = from_small(small_e4m3, row[i]) * scale; break;
                case MORTISE_ENCODING_E5M2: out[i] = from_small(small_e5m2, row[i]) * scale; break;
                default: out[i] = (static_cast<float>(static_cast<int8_t>(row[i])) - zero) * scale;
            }
            if (bias) out[i] += bias[i];
        }
    }

  private:
    template <class T>
    static void put(uint8_t* row, uint64_t i, T value) {
        std::memcpy(row + i * sizeof(T), &value, sizeof(T));
    }
    template <class T>
    static T get(const uint8_t* row, uint64_t i) {
        T value;
        std::memcpy(&value, row + i * sizeof(T), sizeof(T));
        return value;
    }
    static uint8_t to_int8(float value) {
        const float code = std::isnan(value) ? 0 : std::nearbyint(std::clamp(value, -128.0f, 127.0f));
        return static_cast<uint8_t>(static_cast<int8_t>(code));
    }
    void write_blocks(const float* x, uint8_t* row) const {
        uint8_t* scales = row + width / 2;
        for (uint64_t block = 0; block < width / 16; block++) {
            float moved[16], amax = 0;
            for (uint64_t i = 0; i < 16; i++) {
                moved[i] = bias ? x[block * 16 + i] - bias[block * 16 + i] : x[block * 16 + i];
                amax = std::max(amax, std::fabs(moved[i]));
            }
            const float wanted = amax == 0 ? 1 : amax / (6 * scale);
            scales[block] = to_small(small_e4m3, std::clamp(wanted, 0x1p-9f, 448.0f));
            const float step = from_small(small_e4m3, scales[block]) * scale;
            for (uint64_t i = 0; i < 16; i += 2)
                row[block * 8 + i / 2] = static_cast<uint8_t>(to_small(small_e2m1, moved[i] / step) |
                                                              to_small(small_e2m1, moved[i + 1] / step) << 4);
        }
    }
    void read_blocks(const uint8_t* row, float* out) const {
        for (uint64_t i = 0; i < width; i++) {
            const float step = from_small(small_e4m3, row[width / 2 + i / 16]) * scale;
            out[i] = from_small(small_e2m1, row[i / 2] >> (i % 2 * 4) & 15) * step;
            if (bias) out[i] += bias[i];
        }
    }
};

// Effect: the rows of head `head` of the keys, of the values, and how a query head is quantized on its way.
inline float cache_number(const float* numbers, uint32_t per_head, uint64_t head, float absent) {
    return numbers ? numbers[per_head ? head : 0] : absent;
}
inline CacheRow key_rows(const mortise_cache& cache, uint64_t head, uint64_t head_dim) {
    CacheRow rows{.encoding = cache.encoding, .width = head_dim};
    rows.scale = cache_number(cache.k_scale, cache.scales_per_head, head, 1);
    rows.zero = cache_number(cache.k_zero, cache.scales_per_head, head, 0);
    if (cache.k_bias) rows.bias = cache.k_bias + head * head_dim;
    return rows;
}
inline CacheRow value_rows(const mortise_cache& cache, uint64_t head, uint64_t head_dim) {
    CacheRow rows{.encoding = cache.encoding, .width = head_dim};
    rows.scale = cache_number(cache.v_scale, cache.scales_per_head, head, 1);
    rows.zero = cache_number(cache.v_zero, cache.scales_per_head, head, 0);
    if (cache.v_bias) rows.bias = cache.v_bias + head * head_dim;
    return rows;
}
inline CacheRow query_rows(const mortise_cache& cache, uint64_t head, uint64_t head_dim) {
    CacheRow rows{.encoding = cache.encoding, .width = head_dim};
    rows.scale = cache_number(cache.q_scale, cache.scales_per_head, head, 1);
    return rows;
}

// Effect: true iff rows of this encoding can be kept for heads of these sizes.
inline bool cache_rows_known(uint32_t encoding, uint64_t head_dim, uint64_t v_head_dim) {
    switch (encoding) {
        case MORTISE_ENCODING_F32:
        case MORTISE_ENCODING_BF16:
        case MORTISE_ENCODING_F16:
        case MORTISE_ENCODING_E4M3:
        case MORTISE_ENCODING_E5M2:
        case MORTISE_ENCODING_TWOS: return true;
        case MORTISE_ENCODING_E2M1: return head_dim % 16 == 0 && v_head_dim % 16 == 0;
        default: return false;
    }
}

}  // namespace mortise::sdk
