// What a linear's input becomes before the product: transform, then quantization and back by the spec's rule.
//
// The reference for every kernel; the formula is the one of mortise_activation. Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mortise/abi_kernels.h"
#include "quant/spec.h"

namespace mortise::quant {

// Effect: out[r][c] = the input as the product sees it. x and out are [rows][columns] f32 and may be one
// array. `activations` is MORTISE_ACTIVATIONS_*: EXACT does the transform only. Requires: extras as seal()
// gets them, columns a multiple of the rotation block. A dynamic scale per tensor is taken over these rows.
void prepare_input(const mortise_spec& spec, const mortise_extras& extras, uint32_t activations,
                   uint64_t rows, uint64_t columns, const float* x, float* out);

// One run of inputs that share a scale, and what they became.
struct QuantizedRun {
    float stored = 0;  // the scale as stored: before the second level is applied
    float scale = 0;   // effective
    float zero = 0;
    std::vector<uint8_t> codes;  // float bits, or integers as two's complement bytes
    std::vector<float> values;
};
// Effect: quantizes one run by the rule. scale2 = second-level scale, 1 if there is none; for static rules
// scale and zero are given, for dynamic ones ignored.
QuantizedRun quantize_run(const Activation& rule, std::span<const float> x, float scale2, float scale,
                          float zero);

// Effect: x H in place for every block of `block` columns, times factor. `matrix` null: Sylvester's Hadamard
// matrix, [block][block] otherwise. Requires: columns % block == 0.
void rotate(float* x, uint64_t rows, uint64_t columns, uint32_t block, const float* matrix, float factor);

// Effect: the nearest code and ties as asked. Requires: a small float encoding.
uint8_t encode_element(uint32_t encoding, float value, bool ties_to_zero);
// Effect: value of the exponent rule for `amax`; a power of two. Requires: amax > 0.
float power_of_two_scale(uint32_t rule, uint32_t encoding, float amax, float divisor);
// Effect: `value` rounded to the encoding (F32, BF16, F16, small floats), saturating. For scales.
float round_to(uint32_t encoding, float value);

}  // namespace mortise::quant
