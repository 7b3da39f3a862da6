// A few input rows times packed panels: bound by memory. Several streams of panels are walked together and
// prefetched, one stream leaves a third of the bandwidth unused. Textual part of a backend.
#pragma once

#include "../backend.h"
#include "decode.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t streams = 4, stretch_bytes = 2048;  // read of one stream before the next one's turn

// Effect: total[t] = codes . x over `columns` columns.
template <class D, int Rows>
inline void stretch(const D& decoder, const uint8_t* codes, const float* x, uint64_t stride, uint64_t columns,
                    uint64_t ahead, F (&total)[Rows]) {
    constexpr int step = D::step, chains = Rows == 1 ? 4 : Rows == 2 ? 2 : 1;
    constexpr uint64_t bytes = step * panel_rows * code_bits(D::kind) / 8;
    F acc[Rows][chains];
    for (int t = 0; t < Rows; t++) {
        for (int c = 0; c < chains; c++) acc[t][c] = zero();
    }
    for (uint64_t k = 0; k < columns; k += step, codes += bytes, x += step) {
        for (uint64_t b = 0; b < bytes; b += 64) prefetch(codes + ahead + b);
        decode_each(decoder, codes, [&](auto column, F w) {
            constexpr int j = column.j, chain = j % chains;
            for (int t = 0; t < Rows; t++) acc[t][chain] = fma(w, set(x[t * stride + j]), acc[t][chain]);
        });
    }
    for (int t = 0; t < Rows; t++) {
        F all = acc[t][0];
        for (int c = 1; c < chains; c++) all = all + acc[t][c];
        if constexpr (D::multiplies) all = all * set(decoder.factor);
        total[t] = all;
    }
}

template <int Rows>
inline void finish(const Product& product, uint64_t panel, const F (&total)[Rows]) {
    const uint64_t row = panel * panel_rows, left = product.packing->rows - row;
    for (int t = 0; t < Rows; t++) {
        float* y = product.y + t * product.stride + row;
        if (left >= panel_rows) {
            store(y, product.bias ? total[t] + load(product.bias + row) : total[t]);
        } else {
            store_n(y, product.bias ? total[t] + load_n(product.bias + row, left) : total[t], left);
        }
    }
}

// Effect: adds the share of group g's columns [k, end) to total.
template <class D, int Rows>
inline void add_stretch(const Packing& packing, const D& decoder, const uint8_t* panel, const Inputs& inputs,
                        const float* sums, uint64_t ahead, uint64_t g, uint64_t k, uint64_t end,
                        F (&total)[Rows]) {
    const uint8_t* codes = panel + packing.record(g) + (k - packing.begin(g)) * packing.column_bytes();
    F part[Rows];
    stretch<D, Rows>(decoder, codes, inputs.x + k, inputs.stride, end - k, ahead, part);
    const F scale = scale_of(packing, panel, g);
    for (int t = 0; t < Rows; t++) total[t] = fma(part[t], scale, total[t]);
    if (end != packing.end(g)) return;
    const uint8_t* tail = codes + (end - k) * packing.column_bytes();  // what stretch() does not ask for
    for (uint64_t b = 0; b < packing.tail_bytes(); b += 64) prefetch(tail + ahead + b);
    if (!packing.shifted()) return;
    const F offset = offsets_of(packing, panel, g, scale);
    for (int t = 0; t < Rows; t++) total[t] = fma(set(sums[t * packing.groups + g]), offset, total[t]);
}

