// Dot products of a few decoded rows with one input.
#pragma once

#include <cstdint>
#include <cstring>

namespace mortise::reference {

inline constexpr uint64_t decoded_rows = 8;  // rows of weights that a thread holds decoded

using Lanes = float __attribute__((vector_size(16)));
inline constexpr uint64_t lanes = 4, run_columns = 256;

inline Lanes lanes_at(const float* from) {
    Lanes value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Effect: sums[r] += w[r] . x over `columns` columns, a multiple of 8 and at most run_columns.
template <int Rows>
inline void dot_run(const float* w, uint64_t stride, uint64_t columns, const float* x, double* sums) {
    Lanes even[Rows] = {}, odd[Rows] = {};
    for (uint64_t k = 0; k < columns; k += 2 * lanes) {
        const Lanes x0 = lanes_at(x + k), x1 = lanes_at(x + k + lanes);
        for (int r = 0; r < Rows; r++) {
            even[r] += lanes_at(w + r * stride + k) * x0;
            odd[r] += lanes_at(w + r * stride + k + lanes) * x1;
        }
    }
    for (int r = 0; r < Rows; r++) {
        const Lanes both = even[r] + odd[r];
        sums[r] += (static_cast<double>(both[0]) + both[1]) + (static_cast<double>(both[2]) + both[3]);
    }
}

template <int Rows>
inline void dot_rows(const float* w, uint64_t columns, const float* x, float* y) {
    double sums[Rows] = {};
    const uint64_t whole = columns / (2 * lanes) * (2 * lanes);
    for (uint64_t k = 0; k < whole; k += run_columns) {
        dot_run<Rows>(w + k, columns, whole - k < run_columns ? whole - k : run_columns, x + k, sums);
    }
    for (int r = 0; r < Rows; r++) {
        for (uint64_t k = whole; k < columns; k++) sums[r] += static_cast<double>(w[r * columns + k]) * x[k];
        y[r] = static_cast<float>(sums[r]);
    }
}

// Effect: y[r] = w[r] . x for `rows` rows of `columns` weights.
inline void dots(const float* w, uint64_t rows, uint64_t columns, const float* x, float* y) {
    uint64_t r = 0;
    for (; r + 4 <= rows; r += 4) dot_rows<4>(w + r * columns, columns, x, y + r);
    for (; r < rows; r++) dot_rows<1>(w + r * columns, columns, x, y + r);
}

}  // namespace mortise::reference
