// Quantizing floats by a producer's recipe.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/codes.h"
#include "base/small_float.h"
#include "quant/activation.h"
#include "quant/decode.h"
#include "quant/module_writer.h"

namespace mortise::quant {
namespace {

// What stands for a scale that rounds to 0.
float epsilon(uint32_t compute, uint32_t stored) {
    if (stored == MORTISE_ENCODING_E4M3) return 0.125f;
    if (compute == MORTISE_ENCODING_BF16) return 0x1p-7f;
    return compute == MORTISE_ENCODING_F16 ? 0x1p-10f : 0x1p-23f;
}

// The levels that a recipe fills: one with groups, and perhaps one value above it for the whole module.
struct Levels {
    const Level* fine = nullptr;
    const Level* coarse = nullptr;
};

struct Region {
    uint64_t row0, row1, column0, column1;
};

// What one group of weights becomes.
struct Group {
    float stored = 1;      // fine scale as stored
    float scale = 1;       // effective, as a reader gets it
    float zero = 0;        // in values of the code
    float addend = 0;      // as stored
    float work_scale = 1;  // what the codes are computed with: scale and addend, or these before rounding
    float work_addend = 0;
    float factor = 0;  // not 0: codes are computed with weight * factor
};

class Recipe {
  public:
    Recipe(const Quantizer& q, ModuleWriter::Rep& rep, const Levels& levels)
        : q_(q),
          rep_(rep),
          spec_(rep.spec),
          levels_(levels),
          code_min_(static_cast<float>(q.code_min)),
          code_max_(static_cast<float>(q.code_max)),
          divisor_(static_cast<float>(q.divisor)) {
        if (levels.fine) fine_slot_ = rep.slot(levels.fine->role);
        if (spec_.encoding >= MORTISE_ENCODING_E2M1 && spec_.encoding <= MORTISE_ENCODING_E5M2FNUZ) {
            values_ = code_values(spec_.encoding);
        }
        quotient_ = q.quotient ? q.quotient : levels.coarse ? uint32_t{MORTISE_ENCODING_F32} : q.compute;
    }
    void set_coarse(uint64_t expert, double amax);
    Change run(uint64_t expert, uint64_t row0, uint64_t rows, const float* weights);

  private:
    float rounded(float value) const { return round_to(q_.compute, value); }
    float effective(float stored) const {
        if (!levels_.coarse) return stored;
        return levels_.coarse->divide ? stored / coarse_ : stored * coarse_;
    }
    // The group's scale before it is stored, and after.
    void set_scale(Group& group, float exact) const;
    Group symmetric(float amax) const;
    Group asymmetric(float low, float high) const;
    Group edge(float low, float high) const;
    Group measure(const Region& region, uint64_t row0, const float* weights) const;
    uint8_t code(float weight, const Group& group, float& back) const;
    uint8_t float_code(float weight, float quotient) const;
    void write_band(uint64_t expert, uint64_t row, const std::vector<Group>& band);

