// Codes of 16 rows to f32 lanes, a few columns at a time, for each kind of packing.h. Textual part of a
// backend: included after its vec.h.
#pragma once

#include "../packing.h"

namespace mortise::cpu {
namespace {

// Of which codes a decoder takes how many columns at a call, and whether its sums want to be multiplied.
template <Kind K, int Step, bool Multiplies = false>
struct Decoding {
    static constexpr Kind kind = K;
    static constexpr int step = Step;
    static constexpr bool multiplies = Multiplies;
};

template <Kind K>
struct Decoder;

// The values divided by `factor`, a power of two that belongs on their sums, from signed bytes: defined by
// levels where that pays, for packings with a byte_unit.
template <Kind K>
struct ByteDecoder;

// A column's place among those of one call, as a type: what it indexes stays in registers.
template <int J>
struct Column {
    static constexpr int j = J;
};

template <>
struct Decoder<Kind::f32> : Decoding<Kind::f32, 4> {
    explicit Decoder(const Packing&) {}
    void operator()(const uint8_t* p, F (&w)[step]) const {
        for (int j = 0; j < step; j++) w[j] = load(reinterpret_cast<const float*>(p) + j * 16);
    }
};

template <>
struct Decoder<Kind::f16> : Decoding<Kind::f16, 4> {
    explicit Decoder(const Packing&) {}
    void operator()(const uint8_t* p, F (&w)[step]) const {
        for (int j = 0; j < step; j++) w[j] = load_f16(reinterpret_cast<const uint16_t*>(p) + j * 16);
    }
};

template <>
struct Decoder<Kind::bf16> : Decoding<Kind::bf16, 4> {
    explicit Decoder(const Packing&) {}
    void operator()(const uint8_t* p, F (&w)[step]) const {
        for (int j = 0; j < step; j += 2) {
            const I pair = load_bits(p + j * 32);
            w[j] = as_float(shift_left<16>(pair));
            w[j + 1] = as_float(pair & set_bits(static_cast<int32_t>(0xffff0000)));
        }
    }
};

template <>
struct Decoder<Kind::int8> : Decoding<Kind::int8, 4> {
    explicit Decoder(const Packing&) {}
    void operator()(const uint8_t* p, F (&w)[step]) const {
        const I four = in_register(load_bits(p));
        w[0] = to_float(shift_signed<24>(shift_left<24>(four)));
        w[1] = to_float(shift_signed<24>(shift_left<16>(four)));
        w[2] = to_float(shift_signed<24>(shift_left<8>(four)));
        w[3] = to_float(shift_signed<24>(four));
    }
};

template <>
struct Decoder<Kind::e4m3> : Decoding<Kind::e4m3, 4> {
    explicit Decoder(const Packing&) {}
    void operator()(const uint8_t* p, F (&w)[step]) const { decode_e4m3(p, w); }
};

template <>
struct Decoder<Kind::code4> : Decoding<Kind::code4, 8> {
    explicit Decoder(const Packing& packing) : table(make_table(packing.table)) {}
    // One column after the other: eight at once would not fit the registers of every level.
    template <class Use>
    void each(const uint8_t* p, Use use) const {
        const I eight = in_register(load_bits(p));
        use(Column<0>(), look_up<0>(table, eight));
        use(Column<1>(), look_up<8>(table, eight));
        use(Column<2>(), look_up<16>(table, eight));
        use(Column<3>(), look_up<24>(table, eight));
        use(Column<4>(), look_up<4>(table, eight));
        use(Column<5>(), look_up<12>(table, eight));
        use(Column<6>(), look_up<20>(table, eight));
        use(Column<7>(), look_up<28>(table, eight));
    }
    void operator()(const uint8_t* p, F (&w)[step]) const {
        each(p, [&](auto column, F value) { w[column.j] = value; });
    }
    Table table;
};

// Effect: use(Column<j>(), w) for each column of one call.
template <class D, class Use>
inline void decode_each(const D& decoder, const uint8_t* p, Use use) {
    if constexpr (D::multiplies || D::kind == Kind::code4) {
        decoder.each(p, use);
    } else {
        F w[D::step];
        decoder(p, w);
        static_assert(D::step == 4);
        use(Column<0>(), w[0]);
        use(Column<1>(), w[1]);
        use(Column<2>(), w[2]);
        use(Column<3>(), w[3]);
    }
}

// Bytes that one call of a decoder takes.
template <Kind K>
constexpr uint64_t step_bytes = Decoder<K>::step * panel_rows * code_bits(K) / 8;

// Effect: f<kind>(arguments...) for the kind of the packing.
#define MORTISE_FOR_KIND(kind, f, ...)                        \
    switch (kind) {                                           \
        case Kind::f32: f<Kind::f32>(__VA_ARGS__); break;     \
        case Kind::f16: f<Kind::f16>(__VA_ARGS__); break;     \
        case Kind::bf16: f<Kind::bf16>(__VA_ARGS__); break;   \
        case Kind::int8: f<Kind::int8>(__VA_ARGS__); break;   \
        case Kind::e4m3: f<Kind::e4m3>(__VA_ARGS__); break;   \
        case Kind::code4: f<Kind::code4>(__VA_ARGS__); break; \
    }

inline const uint8_t* panel_of(const Packing& packing, const uint8_t* packed, uint64_t panel) {
    return packed + panel * packing.panel_bytes();
}

// What follows the codes of group g in its record: scales, unless they lie apart, then offsets.
inline const float* tail_of(const Packing& packing, const uint8_t* panel, uint64_t g) {
    return reinterpret_cast<const float*>(panel + packing.end(g) * packing.column_bytes() +
                                          g * packing.tail_bytes());
}

inline F scale_of(const Packing& packing, const uint8_t* panel, uint64_t g) {
    if (!packing.has_scale) return set(1);
    if (!packing.scales_apart()) return load(tail_of(packing, panel, g));
    const uint16_t* at = reinterpret_cast<const uint16_t*>(panel + packing.scales()) + g * panel_rows;
    return (packing.scale_as == Kind::bf16 ? load_bf16(at) : load_f16(at)) * set(packing.unit());
}

// The offsets of a group whose scales are `scale`.
inline F offsets_of(const Packing& packing, const uint8_t* panel, uint64_t g, F scale) {
    if (packing.has_zero)
        return (set(packing.centre) - load_bytes(panel + packing.zeros() + g * panel_rows)) * scale;
    return packing.has_offset ? load(tail_of(packing, panel, g) + packing.scale_floats()) : zero();
}

inline uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

// Effect: use(column, w) for the decoded columns [first, last) of one panel, Decoder::step at a time, scaled
// and shifted unless `raw`. Requires: first and last are multiples of 8.
template <Kind K, class Use>
inline void decode_columns(const Packing& packing, const uint8_t* panel, uint64_t first, uint64_t last,
                           bool raw, Use use) {
    const Decoder<K> decoder(packing);
    for (uint64_t column = first; column < last;) {
        const uint64_t g = packing.group_of(column), end = least(last, packing.end(g));
        const uint8_t* codes =
            panel + packing.record(g) + (column - packing.begin(g)) * packing.column_bytes();
        const bool scaled = !raw && packing.has_scale, shifted = !raw && packing.shifted();
        const F scale = scaled ? scale_of(packing, panel, g) : set(1);
        const F offset = shifted ? offsets_of(packing, panel, g, scale) : zero();
        for (; column < end; column += Decoder<K>::step, codes += step_bytes<K>) {
            prefetch(codes + 1024);
            F w[Decoder<K>::step];
            decoder(codes, w);
            if (scaled || shifted) {
                for (int j = 0; j < Decoder<K>::step; j++) w[j] = fma(w[j], scale, offset);
            }
            use(column, w);
        }
    }
}

}  // namespace
}  // namespace mortise::cpu
