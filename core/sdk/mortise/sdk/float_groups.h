// Small floats in groups along the columns with one small scale per row and group: 4-bit or 8-bit codes,
// scales that are E4M3 numbers under a second, float level, or powers of two (OCP Microscaling Formats 1.0,
// section 5).
//
// Pure functions over values. One thread.
#pragma once

#include <utility>

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

struct FloatGroups {
    uint64_t experts = 1, rows = 0, columns = 0;
    uint64_t group = 32;     // columns that share a scale; must divide the columns
    uint32_t bits = 4;       // 4: E2M1 codes, 8: E4M3
    bool exponents = true;   // scales are E8M0, a power of two; else E4M3
    uint32_t word = 8;       // bits of a stored word of codes, 8 or 32; the lowest field comes first
    bool in_blocks = false;  // codes are stored as [row][group][bytes of a group], not as [row][bytes]

    uint64_t groups() const { return columns / group; }
    // Effect: rows hold whole groups and whole words.
    bool fits() const { return group != 0 && columns % group == 0 && columns * bits % word == 0; }
};

// Effect: codes and their group scales. Where codes lie in bytes, 8-bit floats have their own dtype; where
// they lie in words of 32 bits, E4M3 scales are plain bytes. Exponents may be either. Requires: form.fits().
inline Spec float_groups(const FloatGroups& form, const std::string& codes, const std::string& scales) {
    Spec spec(form.experts, form.rows, form.columns);
    const uint64_t words = form.columns * form.bits / form.word;
    const mortise_shape packed =
        form.in_blocks ? detail::stacked(form.experts, {form.rows, form.groups(), words / form.groups()})
                       : detail::stacked(form.experts, {form.rows, words});
    const uint32_t encoding = form.bits == 4 ? MORTISE_ENCODING_E2M1 : MORTISE_ENCODING_E4M3;
    mortise_field& field = spec.codes(codes, encoding, form.bits, {}, {packed});
    field.n_dtypes = 1;
    field.dtypes[0] = form.word == 32  ? MORTISE_DTYPE_U32
                      : form.bits == 8 ? MORTISE_DTYPE_F8_E4M3
                                       : MORTISE_DTYPE_U8;
    field.flags = MORTISE_FIELD_FINITE;

    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, form.group, {},
                                      {detail::stacked(form.experts, {form.rows, form.groups()})});
    if (form.exponents) scale.dtypes[scale.n_dtypes++] = MORTISE_DTYPE_F8_E8M0;
    scale.dtypes[scale.n_dtypes++] =
        form.exponents || form.word == 32 ? MORTISE_DTYPE_U8 : MORTISE_DTYPE_F8_E4M3;
    scale.experts = form.experts;
    scale.encoding = form.exponents ? MORTISE_ENCODING_E8M0 : MORTISE_ENCODING_E4M3;
    scale.bits = 8;
    scale.flags = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    return spec;
}

// Effect: adds the level above the group scales: one float for the whole matrix (of each expert), which
// multiplies them, or divides them where the producer stores its reciprocal. Never inverted here: that would
// round.
inline mortise_field& add_global_scale(Spec& spec, const std::string& tensor, bool divides) {
    const uint64_t experts = spec->experts;
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE2, tensor, 0, 0, float_dtypes, {shape_of({experts})});
    scale.shapes[scale.n_shapes++] = experts == 1 ? shape_of({}) : shape_of({experts, 1});
    if (!divides && experts == 1) std::swap(scale.shapes[0], scale.shapes[1]);  // as the producer writes it
    scale.experts = experts;
    scale.flags = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    spec->levels[spec->n_levels - 1].divide = divides ? 1 : 0;
    return scale;
}

// Effect: inputs of 4-bit floats in groups of 16, scales from the data under the stored global scale
// `tensor`. Where it divides (llm-compressor, vLLM): stored scale = e4m3(global * amax / 6), 0.125 for
// zero. Where it multiplies (NVIDIA): e4m3(amax / (6 * global)), at least 2^-9, 1 for a group of zeros.
inline mortise_field& add_float4_inputs(Spec& spec, const std::string& tensor, bool divides) {
    mortise_activation rule{};
    rule.granularity = MORTISE_ACTIVATION_GROUP;
    rule.encoding = MORTISE_ENCODING_E2M1;
    rule.bits = 4;
    rule.dynamic = 1;
    rule.scale_encoding = MORTISE_ENCODING_E4M3;
    rule.second_level = divides ? 2 : 1;
    rule.group = 16;
    rule.divisor = 6;
    rule.scale_floor = divides ? 0 : 0x1p-9;
    rule.zero_scale = divides ? 0.125 : 1;
    spec->activation = rule;
    mortise_field& scale =
        spec.field(MORTISE_ROLE_INPUT_SCALE2, tensor, float_dtypes, {shape_of({1}), shape_of({})});
    if (!divides) std::swap(scale.shapes[0], scale.shapes[1]);
    scale.flags = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    return scale;
}

// Effect: inputs of 4-bit or 8-bit floats in groups of 32 whose scale is a power of two taken from the data.
// The exponent is not standardized: `exponent_rule` is the producer's (MORTISE_EXPONENT_*).
inline mortise_activation microscaled_inputs(uint32_t bits, uint32_t exponent_rule) {
    mortise_activation rule{};
    rule.granularity = MORTISE_ACTIVATION_GROUP;
    rule.encoding = bits == 4 ? MORTISE_ENCODING_E2M1 : MORTISE_ENCODING_E4M3;
    rule.bits = bits;
    rule.dynamic = 1;
    rule.exponent_rule = exponent_rule;
    rule.scale_encoding = MORTISE_ENCODING_E8M0;
    rule.group = 32;
    rule.divisor = bits == 4 ? 6 : 448;
    rule.zero_scale = 1;  // zeros have codes of zero whatever their scale
    return rule;
}

}  // namespace mortise::sdk