    const Quantizer& q_;
    ModuleWriter::Rep& rep_;
    const QuantSpec& spec_;
    Levels levels_;
    const Slot* fine_slot_ = nullptr;
    const float* values_ = nullptr;
    float code_min_, code_max_, divisor_;
    uint32_t quotient_ = MORTISE_ENCODING_F32;
    float coarse_ = 1;
};

// By default the second level puts the largest fine scale at the end of its type's range. One that divides is
// llm-compressor's, which multiplies by a reciprocal (torch computes number / tensor so).
void Recipe::set_coarse(uint64_t expert, double amax) {
    if (!levels_.coarse) return;
    auto largest = static_cast<float>(amax);
    auto reach = q_.second_divisor > 0 ? static_cast<float>(q_.second_divisor)
                                       : divisor_ * code_values(fine_slot_->encoding)[0x7E];  // 448 for e4m3
    coarse_ = rounded(levels_.coarse->divide ? rounded(1 / rounded(largest)) * reach : largest / reach);
    const Slot& slot = *rep_.slot(levels_.coarse->role);
    coarse_ = round_to(slot.encoding, coarse_);
    if (!std::isfinite(coarse_) || coarse_ == 0) coarse_ = 1;  // nothing to scale
    std::vector<uint64_t> row{0};
    std::vector<double> value{coarse_};
    const std::lock_guard lock(rep_.mutex);
    rep_.write_clamped(slot, slot.field->extent.experts == 1 ? 0 : expert, row, 0, 1, value);
}

void Recipe::set_scale(Group& group, float exact) const {
    auto zero_scale = static_cast<float>(q_.zero_scale);
    auto stored = [&](float t) { return round_to(fine_slot_->encoding, t); };
    if (exact == 0 && !q_.has(MORTISE_RECIPE_KEEP_ZERO)) exact = zero_scale;
    group.stored = stored(exact);
    if (group.stored == 0 && !q_.has(MORTISE_RECIPE_KEEP_ZERO)) {
        group.stored = stored(zero_scale);
        if (group.stored == 0) group.stored = stored(epsilon(q_.compute, fine_slot_->encoding));
    }
    group.scale = effective(group.stored);
    group.work_scale = q_.has(MORTISE_RECIPE_UNROUNDED) && exact != 0 ? effective(exact) : group.scale;
}

Group Recipe::symmetric(float amax) const {
    Group group;
    if (spec_.offset == Offset::constant) group.zero = static_cast<float>(spec_.offset_constant);
    if (spec_.offset == Offset::zero_point) group.zero = std::nearbyint((code_min_ + code_max_ + 1) / 2);
    if (!fine_slot_) return group;
    float t = 0, a = std::max(rounded(amax), static_cast<float>(q_.amax_floor));
    if (a == 0) a = static_cast<float>(q_.zero_amax);
    if (a != 0 && q_.exponent_rule != MORTISE_EXPONENT_NONE) {
        t = power_of_two_scale(q_.exponent_rule, spec_.encoding, a, divisor_);
    } else if (a != 0 && levels_.coarse) {
        t = levels_.coarse->divide ? coarse_ * rounded(a / divisor_) : a / (divisor_ * coarse_);
    } else if (a != 0 && q_.has(MORTISE_RECIPE_RECIPROCAL)) {
        group.factor = rounded(divisor_ / a);
        t = 1.0f / group.factor;
    } else if (a != 0) {
        t = rounded(a / divisor_);
    }
    if (a != 0) t = std::max(t, static_cast<float>(q_.scale_floor));
    set_scale(group, t);
    return group;
}

Group Recipe::asymmetric(float low, float high) const {
    Group group;
    bool addend = spec_.offset == Offset::addend;
    if (!addend && !q_.has(MORTISE_RECIPE_ANY_RANGE)) {
        low = std::min(low, 0.0f);
        high = std::max(high, 0.0f);
    }
    if (low == 0 && high == 0) {
        high = static_cast<float>(q_.zero_amax);
        low = -high;
    }
    float spread = std::max(rounded(high - low), static_cast<float>(q_.amax_floor));
    set_scale(group, std::max(rounded(spread / (code_max_ - code_min_)), static_cast<float>(q_.scale_floor)));
    if (addend) {
        group.addend = round_to(rep_.slot(MORTISE_ROLE_ADDEND)->encoding, low);
        group.work_addend = q_.has(MORTISE_RECIPE_UNROUNDED) ? low : group.addend;
    } else {
        group.zero = std::nearbyint(rounded(code_min_ - rounded(low / group.work_scale)));
        group.zero = std::clamp(group.zero, code_min_, code_max_);
    }
    return group;
}

// The end of larger magnitude is a whole number of steps from 0, and a code.
Group Recipe::edge(float low, float high) const {
    Group group;
    bool left = std::fabs(low) > std::fabs(high);
    float t =
        std::max(rounded(rounded(high - low) / (code_max_ - code_min_)), static_cast<float>(q_.scale_floor));
    t = left ? t : -t;
    float end = left ? low : high, steps = std::nearbyint(rounded(end / t));
    if (steps != 0) {
        t = rounded(end / steps);
        group.work_addend = end;
    }
    set_scale(group, t);
    group.addend = round_to(rep_.slot(MORTISE_ROLE_ADDEND)->encoding, group.work_addend);
    if (!q_.has(MORTISE_RECIPE_UNROUNDED)) group.work_addend = group.addend;
    return group;
}

Group Recipe::measure(const Region& region, uint64_t row0, const float* weights) const {
    float low = INFINITY, high = -INFINITY;
    for (uint64_t r = region.row0; r < region.row1; ++r) {
        const float* row = weights + (r - row0) * spec_.extent.columns;
        for (uint64_t c = region.column0; c < region.column1; ++c) {
            low = std::min(low, row[c]);
            high = std::max(high, row[c]);
        }
    }
    if (q_.method == MORTISE_METHOD_EDGE) return edge(rounded(low), rounded(high));
    if (q_.method == MORTISE_METHOD_MINMAX) return asymmetric(rounded(low), rounded(high));
    return symmetric(std::max(std::fabs(low), std::fabs(high)));
}

uint8_t Recipe::float_code(float weight, float quotient) const {
    if (q_.clamp) quotient = std::clamp(quotient, code_min_, code_max_);
    if (weight == 0 && q_.has(MORTISE_RECIPE_MINUS_ZERO)) quotient = -0.0f;
    const uint8_t code = encode_element(spec_.encoding, quotient, q_.has(MORTISE_RECIPE_TIES_TO_ZERO));
    return values_[code] == 0 && q_.has(MORTISE_RECIPE_PLUS_ZERO) ? uint8_t{0} : code;
}

uint8_t Recipe::code(float weight, const Group& group, float& back) const {
    auto quotient_of = [&](float x) {
        if (group.work_scale == 0) return 0.0f;
        return round_to(quotient_, group.factor != 0 ? x * group.factor : x / group.work_scale);
    };
    float quotient = quotient_of(rounded(weight) - group.work_addend);
    if (values_) {
        uint8_t code = float_code(weight, quotient);
        back = values_[code] * group.scale;
        return code;
    }
    bool late = q_.has(MORTISE_RECIPE_LATE_ROUND);
    float sum = late ? round_to(quotient_, quotient + group.zero) : std::nearbyint(quotient) + group.zero;
    float q = std::nearbyint(std::clamp(sum, code_min_, code_max_));
    if (std::isnan(q)) q = 0;
    back = (q - group.zero) * group.scale;
    if (spec_.offset == Offset::addend) back += group.addend;
    return static_cast<uint8_t>(static_cast<int32_t>(q) + spec_.code_origin());
}

// The scales and offsets of one band of groups, from the first column to the last.
void Recipe::write_band(uint64_t expert, uint64_t row, const std::vector<Group>& band) {
    auto put = [&](uint32_t role, const Level& level, auto value) {
        const Slot* slot = rep_.slot(role);
        if (!slot) return;
        std::vector<double> values;
        for (const Group& group : band) values.push_back(value(group));
        std::vector<uint64_t> at{level_row(level, row)};
        uint64_t e = slot->field->extent.experts == 1 ? 0 : expert;
        rep_.write_clamped(*slot, e, at, 0, values.size(), values);
    };
    if (fine_slot_) put(levels_.fine->role, *levels_.fine, [](const Group& g) { return double{g.stored}; });
    if (spec_.offset == Offset::zero_point)
        put(MORTISE_ROLE_ZERO_POINT, spec_.zero_map, [](const Group& g) { return double{g.zero}; });
    if (spec_.offset == Offset::addend) {
        put(MORTISE_ROLE_ADDEND, spec_.zero_map,
            [&](const Group& g) { return g.addend * spec_.addend_sign; });
    }
}

Change Recipe::run(uint64_t expert, uint64_t row0, uint64_t rows, const float* weights) {
    Change change;
    uint64_t columns = spec_.extent.columns, row1 = row0 + rows;
    uint64_t tall = levels_.fine && levels_.fine->row_group ? levels_.fine->row_group : rows;
    uint64_t wide = levels_.fine && levels_.fine->column_group ? levels_.fine->column_group : columns;
    std::vector<uint8_t> codes(rows * columns);
    std::vector<std::vector<Group>> bands;
    for (uint64_t r = row0; r < row1; r += tall) {
        bands.emplace_back();
        for (uint64_t c = 0; c < columns; c += wide) {
            Region region{r, std::min(row1, r + tall), c, std::min(columns, c + wide)};
            const Group& group = bands.back().emplace_back(measure(region, row0, weights));
            for (uint64_t i = region.row0; i < region.row1; ++i) {
                for (uint64_t j = region.column0; j < region.column1; ++j) {
                    uint64_t at = (i - row0) * columns + j;
                    float back = 0;
                    codes[at] = code(weights[at], group, back);
                    change.add(weights[at], back);
                }
            }
        }
    }
    std::vector<uint64_t> list = all_rows(rows);
    for (uint64_t& row : list) row += row0;
    const std::lock_guard lock(rep_.mutex);
    for (size_t b = 0; b < bands.size(); ++b) write_band(expert, row0 + b * tall, bands[b]);
    rep_.write_codes(expert, list, codes);
    return change;
}

Result<Levels> levels_of(const QuantSpec& spec) {
    Levels out;
    bool odd = spec.scale_addend != 0 || spec.encoding == MORTISE_ENCODING_LOOKUP || spec.levels.size() > 2 ||
               spec.addend_scale.role != MORTISE_ROLE_NONE;
    for (const Level& level : spec.levels) {
        bool whole = level.row_group == 0 && level.column_group == 0;
        odd |= level.role == MORTISE_ROLE_NONE || level.flat || !level.row_splits.empty();
        if (spec.levels.size() == 2 && whole && !out.coarse)
            out.coarse = &level;
        else if (!out.fine)
            out.fine = &level;
        else
            odd = true;
    }
    odd |= out.fine && out.fine->divide;
    if (out.coarse) {
        const Field* fine = out.fine ? spec.find(out.fine->role) : nullptr;
        odd |= !fine || fine->stored_as(fine->dtypes.front()).first != MORTISE_ENCODING_E4M3;
    }
    bool mapped = spec.offset == Offset::zero_point || spec.offset == Offset::addend;
    if (mapped) {
        odd |= !out.fine || spec.zero_map.flat || spec.zero_map.row_group != out.fine->row_group ||
               spec.zero_map.column_group != out.fine->column_group;
    }
    if (!odd) return out;
    return fail(Problem{.code = Code::unsupported_variant,
                        .what = "no recipe fills such a spec from floats",
                        .found = spec.describe()});
}

}  // namespace

Result<Change> ModuleWriter::quantize(const Quantizer& quantizer, uint64_t expert, uint64_t row0,
                                      uint64_t rows, const float* weights, double amax) {
    const QuantSpec& spec = rep_->spec;
    uint64_t n = rows * spec.extent.columns, step = row_step();
    MORTISE_INVARIANT(row0 % step == 0 && (rows % step == 0 || row0 + rows == spec.extent.rows));
    if (spec.is_plain()) {
        std::vector<uint64_t> list = all_rows(rows);
        for (uint64_t& row : list) row += row0;
        const std::lock_guard lock(rep_->mutex);
        rep_->write_plain(expert, list, {weights, n});
        const Slot& slot = *rep_->slot(MORTISE_ROLE_CODES);
        Change change;
        for (uint64_t i = 0; i < n; ++i) change.add(weights[i], round_to(slot.encoding, weights[i]));
        return change;
    }
    MORTISE_TRY(Levels levels, levels_of(spec));
    if (const Slot* map = rep_->slot(MORTISE_ROLE_G_IDX)) {
        std::vector<uint64_t> row{0};
        std::vector<double> index(spec.extent.columns);
        for (uint64_t c = 0; c < index.size(); ++c) index[c] = static_cast<double>(c / spec.column_group());
        const std::lock_guard lock(rep_->mutex);
        MORTISE_CHECK(rep_->write(*map, 0, row, 0, index.size(), index));
    }
    if (amax == 0) {
        for (uint64_t i = 0; i < n; ++i) amax = std::max(amax, static_cast<double>(std::fabs(weights[i])));
    }
    Recipe recipe(quantizer, *rep_, levels);
    recipe.set_coarse(expert, amax);
    return recipe.run(expert, row0, rows, weights);
}

}  // namespace mortise::quant