template <class D, int Rows>
inline void gemv_rows_of(const Product& product, const Inputs& inputs, const float* sums) {
    const Packing& packing = *product.packing;
    const D decoder(packing);
    const uint64_t longest = stretch_bytes / packing.column_bytes();
    // What is asked for is what this stream's next turn reads, scales between the codes included.
    const uint64_t ahead = stretch_bytes + longest / packing.group * packing.tail_bytes();
    const uint64_t per_stream = (product.last - product.first + streams - 1) / streams;
    for (uint64_t i = 0; i < per_stream; i++) {
        for (uint64_t s = 0; s < streams; s++) {  // what does not lie in the stream, one panel ahead
            const uint8_t* next = panel_of(packing, product.packed,
                                           least(product.first + s * per_stream + i + 1, product.last - 1));
            for (uint64_t b = packing.scales(); b < packing.panel_bytes(); b += 64) prefetch(next + b);
        }
        F total[streams][Rows];
        for (auto& stream : total) {
            for (F& t : stream) t = zero();
        }
        for (uint64_t g = 0, next; g < packing.groups; g = next) {
            for (next = g + 1; next < packing.groups && packing.end(next) - packing.begin(g) <= longest;)
                next++;
            for (uint64_t k = packing.begin(g); k < packing.end(next - 1); k += longest) {
                for (uint64_t s = 0; s < streams; s++) {
                    const uint64_t number = product.first + s * per_stream + i;
                    if (number >= product.last) break;
                    const uint8_t* panel = panel_of(packing, product.packed, number);
                    for (uint64_t each = g; each < next; each++) {
                        const uint64_t begin = each == g ? k : packing.begin(each);
                        add_stretch<D, Rows>(packing, decoder, panel, inputs, sums, ahead, each, begin,
                                             least(begin + longest, packing.end(each)), total[s]);
                    }
                }
            }
        }
        for (uint64_t s = 0; s < streams; s++) {
            const uint64_t panel = product.first + s * per_stream + i;
            if (panel < product.last) finish<Rows>(product, panel, total[s]);
        }
    }
}

template <class D>
void gemv_by(const Product& product, const Inputs& inputs, const float* sums) {
    switch (inputs.rows) {
        case 1: return gemv_rows_of<D, 1>(product, inputs, sums);
        case 2: return gemv_rows_of<D, 2>(product, inputs, sums);
        case 3: return gemv_rows_of<D, 3>(product, inputs, sums);
        default: return gemv_rows_of<D, 4>(product, inputs, sums);
    }
}

template <Kind K>
void gemv_kind(const Product& product, const Inputs& inputs, const float* sums) {
    if constexpr (bytes_pay && (K == Kind::int8 || K == Kind::code4)) {
        if (product.packing->byte_unit != 0) return gemv_by<ByteDecoder<K>>(product, inputs, sums);
    }
    gemv_by<Decoder<K>>(product, inputs, sums);
}

void gemv(const Product& product, const Inputs& inputs, const float* sums) {
    MORTISE_FOR_KIND(product.packing->kind, gemv_kind, product, inputs, sums);
}

void group_sums(const Packing& packing, const Inputs& inputs, float* sums) {
    for (uint64_t t = 0; t < inputs.rows; t++) {
        const float* x = inputs.x + t * inputs.stride;
        for (uint64_t g = 0; g < packing.groups; g++) {
            F all = zero();
            uint64_t k = packing.begin(g);
            for (; k + 16 <= packing.end(g); k += 16) all = all + load(x + k);
            if (k < packing.end(g)) all = all + load_n(x + k, packing.end(g) - k);
            sums[t * packing.groups + g] = sum(all);
        }
    }
}

template <Kind K>
void row_kind(const Packing& packing, const uint8_t* panel, uint64_t lane, float* out) {
    decode_columns<K>(packing, panel, 0, packing.padded, false,
                      [&](uint64_t column, const F(&w)[Decoder<K>::step]) {
                          float lanes[16];
                          for (int j = 0; j < Decoder<K>::step; j++) {
                              store(lanes, w[j]);
                              const uint64_t at = packing.order ? packing.order[column + j] : column + j;
                              if (at < packing.columns) out[at] = lanes[lane];
                          }
                      });
}

// Effect: out[columns] = the decoded row.
void row(const Packing& packing, const uint8_t* packed, uint64_t number, float* out) {
    const uint8_t* panel = panel_of(packing, packed, number / panel_rows);
    MORTISE_FOR_KIND(packing.kind, row_kind, packing, panel, number % panel_rows, out);
}

}  // namespace
}  // namespace mortise::cpu
