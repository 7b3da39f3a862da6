// Sixteen f32 lanes in two 256-bit registers. Included by this folder's sources only; everything has internal
// linkage, so that no function compiled for this level can be linked into another.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace mortise::cpu {
namespace {

struct F {
    __m256 a, b;
};
struct I {
    __m256i a, b;
};

constexpr bool fused = true;                             // fma rounds once
constexpr int gemm_row_block = 6, gemm_panel_block = 1;  // of the f32 matrix product: 12 accumulators
constexpr int score_rows = 2, score_vectors = 2;         // of attention

inline F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline F load_n(const float* p, uint64_t n) {
    alignas(32) float buffer[16] = {};
    std::memcpy(buffer, p, n * sizeof(float));
    return load(buffer);
}
inline void store_n(float* p, F x, uint64_t n) {
    alignas(32) float buffer[16];
    store(buffer, x);
    std::memcpy(p, buffer, n * sizeof(float));
}
inline F operator+(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F operator-(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F operator*(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F operator/(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline float sum(F x) {
    const __m256 both = _mm256_add_ps(x.a, x.b);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float largest(F x) {
    const __m256 both = _mm256_max_ps(x.a, x.b);
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
// a < b ? x : y, lane by lane; unordered counts as not less.
inline F where_less(F a, F b, F x, F y) {
    return {_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
            _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
// The NaN lanes of `test`, else those of `x`.
inline F keep_nan(F test, F x) {
    return {_mm256_blendv_ps(x.a, test.a, _mm256_cmp_ps(test.a, test.a, _CMP_UNORD_Q)),
            _mm256_blendv_ps(x.b, test.b, _mm256_cmp_ps(test.b, test.b, _CMP_UNORD_Q))};
}

inline I load_bits(const void* p) {
    const __m256i* at = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}
inline void store_bits(void* p, I x) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x.a);
    _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, x.b);
}
// What is shifted seven times must not be loaded seven times: the compiler would, and loads are the limit.
inline I in_register(I x) {
    asm("" : "+x"(x.a), "+x"(x.b));
    return x;
}
inline I set_bits(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I operator+(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline I operator&(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
inline I operator^(I x, I y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
inline I operator|(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
template <int N>
inline I shift_left(I x) {
    return {_mm256_slli_epi32(x.a, N), _mm256_slli_epi32(x.b, N)};
}
template <int N>
inline I shift_right(I x) {
    return {_mm256_srli_epi32(x.a, N), _mm256_srli_epi32(x.b, N)};
}
template <int N>
inline I shift_signed(I x) {
    return {_mm256_srai_epi32(x.a, N), _mm256_srai_epi32(x.b, N)};
}
inline F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline I to_nearest(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline F as_float(I x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
inline I as_bits(F x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
inline F lane_numbers() {
    return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15)};
}

inline F load_bytes(const uint8_t* p) {
    const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(all)),
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(all, 8)))};
}
inline __m128i load_eight(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline F load_bf16(const uint16_t* p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_eight(p)), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_eight(p + 8)), 16))};
}
inline F load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(load_eight(p)), _mm256_cvtph_ps(load_eight(p + 8))};
}
// Sixteen bytes as halves, ready to become the upper or lower byte of an f16.
inline __m256i widen_bytes(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F from_halves(__m256i x) {
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
}
// 2^-8 of the value, see decode_pairs.
inline F load_e4m3(const uint8_t* p) {
    const __m256i x = widen_bytes(p), sign = _mm256_set1_epi16(static_cast<short>(0x8000)),
                  rest = _mm256_set1_epi16(0x3f80);
    return from_halves(_mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(x, 8), sign),
                                       _mm256_and_si256(_mm256_slli_epi16(x, 7), rest)));
}
inline F load_e5m2(const uint8_t* p) { return from_halves(_mm256_slli_epi16(widen_bytes(p), 8)); }
inline F load_int8(const uint8_t* p) {
    const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(all)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(all, 8)))};
}
// The low 16 bits of each lane.
inline void store_halves(uint16_t* p, I x) {
    const __m256i low = _mm256_set1_epi32(0xffff);
    const __m256i mixed = _mm256_packus_epi32(_mm256_and_si256(x.a, low), _mm256_and_si256(x.b, low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xd8));
}
// The low byte of each lane.
inline void store_bytes(uint8_t* p, I x) {
    alignas(32) uint32_t wide[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(wide), x.a);
    _mm256_store_si256(reinterpret_cast<__m256i*>(wide + 8), x.b);
    for (int i = 0; i < 16; i++) p[i] = static_cast<uint8_t>(wide[i]);
}
inline void store_f16(uint16_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

constexpr bool bytes_pay = true;  // see bytes.h

struct Table {
    __m256 low, high;
};
inline Table make_table(const float* values) {
    return {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
}
// Three bits of the index choose within a half, the fourth, moved to the sign, chooses the half.
template <int Shift>
inline __m256 look_up_eight(Table table, __m256i codes) {
    const __m256i index = _mm256_srli_epi32(codes, Shift);
    const __m256 half = _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28 - Shift));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index),
                            _mm256_permutevar8x32_ps(table.high, index), half);
}
template <int Shift>
inline F look_up(Table table, I codes) {
    return {look_up_eight<Shift>(table, codes.a), look_up_eight<Shift>(table, codes.b)};
}

// e4m3 bits moved into the exponent and mantissa of f16 read 2^-8 of their value, subnormals included, and
// the conversion to f32 takes no assist. 0x7f and 0xff are not numbers and must have been dealt with before.
// The arithmetic shift leaves the sign where it is; its copy below is cut off.
inline void decode_pairs(const uint8_t* p, F& even, F& odd) {
    const __m256i kept = _mm256_set1_epi16(static_cast<short>(0xbf80));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                  low = _mm256_slli_epi16(high, 8);
    const __m256i h = _mm256_and_si256(_mm256_srai_epi16(high, 1), kept);
    const __m256i l = _mm256_and_si256(_mm256_srai_epi16(low, 1), kept);
    even = {_mm256_cvtph_ps(_mm256_castsi256_si128(l)), _mm256_cvtph_ps(_mm256_extracti128_si256(l, 1))};
    odd = {_mm256_cvtph_ps(_mm256_castsi256_si128(h)), _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1))};
}
inline void decode_e4m3(const uint8_t* p, F (&w)[4]) {
    decode_pairs(p, w[0], w[1]);
    decode_pairs(p + 32, w[2], w[3]);
}

}  // namespace
}  // namespace mortise::cpu
