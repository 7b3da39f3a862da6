// Bits, group and symmetry of integer groups, as configs give them to modules: what a source's codes have,
// and how codes are computed from floats.
//
// Pure functions over values. One thread.
#pragma once

#include <algorithm>
#include <optional>

#include "mortise/sdk/quant.h"
#include "mortise/sdk/recipes.h"

namespace mortise::sdk {

struct IntSettings {
    int64_t bits = 4, group = 128;  // group -1: all columns
    bool symmetric = true, act_order = false;
    bool operator==(const IntSettings&) const = default;

    uint64_t group_of(uint64_t columns) const {
        return group < 0 ? columns : std::min(static_cast<uint64_t>(group), columns);
    }
};

// Effect: the settings that hold this spec's codes as they are; nothing when none does.
inline std::optional<IntSettings> settings_as_they_are(const mortise_spec& spec) {
    const bool ints = spec.encoding >= MORTISE_ENCODING_UNSIGNED && spec.encoding <= MORTISE_ENCODING_TWOS;
    if (!ints || spec.n_levels == 0) return std::nullopt;
    const uint64_t group = spec.levels[spec.n_levels - 1].column_group;
    return IntSettings{.bits = spec.bits,
                       .group = group == 0 || group >= spec.columns ? -1 : static_cast<int64_t>(group),
                       .symmetric = spec.offset_kind < 2,
                       .act_order = field_of(spec, MORTISE_ROLE_G_IDX) != nullptr};
}

// Effect: the nearest codes: scale = amax / half of the range, or (max - min) / the whole of it and a zero
// point; a group of zeros as one with an amax of 1 (Frantar et al. 2022, Quantizer.find_params).
inline Recipe int_groups_recipe(const IntSettings& s) {
    const double high = static_cast<double>((1u << s.bits) - 1);
    if (s.symmetric) return symmetric_recipe(MORTISE_ENCODING_F32, high / 2, 0, high).zero_amax(1);
    return asymmetric_recipe(MORTISE_ENCODING_F32, 0, high, 0).zero_amax(1);
}

}  // namespace mortise::sdk
