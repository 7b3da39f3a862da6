// Sixteen f32 lanes in one 512-bit register. Included by this folder's sources only; everything has internal
// linkage, so that no function compiled for this level can be linked into another.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace mortise::cpu {
namespace {

struct F {
    __m512 v;
};
struct I {
    __m512i v;
};

constexpr bool fused = true;                             // fma rounds once
constexpr int gemm_row_block = 8, gemm_panel_block = 3;  // of the f32 matrix product: 24 accumulators
constexpr int score_rows = 4, score_vectors = 4;         // of attention

inline F zero() { return {_mm512_setzero_ps()}; }
inline F set(float x) { return {_mm512_set1_ps(x)}; }
inline F load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F x) { _mm512_storeu_ps(p, x.v); }
inline __mmask16 first_lanes(uint64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline F load_n(const float* p, uint64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store_n(float* p, F x, uint64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), x.v); }
inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline float sum(F x) { return _mm512_reduce_add_ps(x.v); }
inline float largest(F x) { return _mm512_reduce_max_ps(x.v); }
// a < b ? x : y, lane by lane; unordered counts as not less.
inline F where_less(F a, F b, F x, F y) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
// The NaN lanes of `test`, else those of `x`.
inline F keep_nan(F test, F x) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(test.v, test.v, _CMP_UNORD_Q), x.v, test.v)};
}

inline I load_bits(const void* p) { return {_mm512_loadu_si512(p)}; }
// What is shifted seven times must not be loaded seven times: the compiler would, and loads are the limit.
inline I in_register(I x) {
    asm("" : "+v"(x.v));
    return x;
}
inline I set_bits(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline void store_bits(void* p, I x) { _mm512_storeu_si512(p, x.v); }
inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int N>
inline I shift_left(I x) {
    return {_mm512_slli_epi32(x.v, N)};
}
template <int N>
inline I shift_right(I x) {
    return {_mm512_srli_epi32(x.v, N)};
}
template <int N>
inline I shift_signed(I x) {
    return {_mm512_srai_epi32(x.v, N)};
}
inline F to_float(I x) { return {_mm512_cvtepi32_ps(x.v)}; }
inline I to_nearest(F x) { return {_mm512_cvtps_epi32(x.v)}; }
inline F as_float(I x) { return {_mm512_castsi512_ps(x.v)}; }
inline I as_bits(F x) { return {_mm512_castps_si512(x.v)}; }
inline F lane_numbers() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }

inline F load_bytes(const uint8_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline F load_bf16(const uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
inline F load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
// Sixteen bytes as halves, ready to become the upper or lower byte of an f16.
inline __m256i widen_bytes(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
// 2^-8 of the value, see decode_e4m3.
inline F load_e4m3(const uint8_t* p) {
    const __m256i x = widen_bytes(p), sign = _mm256_set1_epi16(static_cast<short>(0x8000)),
                  rest = _mm256_set1_epi16(0x3f80);
    return {_mm512_cvtph_ps(_mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(x, 8), sign),
                                            _mm256_and_si256(_mm256_slli_epi16(x, 7), rest)))};
}
inline F load_e5m2(const uint8_t* p) { return {_mm512_cvtph_ps(_mm256_slli_epi16(widen_bytes(p), 8))}; }
inline F load_int8(const uint8_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
// The low 16 bits of each lane.
inline void store_halves(uint16_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x.v));
}
inline void store_bytes(uint8_t* p, I x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x.v));
}
inline void store_f16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

constexpr bool bytes_pay = false;  // the permutation of f32 lanes needs no more instructions

struct Table {
    __m512 v;
};
inline Table make_table(const float* values) { return {_mm512_loadu_ps(values)}; }
// The permutation reads four bits of each index: no mask is needed.
template <int Shift>
inline F look_up(Table table, I codes) {
    return {_mm512_permutexvar_ps(_mm512_srli_epi32(codes.v, Shift), table.v)};
}

// e4m3 bits moved into the exponent and mantissa of f16 read 2^-8 of their value, subnormals included, and
// the conversion to f32 takes no assist. 0x7f and 0xff are not numbers and must have been dealt with before.
// The arithmetic shift leaves the sign where it is; its copy below is cut off.
inline void decode_e4m3(const uint8_t* p, F (&w)[4]) {
    const __m512i kept = _mm512_set1_epi16(static_cast<short>(0xbf80));
    const __m512i high = _mm512_loadu_si512(p), low = _mm512_slli_epi16(high, 8);
    const __m512i h = _mm512_and_si512(_mm512_srai_epi16(high, 1), kept);
    const __m512i l = _mm512_and_si512(_mm512_srai_epi16(low, 1), kept);
    w[0].v = _mm512_cvtph_ps(_mm512_castsi512_si256(l));
    w[1].v = _mm512_cvtph_ps(_mm512_castsi512_si256(h));
    w[2].v = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(l, 1));
    w[3].v = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(h, 1));
}

}  // namespace
}  // namespace mortise::cpu
