// Inputs that were quantized per token or per tensor to codes of eight bits are codes times one factor per
// row. The codes are exact in bf16, their products with the factor are not: the factor is taken out of the
// inputs and put back on the results. Where it is not stored, the largest code of what shares it is the
// largest value of its kind, which gives the factor to within one rounding.
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
                     rule.granularity == MORTISE_ACTIVATION_TENSOR;
    const bool exact =
        rule.encoding == MORTISE_ENCODING_E4M3 || (rule.encoding == MORTISE_ENCODING_TWOS && rule.bits == 8);
    return activations != MORTISE_ACTIVATIONS_EXACT && one && exact && rule.asymmetric == 0 &&
           rule.second_level == 0;
}

// Rows of prepared input, each padded with zeros to `columns`.
struct PreparedRows {
    float* x;
    uint64_t stride, count, columns;
};

// Effect: the factor that all these rows share, 1 for rows of zeros.
inline float token_factor(const mortise_spec& spec, const mortise_extras& extras, const PreparedRows& rows) {
    if (spec.activation.dynamic == 0)
        return extras.input_scale && *extras.input_scale > 0 ? *extras.input_scale : 1;
    float low = 0, high = 0;
    for (const float* x = rows.x; x != rows.x + rows.count * rows.stride; x += rows.stride) {
        for (uint64_t k = 0; k < rows.columns; k++) {
            low = std::min(low, x[k]);
            high = std::max(high, x[k]);
        }
    }
    const float largest = std::max(-low, high);
    if (!(largest > 0)) return 1;
    if (spec.activation.encoding == MORTISE_ENCODING_E4M3) return largest / 448;
    // A largest input that is negative may have got the one code more on its side.
    return largest / (spec.activation.divisor > 127 && -low > high ? 128.0f : 127.0f);
}

// Effect: rows become their codes, factors[row] what belongs on its results. Requires: a rule that looks at
// all rows gets all that were prepared together.
inline void take_token_factors(const mortise_spec& spec, const mortise_extras& extras,
                               const PreparedRows& rows, float* factors) {
    const bool token = spec.activation.granularity == MORTISE_ACTIVATION_TOKEN;
    const float shared = token ? 1 : token_factor(spec, extras, rows);
    for (uint64_t row = 0; row < rows.count; row++) {
        float* x = rows.x + row * rows.stride;
        factors[row] = token ? token_factor(spec, extras, {x, rows.stride, 1, rows.columns}) : shared;
        for (uint64_t k = 0; k < rows.columns; k++) x[k] /= factors[row];
    }
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
