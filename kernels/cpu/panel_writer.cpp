#include "panel_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "packer.h"

namespace mortise::cpu {
namespace {

uint64_t element_bytes(const Packing& packing) { return std::max<uint64_t>(1, code_bits(packing.kind) / 8); }

// A number that e4m3 holds, as its bits: f16 has the same fields with a larger bias and longer mantissa.
uint8_t e4m3_bits(float value) {
    if (std::isnan(value)) return 0x7f;
    const uint16_t half = sdk::to_f16(value * 0x1p-8f);
    return static_cast<uint8_t>((half >> 8 & 0x80) | (half >> 7 & 0x7f));
}

constexpr uint64_t chunk =
    64;  // columns of one row before the next row's turn: what they fill stays in the cache

// Effect: each `Columns` elements of T from `from` on become a word, make(word, number of elements), 16 words
// apart.
template <class T, uint64_t Columns, class Word, class Make>
void interleave(const uint8_t* from, uint64_t count, uint8_t* out, Make make) {
    static_assert(sizeof(T) * Columns <= sizeof(uint64_t));
    for (uint64_t k = 0; k < count;
         k += Columns, from += Columns * sizeof(T), out += panel_rows * sizeof(Word)) {
        uint64_t elements = 0;
        if (count - k >= Columns)
            std::memcpy(&elements, from, Columns * sizeof(T));
        else
            std::memcpy(&elements, from, (count - k) * sizeof(T));
        const Word word = make(elements);
        std::memcpy(out, &word, sizeof word);
    }
}

template <class T, uint64_t Columns>
void spread(const uint8_t* from, uint64_t count, uint8_t* out) {
    using Word = std::conditional_t<sizeof(T) * Columns == 4, uint32_t, uint16_t>;
    interleave<T, Columns, Word>(from, count, out, [](uint64_t x) { return static_cast<Word>(x); });
}

// Four codes less their middle; bits of a byte never reach the next one.
void write_bytes(const uint8_t* from, uint32_t bits, uint64_t count, uint8_t* out) {
    constexpr uint32_t ones = 0x01010101, high = 0x80808080;
    const uint32_t middle = bits == 8 ? 0 : ones << (bits - 1);
    const uint32_t guard = bits == 8 ? 0 : high;
    interleave<uint8_t, 4, uint32_t>(
        from, count, out, [&](uint64_t x) { return ((static_cast<uint32_t>(x) | guard) - middle) ^ high; });
}

// Pairs of columns; true when one of them is not a number: the sum carries into the sign of a byte of all
// ones.
bool write_pairs(const uint8_t* from, uint64_t count, uint8_t* out) {
    uint32_t carries = 0;
    interleave<uint8_t, 2, uint16_t>(from, count, out, [&](uint64_t x) {
        carries |= (static_cast<uint32_t>(x) & 0x7f7f) + 0x0101;
        return static_cast<uint16_t>(x);
    });
    return (carries & 0x8080) != 0;
}

void write_nibbles(const uint8_t* from, uint64_t count, uint8_t* out) {
    interleave<uint8_t, 8, uint32_t>(from, count, out, [](uint64_t x) {
        return static_cast<uint32_t>(x) | static_cast<uint32_t>(x >> 32) << 4;
    });
}

template <class T>
void gather(const void* from, const uint32_t* order, uint64_t count, void* to) {
    const T* in = static_cast<const T*>(from);
    T* out = static_cast<T*>(to);
    for (uint64_t i = 0; i < count; i++) out[i] = order[i] == no_column ? T{0} : in[order[i]];
}

}  // namespace

PanelWriter::PanelWriter(const Packing& packing, const mortise_spec& spec, const mortise_tile& tile)
    : packing_(packing), spec_(spec), tile_(tile), size_(element_bytes(packing)) {
    if (packing.order) arranged_.resize(panel_rows * packing.padded * size_);
}

bool PanelWriter::write(uint64_t row, uint8_t* panel) {
    bool fits = true;
    const uint64_t count = std::min(panel_rows, tile_.rows - row);
    const uint8_t* rows = arrange(elements(row, count), count);
    const uint64_t columns = packing_.order ? packing_.padded : packing_.columns;
    std::memset(panel, 0, packing_.panel_bytes());
    for (uint64_t g = 0; g < packing_.groups; g++) {
        bool poisoned[panel_rows] = {};
        for (uint64_t k = packing_.begin(g), last = std::min(packing_.end(g), columns); k < last;
             k += chunk) {
            for (uint64_t lane = 0; lane < count; lane++) {
                const uint8_t* from = rows + (lane * columns + k) * size_;
                uint8_t* out = panel + packing_.record(g) + (k - packing_.begin(g)) * packing_.column_bytes();
                poisoned[lane] |= write_codes(from, lane, std::min(chunk, last - k), out);
            }
        }
        for (uint64_t lane = 0; lane < count; lane++) fits &= write_tail(row, lane, g, poisoned[lane], panel);
    }
    return fits;
}

// Effect: `count` rows of elements: those of the tile, or what the form of the packing makes of them.
const uint8_t* PanelWriter::elements(uint64_t row, uint64_t count) {
    const uint64_t first = row * tile_.columns, number = count * tile_.columns;
    const uint8_t* stored = tile_.codes ? tile_.codes : static_cast<const uint8_t*>(tile_.plain);
    const uint64_t stored_size = tile_.codes ? 1 : size_;
    if (packing_.form == Form::same) return stored + first * stored_size;
    mortise_tile some = tile_;
    some.rows = count;
    const auto from = [&](const float* values) { return values ? values + row * tile_.groups : nullptr; };
    some.codes = stored + first, some.plain = nullptr;
    some.scale = from(tile_.scale), some.zero = from(tile_.zero), some.addend = from(tile_.addend);
    if (packing_.form == Form::widened) some.scale = some.zero = some.addend = nullptr;
    values_.resize(number);
    sdk::host().decode_tile(&some, values_.data());
    if (packing_.form == Form::decoded) return reinterpret_cast<const uint8_t*>(values_.data());
    const float unit = packing_.form == Form::cast ? *tile_.cast_scale : 1.0f;
    converted_.resize(number * size_);
    for (uint64_t i = 0; i < number; i++) {
        if (size_ == 1) {
            converted_[i] = e4m3_bits(values_[i] / unit);
        } else {
            const uint16_t bits = sdk::to_bf16(values_[i] / unit);
            std::memcpy(&converted_[i * 2], &bits, 2);
        }
    }
    return converted_.data();
}

const uint8_t* PanelWriter::arrange(const uint8_t* rows, uint64_t count) {
    if (!packing_.order) return rows;
    for (uint64_t lane = 0; lane < count; lane++) {
        const uint8_t* from = rows + lane * packing_.columns * size_;
        uint8_t* to = arranged_.data() + lane * packing_.padded * size_;
        switch (size_) {
            case 1: gather<uint8_t>(from, packing_.order, packing_.padded, to); break;
            case 2: gather<uint16_t>(from, packing_.order, packing_.padded, to); break;
            default: gather<uint32_t>(from, packing_.order, packing_.padded, to);
        }
    }
    return arranged_.data();
}

// Effect: `count` codes of one row, `out` is where the first column's codes are; true when one is not a
// number.
bool PanelWriter::write_codes(const uint8_t* from, uint64_t lane, uint64_t count, uint8_t* out) const {
    switch (packing_.kind) {
        case Kind::f32: spread<uint32_t, 1>(from, count, out + lane * 4); return false;
        case Kind::f16: spread<uint16_t, 1>(from, count, out + lane * 2); return false;
        case Kind::bf16: spread<uint16_t, 2>(from, count, out + lane * 4); return false;
        case Kind::int8: write_bytes(from, spec_.bits, count, out + lane * 4); return false;
        case Kind::e4m3: return write_pairs(from, count, out + lane * 2);
        case Kind::code4: write_nibbles(from, count, out + lane * 4); return false;
    }
    return false;
}

// Effect: scale, offset and zero point of one row and group; false if the scale needs more than its 16 bits.
bool PanelWriter::write_tail(uint64_t row, uint64_t lane, uint64_t g, bool poisoned, uint8_t* panel) const {
    if (!packing_.has_scale && !packing_.shifted()) return true;
    const bool whole = packing_.form == Form::cast;
    const uint64_t entry = (row + lane) * tile_.groups + g;
    float* tail = reinterpret_cast<float*>(panel + packing_.end(g) * packing_.column_bytes() +
                                           g * packing_.tail_bytes());
    float scale = whole ? *tile_.cast_scale : tile_.scale ? tile_.scale[entry] : 1.0f;
    const float zero = tile_.zero ? tile_.zero[entry] : tile_.zero_constant;
    if (packing_.has_zero) panel[packing_.zeros() + g * panel_rows + lane] = static_cast<uint8_t>(zero);
    if (packing_.has_offset) {
        const float shift = is_integer(spec_.encoding) ? (packing_.centre - zero) * scale : 0.0f;
        tail[packing_.scale_floats() + lane] = shift + (tile_.addend ? tile_.addend[entry] : 0.0f);
    }
    if (poisoned) scale = std::numeric_limits<float>::quiet_NaN();
    if (packing_.scales_apart()) {
        const bool brain = packing_.scale_as == Kind::bf16;
        const uint16_t bits = brain ? sdk::to_bf16(scale) : sdk::to_f16(scale);
        std::memcpy(panel + packing_.scales() + (g * panel_rows + lane) * 2, &bits, 2);
        return (brain ? sdk::from_bf16(bits) : sdk::from_f16(bits)) == scale || std::isnan(scale);
    }
    if (packing_.has_scale) tail[lane] = scale * packing_.unit();
    return true;
}

}  // namespace mortise::cpu
