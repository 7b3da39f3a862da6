// Norm weights and the like: small float tensors, widened to f32.
#pragma once

#include <vector>

#include "load/ledger.h"
#include "load/part_stream.h"

namespace mortise::load {

// Effect: this rank's elements of vector `index`, [rows][n_columns]; the parameter is filled, its obligations
// met. Errors: file_*, value_not_finite.
Result<std::vector<float>> read_vector(const Origin& origin, Ledger& ledger, uint32_t index);

}  // namespace mortise::load
