// Sixteen f32 lanes as four vectors of four: plain C++ with the compiler's portable vectors, for any
// processor. Included by this folder's sources only; everything has internal linkage.
#pragma once

#include <cstdint>
#include <cstring>

namespace mortise::cpu {
namespace {

using F4 = float __attribute__((vector_size(16)));
using I4 = int32_t __attribute__((vector_size(16)));

struct F {
    F4 a, b, c, d;
};
struct I {
    I4 a, b, c, d;
};

constexpr bool fused = false;                            // fma may round twice
constexpr int gemm_row_block = 2, gemm_panel_block = 1;  // of the f32 matrix product: 8 accumulators
constexpr int score_rows = 1, score_vectors = 2;         // of attention

// f(quarter of each argument) for all four.
#define MORTISE_EACH(type, expression) \
    type { expression(a), expression(b), expression(c), expression(d) }

inline F zero() { return F{}; }
inline F set(float x) { return {F4{} + x, F4{} + x, F4{} + x, F4{} + x}; }
inline F load(const float* p) {
    F x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
inline void store(float* p, F x) { std::memcpy(p, &x, sizeof x); }
inline F load_n(const float* p, uint64_t n) {
    float buffer[16] = {};
    std::memcpy(buffer, p, n * sizeof(float));
    return load(buffer);
}
inline void store_n(float* p, F x, uint64_t n) { std::memcpy(p, &x, n * sizeof(float)); }
#define MORTISE_ADD(q) x.q + y.q
#define MORTISE_SUB(q) x.q - y.q
#define MORTISE_MUL(q) x.q* y.q
#define MORTISE_DIV(q) x.q / y.q
#define MORTISE_FMA(q) x.q* y.q + z.q
#define MORTISE_MIN(q) x.q < y.q ? x.q : y.q
#define MORTISE_MAX(q) x.q > y.q ? x.q : y.q
inline F operator+(F x, F y) { return MORTISE_EACH(F, MORTISE_ADD); }
inline F operator-(F x, F y) { return MORTISE_EACH(F, MORTISE_SUB); }
inline F operator*(F x, F y) { return MORTISE_EACH(F, MORTISE_MUL); }
inline F operator/(F x, F y) { return MORTISE_EACH(F, MORTISE_DIV); }
inline F fma(F x, F y, F z) { return MORTISE_EACH(F, MORTISE_FMA); }
inline F min(F x, F y) { return MORTISE_EACH(F, MORTISE_MIN); }
inline F max(F x, F y) { return MORTISE_EACH(F, MORTISE_MAX); }
inline float sum(F x) {
    const F4 s = (x.a + x.b) + (x.c + x.d);
    return (s[0] + s[1]) + (s[2] + s[3]);
}
inline float largest(F x) {
    const F4 low = x.a > x.b ? x.a : x.b, high = x.c > x.d ? x.c : x.d, s = low > high ? low : high;
    const float p = s[0] > s[1] ? s[0] : s[1], q = s[2] > s[3] ? s[2] : s[3];
    return p > q ? p : q;
}
// a < b ? x : y, lane by lane; unordered counts as not less.
inline F where_less(F s, F t, F x, F y) {
#define MORTISE_WHERE(q) s.q < t.q ? x.q : y.q
    return MORTISE_EACH(F, MORTISE_WHERE);
}
// The NaN lanes of `test`, else those of `x`.
inline F keep_nan(F test, F x) {
#define MORTISE_KEEP(q) test.q != test.q ? test.q : x.q
    return MORTISE_EACH(F, MORTISE_KEEP);
}

inline I load_bits(const void* p) {
    I x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
inline void store_bits(void* p, I x) { std::memcpy(p, &x, sizeof x); }
inline I in_register(I x) { return x; }
inline I set_bits(int32_t x) { return {I4{} + x, I4{} + x, I4{} + x, I4{} + x}; }
#define MORTISE_AND(q) x.q & y.q
#define MORTISE_OR(q) x.q | y.q
#define MORTISE_XOR(q) x.q ^ y.q
inline I operator^(I x, I y) { return MORTISE_EACH(I, MORTISE_XOR); }
inline I operator+(I x, I y) { return MORTISE_EACH(I, MORTISE_ADD); }
inline I operator&(I x, I y) { return MORTISE_EACH(I, MORTISE_AND); }
inline I operator|(I x, I y) { return MORTISE_EACH(I, MORTISE_OR); }
template <int N>
inline I shift_left(I x) {
#define MORTISE_LEFT(q) x.q << N
    return MORTISE_EACH(I, MORTISE_LEFT);
}
template <int N>
inline I shift_signed(I x) {
#define MORTISE_SIGNED(q) x.q >> N
    return MORTISE_EACH(I, MORTISE_SIGNED);
}
template <int N>
inline I shift_right(I x) {
    return shift_signed<N>(x) & set_bits(static_cast<int32_t>(0xffffffffu >> N));
}
inline F to_float(I x) {
#define MORTISE_FLOAT(q) __builtin_convertvector(x.q, F4)
    return MORTISE_EACH(F, MORTISE_FLOAT);
}
inline F as_float(I x) {
    F y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}
inline I as_bits(F x) {
    I y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}
// Requires: |x| < 2^22. Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits.
inline I to_nearest(F x) { return as_bits(x + set(12582912.0f)) + set_bits(-0x4b400000); }
inline F lane_numbers() { return {F4{0, 1, 2, 3}, F4{4, 5, 6, 7}, F4{8, 9, 10, 11}, F4{12, 13, 14, 15}}; }

inline float half_value(uint16_t bits) {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    uint32_t wide = sign | (magnitude >= 0x7c00u ? 0x7f800000u | (magnitude & 0x3ffu) << 13
                                                 : (magnitude << 13) + 0x38000000u);
    float value;
    std::memcpy(&value, &wide, 4);
    if (magnitude >= 0x400u) return value;
    const float tiny = static_cast<float>(magnitude) * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -tiny : tiny;
}
inline F load_bytes(const uint8_t* p) {
    float wide[16];
    for (int i = 0; i < 16; i++) wide[i] = p[i];
    return load(wide);
}
inline F load_bf16(const uint16_t* p) {
    uint32_t wide[16];
    for (int i = 0; i < 16; i++) wide[i] = static_cast<uint32_t>(p[i]) << 16;
    return as_float(load_bits(wide));
}
inline F load_f16(const uint16_t* p) {
    float wide[16];
    for (int i = 0; i < 16; i++) wide[i] = half_value(p[i]);
    return load(wide);
}
// The low 16 bits of each lane.
inline void store_halves(uint16_t* p, I x) {
    uint32_t wide[16];
    store_bits(wide, x);
    for (int i = 0; i < 16; i++) p[i] = static_cast<uint16_t>(wide[i]);
}
// The low byte of each lane.
inline void store_bytes(uint8_t* p, I x) {
    uint32_t wide[16];
    store_bits(wide, x);
    for (int i = 0; i < 16; i++) p[i] = static_cast<uint8_t>(wide[i]);
}
inline uint16_t half_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | (bits >> 13 & 0x3ffu));
    if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (bits >= 0x38800000u)
        return static_cast<uint16_t>(sign | (bits - 0x38000000u + 0xfffu + (bits >> 13 & 1)) >> 13);
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;  // rounds at 2^-24 to nearest even
    std::memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
}
inline void store_f16(uint16_t* p, F x) {
    float wide[16];
    store(wide, x);
    for (int i = 0; i < 16; i++) p[i] = half_bits(wide[i]);
}
inline void prefetch(const void* p) { __builtin_prefetch(p); }

constexpr bool bytes_pay = false;

struct Table {
    const float* values;
};
inline Table make_table(const float* values) { return {values}; }
template <int Shift>
inline F look_up(Table table, I codes) {
    uint32_t index[16];
    float wide[16];
    store_bits(index, codes);
    for (int i = 0; i < 16; i++) wide[i] = table.values[index[i] >> Shift & 15];
    return load(wide);
}

// e4m3 bits moved into the exponent and mantissa of f32 read 2^-120 of their value; here subnormals are
// replaced through their integer mantissa, so no f32 subnormal arises. Scaled to 2^-8 like the other levels.
inline F e4m3_lanes(I bytes) {
    const I magnitude = bytes & set_bits(0x7f);
    const F normal = as_float(shift_left<20>(magnitude) + set_bits((120 - 8) << 23));
    const F tiny = to_float(magnitude) * set(0x1p-17f);  // 2^-9 units of 2^-8
    const F value = where_less(to_float(magnitude), set(8), tiny, normal);
    return as_float(as_bits(value) | shift_left<24>(bytes & set_bits(0x80)));
}
inline I widen_bytes(const uint8_t* p) {
    int32_t wide[16];
    for (int i = 0; i < 16; i++) wide[i] = p[i];
    return load_bits(wide);
}
inline F load_e4m3(const uint8_t* p) { return e4m3_lanes(widen_bytes(p)); }
inline F load_e5m2(const uint8_t* p) {
    uint16_t halves[16];
    for (int i = 0; i < 16; i++) halves[i] = static_cast<uint16_t>(p[i] << 8);
    return load_f16(halves);
}
inline F load_int8(const uint8_t* p) { return to_float(shift_signed<24>(shift_left<24>(widen_bytes(p)))); }
inline void decode_e4m3(const uint8_t* p, F (&w)[4]) {
    for (int pair = 0; pair < 2; pair++) {
        int32_t even[16], odd[16];
        for (int i = 0; i < 16; i++) {
            even[i] = p[pair * 32 + 2 * i];
            odd[i] = p[pair * 32 + 2 * i + 1];
        }
        w[2 * pair] = e4m3_lanes(load_bits(even));
        w[2 * pair + 1] = e4m3_lanes(load_bits(odd));
    }
}

}  // namespace
}  // namespace mortise::cpu
