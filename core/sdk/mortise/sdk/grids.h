// Scales over a grid of rows and columns: one for the matrix, per row, per group of columns, per block; and
// 8-bit floats under such a grid.
//
// Pure functions over values. One thread.
#pragma once

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

constexpr uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// Rows and columns that share a number; 0 = all. Blocks at the edges may be ragged.
struct Grid {
    uint64_t rows = 0, columns = 0;
    bool whole() const { return rows == 0 && columns == 0; }
};

// Effect: the field accepts the shapes in which one number per cell is kept: [1] or [] for one, [rows][1] or
// [rows] for one per row, else [rows][columns]. Requires: its extent.
inline void shape_by(mortise_field& field, const Grid& grid) {
    const bool vector = grid.columns == 0 && field.columns == 1,
               scalar = vector && field.rows == 1 && grid.rows == 0;
    field.n_shapes = vector ? 2 : 1;
    field.shapes[0] = scalar ? shape_of({1}) : shape_of({field.rows, field.columns});
    if (vector) field.shapes[1] = scalar ? shape_of({}) : shape_of({field.rows});
}

// Effect: adds float scales over the grid. Where a fused matrix has one stored for each of its parts instead
// of one for all, each part keeps its own.
inline mortise_field& add_grid_scale(Spec& spec, const Checkpoint& checkpoint, const mortise_module& module,
                                     const std::string& tensor, const Grid& grid) {
    const auto stored = checkpoint.tensor(tensor);
    const bool by_part = grid.whole() && module.n_parts > 1 && stored && stored->elements() == module.n_parts;
    std::vector<uint64_t> ends;
    for (uint64_t p = 0; by_part && p < module.n_parts; ++p)
        ends.push_back((ends.empty() ? 0 : ends.back()) + module.part_rows[p]);
    mortise_field& scale =
        by_part ? spec.level_of_pieces(MORTISE_ROLE_SCALE, tensor, std::move(ends), float_dtypes, {})
                : spec.level(MORTISE_ROLE_SCALE, tensor, grid.rows, grid.columns, float_dtypes, {});
    shape_by(scale, grid);
    scale.flags = MORTISE_FIELD_FINITE;
    return scale;
}

}  // namespace mortise::sdk
