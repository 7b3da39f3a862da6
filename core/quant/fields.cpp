#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/codes.h"
#include "quant/decode.h"
#include "quant/elements.h"
#include "quant/reader.h"

namespace mortise::quant {
namespace {

constexpr uint64_t chunk = uint64_t{1} << 16;  // elements looked at in one go

Status wrong(Code code, const Field& field, uint64_t row, uint64_t column, double value, std::string what,
             std::string expected) {
    return fail(Problem{.code = code,
                        .what = std::move(what),
                        .tensor = field.tensor,
                        .expected = std::move(expected),
                        .found = fmt::format("{} at row {}, column {}", value, row, column)});
}

Status check_value(const Field& field, const ContentRules& rules, uint64_t row, uint64_t column,
                   double value) {
    if (rules.finite && !std::isfinite(value)) {
        return wrong(Code::value_not_finite, field, row, column, value, "element is not finite",
                     "a finite number");
    }
    if (rules.positive && !(value > 0)) {
        return wrong(Code::value_range, field, row, column, value, "element is not positive", "above 0");
    }
    if (rules.zero && value != 0) {
        return wrong(Code::value_obligation, field, row, column, value, "element is not zero",
                     "0 everywhere");
    }
    int exponent = 0;
    if (rules.power_of_two && std::frexp(value, &exponent) != 0.5) {
        return wrong(Code::value_obligation, field, row, column, value, "element is no power of two",
                     "a power of two");
    }
    if (rules.constant && value != rules.value) {
        return wrong(Code::value_obligation, field, row, column, value, "element is not the constant",
                     fmt::format("{} everywhere", rules.value));
    }
    bool unset = rules.unset_allowed && value == -1;
    if (rules.below >= 0 && !unset && !(value >= 0 && value < static_cast<double>(rules.below))) {
        return wrong(Code::value_range, field, row, column, value, "element is out of range",
                     fmt::format("0 to {}", rules.below - 1));
    }
    return {};
}

// Bits that are all set exactly when an element is NaN or infinite; 0 = every element is finite.
uint32_t special_bits(uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_F16: return 0x7C00;
        case MORTISE_ENCODING_BF16: return 0x7F80;
        case MORTISE_ENCODING_F32: return 0x7F800000;
        case MORTISE_ENCODING_E4M3: return 0x7F;
        case MORTISE_ENCODING_E5M2: return 0x7C;
        case MORTISE_ENCODING_E8M0: return 0xFF;
        default: return 0;
    }
}

template <class T>
bool any_special(const BoundField& bound, const Copier& copier, uint64_t expert,
                 std::span<const uint64_t> rows) {
    const T special = static_cast<T>(special_bits(bound.encoding));
    std::vector<T> raw(rows.size() * copier.columns());
    copier.extract(bound.bytes(), bound.expert(expert), rows, raw.data());
    uint64_t found = 0;
    for (T value : raw) found += (value & special) == special;
    return found != 0;
}

// Whole weights are asked for being finite: no need to look at each as a number.
bool surely_finite(const BoundField& bound, const Copier& copier, uint64_t expert,
                   std::span<const uint64_t> rows) {
    if (bound.encoding == MORTISE_ENCODING_F32) return !any_special<uint32_t>(bound, copier, expert, rows);
    bool half = bound.encoding == MORTISE_ENCODING_F16 || bound.encoding == MORTISE_ENCODING_BF16;
    if (half) return !any_special<uint16_t>(bound, copier, expert, rows);
    bool integer = bound.encoding == MORTISE_ENCODING_UNSIGNED || bound.encoding == MORTISE_ENCODING_OFFSET ||
                   bound.encoding == MORTISE_ENCODING_TWOS || bound.encoding == MORTISE_ENCODING_E2M1 ||
                   bound.encoding == MORTISE_ENCODING_LOOKUP;
    if (integer) return true;
    return special_bits(bound.encoding) != 0 && !any_special<uint8_t>(bound, copier, expert, rows);
}

bool only_finite(const ContentRules& rules) {
    return rules.finite && !rules.positive && !rules.zero && !rules.constant && !rules.power_of_two &&
           rules.below < 0;
}

Result<std::vector<float>> optional_floats(const QuantSpec& spec, const Sources& sources, uint32_t role,
                                           uint64_t expert, std::span<const uint64_t> rows, uint64_t column0,
                                           uint64_t columns) {
    const Field* field = spec.find(role);
    if (!field || !sources[role].present()) return std::vector<float>{};
    return read_floats(*field, sources[role], expert, rows, column0, columns);
}

const float* pointer(const std::vector<float>& from) { return from.empty() ? nullptr : from.data(); }

}  // namespace

bool is_trivial_index(std::span<const int64_t> index, uint64_t group) {
    if (std::ranges::find(index, -1) != index.end()) return true;
    for (size_t c = 0; c < index.size(); ++c) {
        if (index[c] != static_cast<int64_t>(c / group)) return false;
    }
    return true;
}

Result<std::vector<int64_t>> read_index(const Field& field, const FieldBytes& bytes) {
    MORTISE_TRY(BoundField bound, BoundField::bind(field, bytes));
    Copier copier = bound.copier(0, field.extent.columns);
    std::vector<uint64_t> raw(field.extent.columns), row{0};
    copier.extract(bound.bytes(), 0, row, raw.data());
    bound.unbias(raw);
    std::vector<int64_t> out(raw.size());
    for (size_t i = 0; i < raw.size(); ++i) {
        out[i] = static_cast<int64_t>(element_value(bound.encoding, bound.bits, raw[i]));
    }
    return out;
}

