// What stands beside a weight and is no scale of it: one stored scale for inputs, a vector that multiplies
// them, a low-rank term, the scale of an execution cast.
//
// Pure functions over values. One thread.
#pragma once

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

// Effect: one float, stored without axes or as [1]; positive.
inline mortise_field& add_number(Spec& spec, uint32_t role, const std::string& tensor) {
    mortise_field& field = spec.field(role, tensor, float_dtypes, {shape_of({}), shape_of({1})});
    field.flags = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    return field;
}
// Effect: inputs of signed 8-bit integers under the one scale that `tensor` holds.
inline void add_int8_input(Spec& spec, const std::string& tensor) {
    mortise_activation rule{};
    rule.granularity = MORTISE_ACTIVATION_TENSOR;
    rule.encoding = MORTISE_ENCODING_TWOS;
    rule.bits = 8;
    rule.scale_encoding = MORTISE_ENCODING_F32;
    spec->activation = rule;
    add_number(spec, MORTISE_ROLE_INPUT_SCALE, tensor);
}
// Effect: a vector over the columns multiplies the input; none where the tensor is not there.
inline void add_pre_scale(Spec& spec, const std::string& tensor) {
    const uint64_t columns = spec->columns;
    mortise_field& scale = spec.field(MORTISE_ROLE_PRE_SCALE, tensor, float_dtypes, {shape_of({columns})});
    scale.columns = columns;
    scale.flags = MORTISE_FIELD_OPTIONAL | MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
    scale.default_value = 1;
}
// Effect: (x A^T) B^T is added to the product, x being the input before its quantization. a: [rank][columns],
// b: [rows][rank]; the rank is that of the stored `a`.
inline void add_low_rank(Spec& spec, const Checkpoint& checkpoint, const std::string& a,
                         const std::string& b) {
    const auto stored = checkpoint.tensor(a);
    const uint64_t rank = stored && !stored->shape.empty() ? static_cast<uint64_t>(stored->shape[0]) : 1;
    const uint64_t rows = spec->rows, columns = spec->columns;
    mortise_field& in = spec.field(MORTISE_ROLE_LOW_RANK_A, a, float_dtypes, {shape_of({rank, columns})});
    mortise_field& out = spec.field(MORTISE_ROLE_LOW_RANK_B, b, float_dtypes, {shape_of({rows, rank})});
    in.rows = out.columns = rank;
    in.columns = columns;
    out.rows = rows;
    in.flags = out.flags = MORTISE_FIELD_FINITE;
}
// Effect: weights are rounded to `encoding` under the scale that `tensor` holds before they meet the inputs.
inline void add_cast(Spec& spec, uint32_t encoding, const std::string& tensor) {
    spec->has_cast = 1;
    spec->cast_encoding = encoding;
    add_number(spec, MORTISE_ROLE_CAST_SCALE, tensor);
}

}  // namespace mortise::sdk
