// What belongs to a module besides its weights' own arithmetic, carried from one spec to another as numbers.
#include "base/codes.h"
#include "quant/module_writer.h"

namespace mortise::quant {
namespace {

// Roles that are copied as numbers, and whether rows follow the order of the module.
struct Companion {
    uint32_t role;
    bool by_row;
    bool needed;  // losing it would change results
};
constexpr Companion companions[] = {
    {MORTISE_ROLE_TABLE, false, false},        {MORTISE_ROLE_SCALE_TABLE, false, false},
    {MORTISE_ROLE_PRE_SCALE, false, true},     {MORTISE_ROLE_ROTATION, false, true},
    {MORTISE_ROLE_INPUT_SCALE, false, false},  {MORTISE_ROLE_INPUT_ZERO_POINT, false, false},
    {MORTISE_ROLE_INPUT_SCALE2, false, false}, {MORTISE_ROLE_BIAS, true, true},
    {MORTISE_ROLE_LOW_RANK_A, false, true},    {MORTISE_ROLE_LOW_RANK_B, true, true},
    {MORTISE_ROLE_CAST_SCALE, false, false}};

struct Copy {
    const Companion& what;
    const QuantSpec& from;
    const QuantSpec& to;
    const FieldBytes& bytes;
    const ModuleWriter::Origin& origin;
};

Result<std::vector<double>> values_of(const Copy& copy, const Field& field, const Extent& wanted) {
    std::vector<uint64_t> from = all_rows(wanted.rows);
    if (copy.what.by_row && !copy.origin.rows.empty())
        from.assign(copy.origin.rows.begin(), copy.origin.rows.end());
    bool fits =
        wanted.columns == field.extent.columns && (copy.what.by_row || wanted.rows == field.extent.rows);
    if (!fits) {
        return fail(Problem{.code = Code::lossy,
                            .what = std::string(role_name(copy.what.role)) + " has another extent",
                            .tensor = field.tensor});
    }
    MORTISE_TRY(std::vector<float> values,
                read_floats(field, copy.bytes, copy.origin.from_expert, from, 0, 0));
    uint32_t was = copy.from.activation.second_level, is = copy.to.activation.second_level;
    bool inverted = copy.what.role == MORTISE_ROLE_INPUT_SCALE2 && was && is && was != is;
    std::vector<double> wide;
    for (float value : values) wide.push_back(inverted ? 1.0f / value : value);
    return wide;
}

}  // namespace

Status ModuleWriter::Rep::copy_companions(const QuantSpec& from, const Sources& bytes, const Origin& origin) {
    for (const Companion& c : companions) {
        const Slot* slot = this->slot(c.role);
        const Field* field = from.find(c.role);
        bool present = field && bytes[c.role].present() && !field->has(MORTISE_FIELD_DROP_IF_ZERO);
        if (!present && slot) {
            return fail(Problem{.code = Code::lossy,
                                .what = "the target needs a " + std::string(role_name(c.role)) +
                                        " that the source does not have",
                                .tensor = slot->field->tensor,
                                .expected = spec.describe(),
                                .found = from.describe()});
        }
        if (present && !slot && c.needed) {
            return fail(Problem{.code = Code::lossy,
                                .what = "the target has no place for " + std::string(role_name(c.role)),
                                .tensor = field->tensor,
                                .found = spec.describe()});
        }
        if (!present || !slot) continue;
        // A matrix of doubles is more than f32 can carry: the same form is the same bytes.
        if (c.role == MORTISE_ROLE_ROTATION && field->layout == slot->field->layout &&
            bytes[c.role].dtype == slot->field->dtypes.front()) {
            std::ranges::copy(bytes[c.role].bytes, tensors[slot->tensor].bytes.begin());
            continue;
        }
        const Extent& extent = slot->field->extent;
        MORTISE_TRY(auto values, values_of({c, from, spec, bytes[c.role], origin}, *field, extent));
        write_clamped(*slot, extent.experts == 1 ? 0 : origin.to_expert, all_rows(extent.rows), 0,
                      extent.columns, values);
    }
    if (from.rotation_block &&
        (from.rotation_block != spec.rotation_block || from.rotation_factor != spec.rotation_factor)) {
        return fail(Problem{.code = Code::lossy,
                            .what = "the target has no place for the input rotation",
                            .found = spec.describe()});
    }
    return {};
}

Status ModuleWriter::copy_companions(const QuantSpec& from, const Sources& bytes, const Origin& origin) {
    return rep_->copy_companions(from, bytes, origin);
}

}  // namespace mortise::quant
