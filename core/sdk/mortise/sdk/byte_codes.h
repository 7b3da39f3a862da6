// Signed integers stored one to a byte, or two rows to a byte, with float scales per row or group; and how
// fields of stacks may be stored.
//
// Pure functions over values. One thread.
#pragma once

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

namespace detail {

inline void add_row_scales(Spec& spec, const std::string& tensor, uint64_t column_group) {
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, tensor, 1, column_group, float_dtypes, {});
    scale.shapes[scale.n_shapes++] =
        column_group == 0 ? shape_of({scale.rows}) : shape_of({scale.rows, scale.columns});
    if (column_group == 0) scale.shapes[scale.n_shapes++] = shape_of({scale.rows, 1});
    scale.flags = MORTISE_FIELD_FINITE;
}

}  // namespace detail

// Effect: signed 8-bit integers [rows][columns] with one scale per row, kept as [rows] or [rows][1].
inline Spec int8_rows(uint64_t rows, uint64_t columns, const std::string& weight, const std::string& scale) {
    Spec spec(1, rows, columns);
    spec.codes(weight, MORTISE_ENCODING_TWOS, 8, {MORTISE_DTYPE_I8}, {shape_of({rows, columns})});
    detail::add_row_scales(spec, scale, 0);
    return spec;
}
// Effect: signed 4-bit integers, two rows in one row of bytes, the even one in the low half, and one scale
// per row and group of columns. Requires: rows are even, the group divides the columns.
inline Spec int4_row_pairs(uint64_t rows, uint64_t columns, uint64_t group, const std::string& weight,
                           const std::string& scale) {
    Spec spec(1, rows, columns);
    mortise_field& codes =
        spec.codes(weight, MORTISE_ENCODING_TWOS, 4, {MORTISE_DTYPE_U8}, {shape_of({rows / 2, columns})});
    codes.layout =
        one_plane(4, {by_row(4, 1, 2), by_row(static_cast<int64_t>(columns) * 8, 2), by_column(8), by_bit()});
    detail::add_row_scales(spec, scale, group);
    return spec;
}

// Effect: the field of a stack is stored as [expert][column][row], whole bytes packed along the columns.
inline void store_transposed(mortise_field& field) {
    const uint64_t lanes = 8 / field.bits, bytes = field.columns / lanes;
    const auto row = static_cast<int64_t>(field.rows) * 8;
    field.n_shapes = 1;
    field.shapes[0] = shape_of({field.experts, bytes, field.rows});
    field.layout = one_plane(field.bits, {by_column(field.bits, 1, lanes), by_column(row, lanes), by_row(8),
                                          by_expert(row * static_cast<int64_t>(bytes)), by_bit()});
}
// Effect: the field is one number for a whole stack, or one per expert, as its tensor says.
inline void per_expert(mortise_field& field, const Checkpoint& checkpoint, uint64_t experts) {
    const auto stored = checkpoint.tensor(view(field.tensor));
    field.experts = stored && stored->elements() == experts ? experts : 1;
    field.n_shapes = 2;
    field.shapes[0] = field.experts == 1 ? shape_of({}) : shape_of({experts});
    field.shapes[1] = field.experts == 1 ? shape_of({1}) : shape_of({experts, 1});
}
// Effect: the codes and scales of a stack are stored so: matrices transposed, single numbers one or one each.
inline void store_stack(Spec& spec, const Checkpoint& checkpoint) {
    for (const uint32_t role : {MORTISE_ROLE_CODES, MORTISE_ROLE_SCALE, MORTISE_ROLE_SCALE2}) {
        mortise_field* field = spec.find(role);
        if (field == nullptr) continue;
        if (field->rows * field->columns > 1)
            store_transposed(*field);
        else
            per_expert(*field, checkpoint, spec->experts);
    }
}

}  // namespace mortise::sdk
