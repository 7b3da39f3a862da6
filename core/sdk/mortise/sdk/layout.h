// Layouts as terms: where each bit of an element lies, without a name for any packing.
//
//   one_plane(4, {by_row(32, 8), by_row(4, 1, 8), by_column(stride), by_bit()})
//
// Pure functions, constant data.
#pragma once

#include <initializer_list>

#include "mortise/sdk/host.h"

namespace mortise::sdk {

// What a term counts: ((source / div) mod m), mod 0 = no modulus. Its stride is in bits.
inline mortise_term term(uint32_t source, uint64_t div, uint64_t mod, int64_t stride) {
    return {source, 0, div, mod, static_cast<uint64_t>(stride)};
}
inline mortise_term by_row(int64_t stride, uint64_t div = 1, uint64_t mod = 0) {
    return term(MORTISE_SOURCE_ROW, div, mod, stride);
}
inline mortise_term by_column(int64_t stride, uint64_t div = 1, uint64_t mod = 0) {
    return term(MORTISE_SOURCE_COLUMN, div, mod, stride);
}
inline mortise_term by_expert(int64_t stride) { return term(MORTISE_SOURCE_EXPERT, 1, 0, stride); }
inline mortise_term by_bit() { return term(MORTISE_SOURCE_BIT, 1, 0, 1); }

// Effect: a layout of one plane: `bits` of an element lie together. Requires: at most MORTISE_MAX_TERMS
// terms.
inline mortise_layout one_plane(uint32_t bits, std::initializer_list<mortise_term> terms,
                                int64_t offset = 0) {
    mortise_layout layout{};
    layout.n_planes = 1;
    mortise_plane& plane = layout.planes[0];
    plane.bits = bits;
    plane.offset = static_cast<uint64_t>(offset);
    for (const mortise_term& each : terms) plane.terms[plane.n_terms++] = each;
    return layout;
}

// Effect: elements of `bits` stored as [column][row]: the transpose of what they mean.
inline mortise_layout column_major(uint32_t bits, uint64_t rows) {
    const auto width = static_cast<int64_t>(bits);
    return one_plane(bits, {by_row(width), by_column(static_cast<int64_t>(rows) * width), by_bit()});
}
// Effect: 4-bit fields in 32-bit words along the rows, stored as [column][rows / 8]; the row 8w + m of a word
// lies in lane m / 2 + 4 (m mod 2): even rows first.
inline mortise_layout row_words_even_first(uint64_t rows) {
    return one_plane(4, {by_row(16, 1, 2), by_row(4, 2, 4), by_row(32, 8),
                         by_column(static_cast<int64_t>(rows) * 4), by_bit()});
}

// Effect: fields of `bits` as one dense stream of 32-bit words per row, along the columns, stored as
// [column * bits / 32][row]; a field may cross two words.
inline mortise_layout column_words(uint32_t bits, uint64_t rows) {
    return one_plane(bits, {by_row(32), term(MORTISE_SOURCE_COLUMN_STREAM, 1, 32, 1),
                            term(MORTISE_SOURCE_COLUMN_STREAM, 32, 0, static_cast<int64_t>(rows) * 32)});
}
// Effect: the same along the rows, stored as [column][rows * bits / 32].
inline mortise_layout row_words(uint32_t bits, uint64_t rows) {
    return one_plane(
        bits, {term(MORTISE_SOURCE_ROW_STREAM, 1, 0, 1), by_column(static_cast<int64_t>(rows * bits))});
}

namespace detail {

// 32 fields take `bits` words: one plane for each power of two in `bits`, the widest plane holds the low
// bits, a plane of width w packs 32 / w fields per word. `word` and `block` are the strides, in bits, from
// one word of a block to the next and from one block to the next; `other` goes along the axis that is not
// packed.
inline mortise_layout planes_of_32(uint32_t bits, uint32_t source, int64_t word, int64_t block,
                                   const mortise_term& other) {
    mortise_layout layout{};
    int64_t first_word = 0;
    for (uint32_t width = 8; width > 0; width /= 2) {
        if ((bits & width) == 0) continue;
        mortise_plane& plane = layout.planes[layout.n_planes++];
        plane.bits = width;
        plane.offset = static_cast<uint64_t>(first_word * word);
        plane.terms[plane.n_terms++] = term(source, 1, 32 / width, width);
        if (width > 1) plane.terms[plane.n_terms++] = term(source, 32 / width, width, word);
        plane.terms[plane.n_terms++] = term(source, 32, 0, block);
        plane.terms[plane.n_terms++] = other;
        plane.terms[plane.n_terms++] = by_bit();
        first_word += width;
    }
    return layout;
}

}  // namespace detail

// Effect: column_words and row_words with each 32 fields cut into bit planes that never cross a word.
inline mortise_layout column_planes(uint32_t bits, uint64_t rows) {
    const auto word = static_cast<int64_t>(rows) * 32;
    return detail::planes_of_32(bits, MORTISE_SOURCE_COLUMN, word, word * bits, by_row(32));
}
inline mortise_layout row_planes(uint32_t bits, uint64_t rows) {
    return detail::planes_of_32(bits, MORTISE_SOURCE_ROW, 32, int64_t{32} * bits,
                                by_column(static_cast<int64_t>(rows * bits)));
}

}  // namespace mortise::sdk