Result<std::vector<float>> read_floats(const Field& field, const FieldBytes& bytes, uint64_t expert,
                                       std::span<const uint64_t> rows, uint64_t column0, uint64_t columns) {
    MORTISE_TRY(BoundField bound, BoundField::bind(field, bytes));
    std::vector<uint64_t> everything;
    if (rows.empty()) rows = everything = all_rows(field.extent.rows);
    if (columns == 0) columns = field.extent.columns - column0;
    for (uint64_t row : rows) MORTISE_INVARIANT(row < field.extent.rows);
    std::vector<float> out(rows.size() * columns);
    std::vector<uint64_t> raw;
    bound.read(bound.copier(column0, columns), expert, rows, {}, raw, out.data());
    return out;
}

mortise_extras Extras::abi() const {
    mortise_extras out{};
    out.head = {sizeof out, MORTISE_ABI_MINOR};
    out.bias = pointer(bias);
    out.pre_scale = pointer(pre_scale);
    out.rotation = pointer(rotation);
    out.input_scale = pointer(input_scale);
    out.input_zero_point = pointer(input_zero_point);
    out.input_scale2 = pointer(input_scale2);
    out.low_rank_a = pointer(low_rank_a);
    out.low_rank_b = pointer(low_rank_b);
    out.low_rank = low_rank;
    out.cast_scale = pointer(cast_scale);
    return out;
}

Result<Extras> read_extras(const QuantSpec& spec, const Sources& sources, uint64_t expert,
                           std::span<const uint64_t> rows, uint64_t column0, uint64_t columns) {
    Extras out;
    auto take = [&](std::vector<float>& to, uint32_t role, std::span<const uint64_t> only, uint64_t first,
                    uint64_t count) -> Status {
        MORTISE_TRY(to, optional_floats(spec, sources, role, expert, only, first, count));
        return {};
    };
    if (columns == 0) columns = spec.extent.columns - column0;
    MORTISE_CHECK(take(out.bias, MORTISE_ROLE_BIAS, rows, 0, 0));
    MORTISE_CHECK(take(out.pre_scale, MORTISE_ROLE_PRE_SCALE, {}, column0, columns));
    MORTISE_CHECK(take(out.rotation, MORTISE_ROLE_ROTATION, {}, 0, 0));
    MORTISE_CHECK(take(out.input_scale, MORTISE_ROLE_INPUT_SCALE, {}, 0, 0));
    MORTISE_CHECK(take(out.input_zero_point, MORTISE_ROLE_INPUT_ZERO_POINT, {}, 0, 0));
    MORTISE_CHECK(take(out.input_scale2, MORTISE_ROLE_INPUT_SCALE2, {}, 0, 0));
    MORTISE_CHECK(take(out.low_rank_a, MORTISE_ROLE_LOW_RANK_A, {}, column0, columns));
    MORTISE_CHECK(take(out.low_rank_b, MORTISE_ROLE_LOW_RANK_B, rows, 0, 0));
    MORTISE_CHECK(take(out.cast_scale, MORTISE_ROLE_CAST_SCALE, {}, 0, 0));
    if (!out.low_rank_a.empty()) out.low_rank = spec.find(MORTISE_ROLE_LOW_RANK_A)->extent.rows;
    return out;
}

ContentRules content_rules(const Field& field, uint64_t groups) {
    ContentRules rules;
    rules.finite = field.has(MORTISE_FIELD_FINITE);
    rules.positive = field.has(MORTISE_FIELD_POSITIVE);
    rules.zero = field.has(MORTISE_FIELD_DROP_IF_ZERO);
    rules.constant = field.has(MORTISE_FIELD_CONSTANT);
    rules.power_of_two = field.has(MORTISE_FIELD_POWER_OF_TWO);
    rules.value = field.default_value;
    if (field.has(MORTISE_FIELD_BELOW_GROUPS)) rules.below = static_cast<int64_t>(groups);
    rules.unset_allowed = field.role == MORTISE_ROLE_G_IDX;
    return rules;
}

Result<uint64_t> check_contents(const Field& field, const FieldBytes& bytes, const ContentRules& rules,
                                uint64_t expert, uint64_t row0, uint64_t rows) {
    MORTISE_TRY(BoundField bound, BoundField::bind(field, bytes));
    std::vector<uint64_t> raw, some;
    for (uint64_t column = 0; column < field.extent.columns; column += chunk) {
        uint64_t columns = std::min(chunk, field.extent.columns - column);
        uint64_t step = std::max<uint64_t>(1, chunk / columns);
        Copier copier = bound.copier(column, columns);
        for (uint64_t row = row0; row < row0 + rows; row += step) {
            some.clear();
            for (uint64_t r = row; r < std::min(row0 + rows, row + step); ++r) some.push_back(r);
            if (only_finite(rules) && surely_finite(bound, copier, expert, some)) continue;
            raw.resize(some.size() * columns);
            copier.extract(bound.bytes(), bound.expert(expert), some, raw.data());
            bound.unbias(raw);
            for (size_t i = 0; i < raw.size(); ++i) {
                double value = element_value(bound.encoding, bound.bits, raw[i]);
                MORTISE_CHECK(check_value(field, rules, some[i / columns], column + i % columns, value));
            }
        }
    }
    return rows * field.extent.columns;
}

}  // namespace mortise::quant
