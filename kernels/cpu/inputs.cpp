#include "inputs.h"

#include <algorithm>

#include "mortise/sdk/host.h"
#include "token_factor.h"

namespace mortise::cpu {
namespace {

constexpr uint32_t no_slot = ~0u;

}  // namespace

GroupInputs::GroupInputs(const mortise_problem& problem, const Backend& backend, const Parts& parts)
    : problem_(problem), backend_(backend), parts_(parts) {
    uint64_t widest = 0;
    for (uint32_t part = 0; part < problem.n_parts; part++) {
        const Packing& packing = parts[part]->packing();
        widest = std::max(widest, packing.padded);
        uint32_t own = no_slot;
        for (uint32_t other = 0; other < part && own == no_slot; other++) {
            if (same_input(part, other)) own = slots_[other];
        }
        if (own == no_slot && (prepares(part) || packing.moved || packing.padded != packing.columns)) {
            own = static_cast<uint32_t>(owners_.size());
            owners_.push_back(part);
        }
        raw_ |= own == no_slot;
        slots_.push_back(own);
    }
    factor_offset_ = lines(problem.max_rows * widest * sizeof(float));
    slot_bytes_ = factor_offset_ + lines(problem.max_rows * sizeof(float));
    if (backend.bf16_inputs)
        tile_bytes_ = lines((problem.max_rows + 31) / 32 * 32 * widest * sizeof(uint16_t));
    if (!owners_.empty()) spare_bytes_ = lines(problem.input_widths[0] * sizeof(float));
}

// Parts with the same rule and no arrays of their own read one prepared input. A part whose columns are moved
// has an order of its own.
bool GroupInputs::same_input(uint32_t a, uint32_t b) const {
    if (parts_[a]->packing().moved || parts_[b]->packing().moved) return false;
    if (!prepares(a) && !prepares(b)) return true;
    if (prepares(a) != prepares(b)) return false;
    const auto own_arrays = [&](uint32_t part) {
        const mortise_spec& s = spec(part);
        return s.rotation_block > 0 || sdk::find_field(s, MORTISE_ROLE_PRE_SCALE) ||
               s.activation.dynamic == 0 || s.activation.second_level != 0;
    };
    return !own_arrays(a) && !own_arrays(b) && sdk::same_activation(spec(a), spec(b));
}

uint64_t GroupInputs::bytes() const {
    const uint64_t tiled = owners_.size() + (raw_ ? 1 : 0);
    return owners_.size() * slot_bytes_ + tiled * tile_bytes_ + problem_.threads * spare_bytes_;
}

float* GroupInputs::slot(const mortise_arguments& a, uint32_t index) const {
    return reinterpret_cast<float*>(at(a, index * slot_bytes_));
}
float* GroupInputs::slot_factors(const mortise_arguments& a, uint32_t index) const {
    return reinterpret_cast<float*>(at(a, index * slot_bytes_ + factor_offset_));
}
// Those of the operator's own input come last.
uint16_t* GroupInputs::slot_tiles(const mortise_arguments& a, uint32_t index) const {
    const uint64_t which = index == no_slot ? owners_.size() : index;
    return reinterpret_cast<uint16_t*>(at(a, owners_.size() * slot_bytes_ + which * tile_bytes_));
}

Inputs GroupInputs::slot_rows(const mortise_arguments& a, uint32_t index) const {
    if (index != no_slot) return {slot(a, index), parts_[owners_[index]]->packing().padded, a.rows};
    return {sdk::pointer<const float>(a.inputs[0]), problem_.input_widths[0], a.rows};
}

Inputs GroupInputs::rows(const mortise_arguments& a, uint32_t part) const {
    return slot_rows(a, slots_[part]);
}

const uint16_t* GroupInputs::tiles(const mortise_arguments& a, uint32_t part) const {
    return backend_.bf16_inputs ? slot_tiles(a, slots_[part]) : nullptr;
}

const float* GroupInputs::factors(const mortise_arguments& a, uint32_t part) const {
    return splits_rows(part) ? slot_factors(a, slots_[part]) : nullptr;
}

void GroupInputs::prepare(const mortise_arguments& a, const mortise_team& team,
                          const std::vector<mortise_extras>& extras, bool as_tiles) const {
    const auto rows = sdk::share(a.rows, as_tiles ? 32 : 1, team.rank, team.size);
    const uint64_t tiled = owners_.size() + (raw_ ? 1 : 0);
    float* spare = reinterpret_cast<float*>(
        at(a, owners_.size() * slot_bytes_ + tiled * tile_bytes_ + team.rank * spare_bytes_));
    bool together = false;
    for (uint32_t i = 0; i < owners_.size(); i++) {
        const bool whole = sdk::prepares_rows_together(spec(owners_[i]), problem_.activations);
        together |= whole;
        fill(a, extras[owners_[i]], i, whole ? sdk::Share{0, team.rank == 0 ? a.rows : 0} : rows, spare);
    }
    if (together && as_tiles) team.barrier(team.context);
    if (as_tiles) {
        for (uint32_t i = 0; i < owners_.size(); i++) make_tiles(a, i, rows);
        if (raw_) make_tiles(a, no_slot, rows);
    }
    if (!owners_.empty() || as_tiles) team.barrier(team.context);
}

void GroupInputs::make_tiles(const mortise_arguments& a, uint32_t index, sdk::Share rows) const {
    if (rows.begin == rows.end) return;
    const Inputs inputs = slot_rows(a, index);
    backend_.to_tiles(inputs, inputs.stride, rows.begin, rows.end, slot_tiles(a, index));
}

// Rows are prepared side by side, because some rules look at all of them, then moved apart from the last one
// on.
void GroupInputs::fill(const mortise_arguments& a, const mortise_extras& extras, uint32_t index,
                       sdk::Share rows, float* spare) const {
    const uint32_t part = owners_[index];
    const Packing& packing = parts_[part]->packing();
    const uint64_t count = rows.end - rows.begin, columns = packing.columns;
    if (count == 0) return;
    const float* x = sdk::pointer<const float>(a.inputs[0]) + rows.begin * columns;
    float* out = slot(a, index) + rows.begin * packing.padded;
    if (prepares(part)) {
        sdk::host().prepare_input(&spec(part), &extras, problem_.activations, count, columns, x, out);
        x = out;
    }
    if (x != out || packing.order || packing.padded != columns) {
        for (uint64_t row = count; row-- > 0;)
            arrange(packing, x + row * columns, out + row * packing.padded, spare);
    }
    if (splits_rows(part)) split(a, extras, index, rows);
}

bool GroupInputs::splits_rows(uint32_t part) const {
    return splits_token_factor(spec(part), problem_.activations);
}

void GroupInputs::split(const mortise_arguments& a, const mortise_extras& extras, uint32_t index,
                        sdk::Share rows) const {
    const uint32_t part = owners_[index];
    const uint64_t padded = parts_[part]->packing().padded;
    take_token_factors(spec(part), extras,
                       {slot(a, index) + rows.begin * padded, padded, rows.end - rows.begin, padded},
                       slot_factors(a, index) + rows.begin);
}

}  // namespace mortise::cpu
