// Inputs that were quantized per token to 8-bit floats are codes times one factor per row. The codes are
// exact in bf16, their products with the factor are not: the factor is taken out of the inputs and put back
// on the results. The largest code of a row is the largest value of its kind, which gives the factor to
// within one rounding.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend.h"
#include "mortise/abi.h"
#include "mortise/sdk/operators.h"

namespace mortise::cpu {

inline bool splits_token_factor(const mortise_spec& spec, uint32_t activations) {
    const mortise_activation& rule = spec.activation;
    return activations != MORTISE_ACTIVATIONS_EXACT && rule.granularity == MORTISE_ACTIVATION_TOKEN &&
           rule.dynamic != 0 && rule.asymmetric == 0 && rule.encoding == MORTISE_ENCODING_E4M3 &&
           rule.second_level == 0;
}

// Effect: x becomes its codes; returns the factor.
inline float take_token_factor(float* x, uint64_t columns) {
    constexpr float largest_code = 448;
    float largest = 0;
    for (uint64_t k = 0; k < columns; k++) largest = std::max(largest, std::fabs(x[k]));
    const float factor = largest > 0 ? largest / largest_code : 1.0f;
    for (uint64_t k = 0; k < columns; k++) x[k] /= factor;
    return factor;
}

// Effect: the panels of every row times the row's factor, plus bias.
inline void put_token_factors(const Product& product, uint64_t rows, const float* factors,
                              const float* bias) {
    const uint64_t first = product.first * panel_rows,
                   last = std::min(product.last * panel_rows, product.packing->rows);
    for (uint64_t row = 0; row < rows; row++) {
        float* y = product.y + row * product.stride;
        for (uint64_t n = first; n < last; n++) y[n] = y[n] * factors[row] + (bias ? bias[n] : 0.0f);
    }
}

}  // namespace mortise::cpu
