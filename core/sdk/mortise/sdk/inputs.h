// How inputs are quantized: whole tensors, tokens or groups of columns, to integers or 8-bit floats, by
// scales that are stored or taken from the data.
//
// Pure functions over values. One thread.
#pragma once

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

// Effect: a rule with scales from the data: amax / `divisor`; asymmetric: (max - min) / `divisor` and a zero
// point. `bits`: of two's complement integers; 0: E4M3 floats. `group`: columns, for
// MORTISE_ACTIVATION_GROUP.
inline mortise_activation dynamic_inputs(uint32_t granularity, uint32_t bits, double divisor,
                                         bool symmetric = true, uint64_t group = 0) {
    mortise_activation rule{};
    rule.granularity = granularity;
    rule.encoding = bits == 0 ? MORTISE_ENCODING_E4M3 : MORTISE_ENCODING_TWOS;
    rule.bits = bits == 0 ? 8 : bits;
    rule.dynamic = 1;
    rule.asymmetric = symmetric ? 0 : 1;
    rule.scale_encoding = MORTISE_ENCODING_F32;
    rule.group = group;
    rule.divisor = divisor;
    rule.zero_scale = 1;  // zeros have codes of zero whatever their scale
    return rule;
}

// Effect: the inputs of `spec` have one stored scale, and if asymmetric a zero point of a byte. `bits` as
// above.
inline void add_static_inputs(Spec& spec, uint32_t bits, const std::string& scale,
                              const std::string& zero_point, bool symmetric = true) {
    spec->activation = dynamic_inputs(MORTISE_ACTIVATION_TENSOR, bits, 1, symmetric);
    spec->activation.dynamic = 0;
    spec.field(MORTISE_ROLE_INPUT_SCALE, scale, float_dtypes, {shape_of({1}), shape_of({})}).flags =
        MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    if (!symmetric)
        spec.field(MORTISE_ROLE_INPUT_ZERO_POINT, zero_point, {MORTISE_DTYPE_I8},
                   {shape_of({1}), shape_of({})});
}

// Effect: a stored input number that its rule does not use, if it is there. zero: it must be 0.
inline void add_unused_input(Spec& spec, const Checkpoint& checkpoint, const std::string& tensor,
                             const char* rule, bool zero) {
    const auto stored = checkpoint.tensor(tensor);
    if (!stored) return;
    mortise_field& unused =
        spec.field(MORTISE_ROLE_UNUSED, tensor, {stored->dtype}, {shape_of({1}), shape_of({})});
    if (zero) unused.flags = MORTISE_FIELD_CONSTANT;
    unused.drop_rule = str(rule);
}

}  // namespace mortise::sdk
