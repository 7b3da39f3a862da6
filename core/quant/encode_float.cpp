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

float epsilon(uint32_t compute) {
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
    float stored = 1;  // fine scale as stored
    float scale = 1;   // effective
    float zero = 0;    // in values of the code
    float addend = 0;
};

class Recipe {
  public:
    Recipe(const Quantizer& q, ModuleWriter::Rep& rep, const Levels& levels) : q_(q), rep_(rep), spec_(rep.spec), levels_(levels) {
        if (levels.fine) fine_slot_ = rep.slot(levels.fine->role);
        if (spec_.encoding >= MORTISE_ENCODING_E2M1 && spec_.encoding <= MORTISE_ENCODING_E5M2FNUZ) {
            values_ = code_values(spec_.encoding);
        }
    }
    void set_coarse(uint64_t expert, double amax);
    Change run(uint64_t expert, uint64_t row0, uint64_t rows, const float* weights);

  private:
    float rounded(float value) const { return round_to(q_.compute, value); }
    float stored(float t) const { return round_to(fine_slot_->encoding, t); }
    float effective(float stored) const {
        if (!levels_.coarse) return stored;
        return levels_.coarse->divide ? stored / coarse_ : stored * coarse_;
    }
    Group symmetric(float amax) const;
    Group asymmetric(float low, float high) const;
    Group measure(const Region& region, uint64_t row0, const float* weights) const;
    uint8_t code(float weight, const Group& group, float& back) const;
    void write_group(uint64_t expert, const Region& region, const Group& group);

    const Quantizer& q_;
    ModuleWriter::Rep& rep_;
    const QuantSpec& spec_;
    Levels levels_;
    const Slot* fine_slot_ = nullptr;
    const float* values_ = nullptr;
    float coarse_ = 1;
};

// The second level puts the largest fine scale at the end of its type's range.
void Recipe::set_coarse(uint64_t expert, double amax) {
    if (!levels_.coarse) return;
    float reach = code_values(fine_slot_->encoding)[0x7E];  // 448 for e4m3
    auto largest = static_cast<float>(amax), divisor = static_cast<float>(q_.divisor);
    if (largest == 0) {
        coarse_ = 1;
    } else {
        coarse_ = levels_.coarse->divide ? reach * divisor / largest : largest / (divisor * reach);
    }
    const Slot& slot = *rep_.slot(levels_.coarse->role);
    coarse_ = round_to(slot.encoding, coarse_);
    std::vector<uint64_t> row{0};
    std::vector<double> value{coarse_};
    rep_.write_clamped(slot, slot.field->extent.experts == 1 ? 0 : expert, row, 0, 1, value);
}

Group Recipe::symmetric(float amax) const {
    Group group;
    if (!fine_slot_) return group;
    float t = 0, a = rounded(amax);
    auto divisor = static_cast<float>(q_.divisor);
    if (a == 0) {
        t = static_cast<float>(q_.zero_scale);
    } else if (q_.exponent_rule != MORTISE_EXPONENT_NONE) {
        t = power_of_two_scale(q_.exponent_rule, spec_.encoding, a, divisor);
    } else if (levels_.coarse) {
        t = levels_.coarse->divide ? coarse_ * (a / divisor) : a / (divisor * coarse_);
        if (values_) t = std::max(t, code_values(fine_slot_->encoding)[1]);  // a block that is not zero has a scale
    } else {
        t = rounded(a / divisor);
    }
    group.stored = stored(t);
    if (group.stored == 0) group.stored = stored(q_.zero_scale > 0 ? static_cast<float>(q_.zero_scale) : epsilon(q_.compute));
    group.scale = effective(group.stored);
    if (spec_.offset == Offset::constant) group.zero = static_cast<float>(spec_.offset_constant);
    return group;
}

