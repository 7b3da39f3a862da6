#include "columns.h"

#include <algorithm>
#include <cstring>

namespace mortise::cpu {
namespace {

uint64_t up(uint64_t count, uint64_t unit) { return (count + unit - 1) / unit * unit; }

}  // namespace

ColumnOrder order_columns(uint64_t columns, uint64_t groups,
                          const std::function<uint64_t(uint64_t)>& group_of) {
    ColumnOrder order;
    order.starts.assign(groups + 1, 0);
    for (uint64_t k = 0; k < columns; k++) order.starts[group_of(k) + 1]++;
    for (uint64_t g = 0; g < groups; g++) {
        order.starts[g + 1] = order.starts[g] + static_cast<uint32_t>(up(order.starts[g + 1], place_step));
    }
    order.starts[groups] = static_cast<uint32_t>(up(order.starts[groups], column_step));
    order.places.assign(order.starts[groups], no_column);
    std::vector<uint32_t> next(order.starts.begin(), order.starts.end() - 1);
    for (uint64_t k = 0; k < columns; k++) order.places[next[group_of(k)]++] = static_cast<uint32_t>(k);
    return order;
}

uint64_t most_places(uint64_t columns, uint64_t groups) {
    return up(columns + (place_step - 1) * std::min(columns, groups), column_step);
}

void arrange(const Packing& packing, const float* x, float* out, float* spare) {
    const uint64_t columns = packing.columns;
    if (!packing.order) {
        std::memmove(out, x, columns * sizeof(float));
        std::memset(out + columns, 0, (packing.padded - columns) * sizeof(float));
        return;
    }
    std::memcpy(spare, x, columns * sizeof(float));
    for (uint64_t k = 0; k < packing.padded; k++) {
        out[k] = packing.order[k] == no_column ? 0.0f : spare[packing.order[k]];
    }
}

}  // namespace mortise::cpu
