// Inputs that were quantized per token, or per tensor with a stored scale, to codes of eight bits are codes
// times one factor per row. The codes are exact in bf16, their products with the factor are not: the factor
// is taken out of the inputs and put back on the results. Where it is not stored, the largest code of a row
// is the largest value of its kind, which gives the factor to within one rounding.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend.h"
#include "mortise/abi.h"
#include "mortise/sdk/operators.h"

namespace mortise::cpu {

inline bool splits_token_factor(const mortise_spec& spec, uint32_t activations) {
    const mortise_activation& rule = spec.activation;
    const bool one = (rule.granularity == MORTISE_ACTIVATION_TOKEN && rule.dynamic != 0) ||
                     (rule.granularity == MORTISE_ACTIVATION_TENSOR && rule.dynamic == 0);
    const bool exact =
        rule.encoding == MORTISE_ENCODING_E4M3 || (rule.encoding == MORTISE_ENCODING_TWOS && rule.bits == 8);
    return activations != MORTISE_ACTIVATIONS_EXACT && one && exact && rule.asymmetric == 0 &&
           rule.second_level == 0;
}

// Effect: the factor of one quantized row, 1 for a row of zeros.
inline float token_factor(const mortise_spec& spec, const mortise_extras& extras, const float* x,
                          uint64_t columns) {
    if (spec.activation.dynamic == 0)
        return extras.input_scale && *extras.input_scale > 0 ? *extras.input_scale : 1;
    float low = 0, high = 0;
    for (uint64_t k = 0; k < columns; k++) {
        low = std::min(low, x[k]);
        high = std::max(high, x[k]);
    }
    const float largest = std::max(-low, high);
    if (!(largest > 0)) return 1;
    if (spec.activation.encoding == MORTISE_ENCODING_E4M3) return largest / 448;
    // A largest input that is negative may have got the one code more on its side.
    return largest / (spec.activation.divisor > 127 && -low > high ? 128.0f : 127.0f);
}

// Effect: x becomes its codes; returns the factor.
inline float take_token_factor(const mortise_spec& spec, const mortise_extras& extras, float* x,
                               uint64_t columns) {
    const float factor = token_factor(spec, extras, x, columns);
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
