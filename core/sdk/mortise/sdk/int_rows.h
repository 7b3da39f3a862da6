// Signed integers kept row by row, one to a byte or packed along the columns, with scales over a grid, zero
// points packed along the rows, and perhaps a map from columns to groups.
//
// Pure functions over values, but for the column map, which reads a small tensor. One thread.
#pragma once

#include "mortise/sdk/grids.h"
#include "mortise/sdk/int_groups.h"

namespace mortise::sdk {

struct IntRows {
    uint32_t bits = 4;
    bool symmetric = true;
    // Codes plus 2^(bits-1) in words of 32 bits; else one in each byte, of which fewer bits use a part of the
    // range.
    bool packed = true;
    // Packed codes of a width that does not divide 32: none crosses a word. The number of words tells; where
    // it does not, this does.
    bool in_lanes = false;
    Grid grid;
    bool ordered = false;  // there must be a column map; otherwise there may be
    // Tensors.
    std::string codes, scale, zeros, order;
};

namespace detail {

inline bool has_lanes(const IntRows& form, const Checkpoint& checkpoint, uint64_t columns) {
    const auto stored = checkpoint.tensor(form.codes);
    const uint64_t dense = divide_up(columns * form.bits, 32), lanes = divide_up(columns, 32 / form.bits);
    if (!stored || stored->shape.size() != 2 || stored->shape[1] != static_cast<int64_t>(lanes)) return false;
    return dense != lanes || form.in_lanes;
}

// Codes of `bits` in words along one axis: a dense stream, or whole lanes. `source`, `stream`: of that axis;
// `word`: from one word of it to the next; `other`: the step of the other axis.
inline mortise_layout word_layout(uint32_t bits, bool lanes, uint32_t source, uint32_t stream, int64_t word,
                                  const mortise_term& other) {
    if (!lanes) return one_plane(bits, {term(stream, 1, 32, 1), term(stream, 32, 0, word), other});
    const uint64_t count = 32 / bits;
    return one_plane(bits, {term(source, 1, count, bits), term(source, count, 0, word), other, by_bit()});
}
inline uint64_t words_for(uint64_t elements, uint32_t bits, bool lanes) {
    return lanes ? divide_up(elements, 32 / bits) : divide_up(elements * bits, 32);
}

// Zero points that symmetric codes do not need are kept by older files all the same; they must be 0.
inline void add_row_zeros(Spec& spec, const IntRows& form, const Checkpoint& checkpoint, bool lanes) {
    const auto stored = checkpoint.tensor(form.zeros);
    if (form.symmetric && !stored) return;
    const bool bytes = !form.packed || form.grid.rows != 1 || (stored && stored->dtype == MORTISE_DTYPE_I8);
    const uint32_t dtype = bytes ? MORTISE_DTYPE_I8 : MORTISE_DTYPE_I32;
    mortise_field& zero = form.symmetric ? spec.field(MORTISE_ROLE_UNUSED, form.zeros, {dtype}, {})
                                         : spec.offsets(MORTISE_ROLE_ZERO_POINT, form.zeros, form.grid.rows,
                                                        form.grid.columns, {dtype}, {});
    zero.rows = spec.find(MORTISE_ROLE_SCALE)->rows;
    zero.columns = spec.find(MORTISE_ROLE_SCALE)->columns;
    zero.encoding = bytes ? MORTISE_ENCODING_TWOS : MORTISE_ENCODING_OFFSET;
    zero.bits = bytes ? 8 : form.bits;
    shape_by(zero, form.grid);
    if (!bytes) {
        zero.n_shapes = 1;
        zero.shapes[0] = shape_of({words_for(zero.rows, form.bits, lanes), zero.columns});
        zero.layout = word_layout(form.bits, lanes, MORTISE_SOURCE_ROW, MORTISE_SOURCE_ROW_STREAM,
                                  static_cast<int64_t>(zero.columns * 32), by_column(32));
    }
    if (!form.symmetric) return;
    zero.flags = MORTISE_FIELD_CONSTANT;
    zero.drop_rule = str("constant_zero_points");
}

// A map of which the first entry is -1 was never filled: columns lie in their groups as they come.
inline void add_row_order(Spec& spec, const IntRows& form, const Checkpoint& checkpoint) {
    const uint64_t columns = spec->columns;
    const auto stored = checkpoint.tensor(form.order);
    if (!form.ordered && !stored) return;
    if (form.grid.columns == 0)
        throw Refused({.what = "a column map needs groups of columns", .subject = form.order});
    if (!stored || stored->dtype != MORTISE_DTYPE_I32 || stored->elements() != columns ||
        checkpoint.probe<int32_t>(form.order, columns)[0] != -1) {
        add_column_map(spec, checkpoint, {.rows = spec->rows, .columns = columns, .group = form.grid.columns},
                       form.order);
        return;
    }
    mortise_field& unset =
        spec.field(MORTISE_ROLE_UNUSED, form.order, {MORTISE_DTYPE_I32}, {shape_of({columns})});
    unset.columns = columns;
    unset.flags = MORTISE_FIELD_CONSTANT | MORTISE_FIELD_PROBE;
    unset.default_value = -1;
    unset.drop_rule = str("trivial_column_map");
}

}  // namespace detail

// Effect: the spec of a module. Errors: a column map that is none, or without groups.
inline Spec int_rows(const IntRows& form, const Checkpoint& checkpoint, const mortise_module& module) {
    Spec spec(1, module.rows, module.columns);
    const bool lanes = form.packed && detail::has_lanes(form, checkpoint, module.columns);
    mortise_field& codes =
        spec.codes(form.codes, form.packed ? MORTISE_ENCODING_OFFSET : MORTISE_ENCODING_TWOS, form.bits,
                   {form.packed ? MORTISE_DTYPE_I32 : MORTISE_DTYPE_I8}, {});
    const uint64_t width = form.packed ? detail::words_for(module.columns, form.bits, lanes) : module.columns;
    codes.shapes[codes.n_shapes++] = shape_of({module.rows, width});
    if (form.packed)
        codes.layout =
            detail::word_layout(form.bits, lanes, MORTISE_SOURCE_COLUMN, MORTISE_SOURCE_COLUMN_STREAM, 32,
                                by_row(static_cast<int64_t>(width * 32)));
    else
        codes.bits = 8;
    add_grid_scale(spec, checkpoint, module, form.scale, form.grid);
    detail::add_row_zeros(spec, form, checkpoint, lanes);
    detail::add_row_order(spec, form, checkpoint);
    return spec;
}

}  // namespace mortise::sdk
