// The order of columns where groups are no runs of columns, or do not fall on multiples of 8. Pure functions.
#pragma once

#include <functional>
#include <vector>

#include "packing.h"

namespace mortise::cpu {

struct ColumnOrder {
    std::vector<uint32_t> places;  // [padded] the column of each place, or no_column
    std::vector<uint32_t> starts;  // [groups + 1] first place of each group
};

// Effect: the columns of group 0 in their order, then those of group 1, ...; each group filled up to a
// multiple of 8 places, all together to one of column_step. Requires: group_of(column) < groups.
ColumnOrder order_columns(uint64_t columns, uint64_t groups,
                          const std::function<uint64_t(uint64_t)>& group_of);

// Effect: the most places that order_columns needs, whatever the groups are.
uint64_t most_places(uint64_t columns, uint64_t groups);

// Effect: one input row in packed order and padded. spare: [columns], for a row that lies where the result
// will.
void arrange(const Packing& packing, const float* x, float* out, float* spare);

}  // namespace mortise::cpu