Group Recipe::asymmetric(float low, float high) const {
    Group group;
    auto code_min = static_cast<float>(q_.code_min), code_max = static_cast<float>(q_.code_max);
    bool addend = spec_.offset == Offset::addend;
    if (!addend) {
        low = std::min(low, 0.0f);
        high = std::max(high, 0.0f);
    }
    float t = rounded(rounded(high - low) / (code_max - code_min));
    if (t == 0) t = q_.zero_scale > 0 ? static_cast<float>(q_.zero_scale) : epsilon(q_.compute);
    group.stored = stored(t);
    if (group.stored == 0) group.stored = stored(epsilon(q_.compute));
    group.scale = effective(group.stored);
    if (addend) {
        group.addend = round_to(rep_.slot(MORTISE_ROLE_ADDEND)->encoding, low);
    } else {
        group.zero = std::clamp(std::nearbyint(code_min - rounded(low / group.scale)), code_min, code_max);
    }
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
    if (q_.method == 2) return asymmetric(rounded(low), rounded(high));
    return symmetric(std::max(std::fabs(low), std::fabs(high)));
}

uint8_t Recipe::code(float weight, const Group& group, float& back) const {
    auto code_min = static_cast<float>(q_.code_min), code_max = static_cast<float>(q_.code_max);
    float quotient = rounded((rounded(weight) - group.addend) / group.scale);
    if (values_) {
        if (q_.clamp) quotient = std::clamp(quotient, code_min, code_max);
        uint8_t code = encode_element(spec_.encoding, quotient, false);
        back = values_[code] * group.scale;
        return code;
    }
    float q = std::clamp(std::nearbyint(quotient) + group.zero, code_min, code_max);
    if (std::isnan(q)) q = 0;
    back = (q - group.zero) * group.scale;
    if (spec_.offset == Offset::addend) back += group.addend;
    return static_cast<uint8_t>(static_cast<int32_t>(q) + spec_.code_origin());
}

void Recipe::write_group(uint64_t expert, const Region& region, const Group& group) {
    auto put = [&](uint32_t role, const Level& level, double value) {
        const Slot* slot = rep_.slot(role);
        if (!slot) return;
        std::vector<uint64_t> row{level_row(level, region.row0)};
        std::vector<double> one{value};
        uint64_t e = slot->field->extent.experts == 1 ? 0 : expert;
        rep_.write_clamped(*slot, e, row, level_column(level, region.column0), 1, one);
    };
    if (fine_slot_) put(levels_.fine->role, *levels_.fine, group.stored);
    if (spec_.offset == Offset::zero_point) put(MORTISE_ROLE_ZERO_POINT, spec_.zero_map, group.zero);
    if (spec_.offset == Offset::addend) put(MORTISE_ROLE_ADDEND, spec_.zero_map, group.addend * spec_.addend_sign);
}

Change Recipe::run(uint64_t expert, uint64_t row0, uint64_t rows, const float* weights) {
    Change change;
    uint64_t columns = spec_.extent.columns, row1 = row0 + rows;
    uint64_t tall = levels_.fine && levels_.fine->row_group ? levels_.fine->row_group : rows;
    uint64_t wide = levels_.fine && levels_.fine->column_group ? levels_.fine->column_group : columns;
    std::vector<uint8_t> codes(rows * columns);
    for (uint64_t r = row0; r < row1; r += tall) {
        for (uint64_t c = 0; c < columns; c += wide) {
            Region region{r, std::min(row1, r + tall), c, std::min(columns, c + wide)};
            Group group = measure(region, row0, weights);
            write_group(expert, region, group);
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
        if (spec.levels.size() == 2 && whole && !out.coarse) out.coarse = &level;
        else if (!out.fine) out.fine = &level;
        else odd = true;
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
    return fail(Problem{.code = Code::unsupported_variant, .what = "no recipe fills such a spec from floats",
                        .found = spec.describe()});
}

}  // namespace

Result<Change> ModuleWriter::quantize(const Quantizer& quantizer, uint64_t expert, uint64_t row0, uint64_t rows,
                                      const float* weights, double amax) {
    const QuantSpec& spec = rep_->spec;
    uint64_t n = rows * spec.extent.columns, step = row_step();
    MORTISE_INVARIANT(row0 % step == 0 && (rows % step == 0 || row0 + rows == spec.extent.rows));
    if (spec.is_plain()) {
        std::vector<uint64_t> list = all_rows(rows);
        for (uint64_t& row : list) row += row0;
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
