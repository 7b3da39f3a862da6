// Codes whose values are small integers times a power of two, as signed bytes: one instruction looks up 32
// codes of four bits, another brings one byte of each lane where the conversion reads it, three fewer than by
// floats.
#pragma once

#include "../simd/decode.h"

namespace mortise::cpu {
namespace {

constexpr float high_byte_unit = 0x1p-24f;

// The table's entry for every byte. Requires: each of them is less than 16.
inline I look_up_bytes(__m256i table, I codes) {
    return {_mm256_shuffle_epi8(table, codes.a), _mm256_shuffle_epi8(table, codes.b)};
}

// Byte J of each lane, signed, divided by high_byte_unit.
template <int J>
inline F high_byte(I x) {
    const __m128i order =
        _mm_setr_epi8(-1, -1, -1, J, -1, -1, -1, J + 4, -1, -1, -1, J + 8, -1, -1, -1, J + 12);
    const __m256i both = _mm256_broadcastsi128_si256(order);
    return to_float({_mm256_shuffle_epi8(x.a, both), _mm256_shuffle_epi8(x.b, both)});
}

template <>
struct ByteDecoder<Kind::int8> : Decoding<Kind::int8, 4, true> {
    explicit ByteDecoder(const Packing& packing) : factor(packing.byte_unit * high_byte_unit) {}
    template <class Use>
    void each(const uint8_t* p, Use use) const {
        const I four = in_register(load_bits(p));
        use(Column<0>(), high_byte<0>(four));
        use(Column<1>(), high_byte<1>(four));
        use(Column<2>(), high_byte<2>(four));
        use(Column<3>(), high_byte<3>(four));
    }
    float factor;
};

template <>
struct ByteDecoder<Kind::code4> : Decoding<Kind::code4, 8, true> {
    explicit ByteDecoder(const Packing& packing)
        : table(
              _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packing.bytes)))),
          factor(packing.byte_unit * high_byte_unit) {}
    template <class Use>
    void each(const uint8_t* p, Use use) const {
        const I eight = in_register(load_bits(p)), nibble = set_bits(0x0f0f0f0f);
        const I low = look_up_bytes(table, eight & nibble);
        use(Column<0>(), high_byte<0>(low));
        use(Column<1>(), high_byte<1>(low));
        use(Column<2>(), high_byte<2>(low));
        use(Column<3>(), high_byte<3>(low));
        const I high = look_up_bytes(table, shift_right<4>(eight) & nibble);
        use(Column<4>(), high_byte<0>(high));
        use(Column<5>(), high_byte<1>(high));
        use(Column<6>(), high_byte<2>(high));
        use(Column<7>(), high_byte<3>(high));
    }
    __m256i table;
    float factor;
};

}  // namespace
}  // namespace mortise::cpu
