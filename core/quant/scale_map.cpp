#include "quant/scale_map.h"

#include <algorithm>

#include "base/codes.h"

namespace mortise::quant {
namespace {

constexpr uint64_t chunk = uint64_t{1} << 16;

Result<std::vector<float>> read_table(const QuantSpec& spec, const Sources& sources) {
    const Field* table = spec.find(MORTISE_ROLE_SCALE_TABLE);
    MORTISE_INVARIANT(table != nullptr);
    return read_floats(*table, sources[MORTISE_ROLE_SCALE_TABLE], 0, {}, 0, 0);
}

}  // namespace

Result<ScaleMap> ScaleMap::make(const QuantSpec& spec, const Level& level, const Sources& sources,
                                const Grouping& grouping) {
    ScaleMap out;
    out.level_ = level;
    out.grouping_ = grouping;
    out.spec_columns_ = spec.extent.columns;
    out.spec_rows_ = spec.extent.rows;
    out.value_ = static_cast<float>(level.constant);
    if (level.role == MORTISE_ROLE_NONE) return out;
    const Field* field = spec.find(level.role);
    const FieldBytes& bytes = sources[level.role];
    if (!bytes.present()) {
        if (!field->has(MORTISE_FIELD_OPTIONAL)) {
            return fail(Problem{.code = Code::tensor_missing,
                                .what = "a required tensor has no bytes",
                                .tensor = field->tensor});
        }
        out.value_ = static_cast<float>(field->default_value);
        return out;
    }
    out.constant_ = false;
    MORTISE_TRY(out.bound_, BoundField::bind(*field, bytes));
    if (out.bound_.encoding == MORTISE_ENCODING_LOOKUP) {
        MORTISE_TRY(out.table_, read_table(spec, sources));
        if (out.table_.size() >> out.bound_.bits == 0) {
            return fail(Problem{.code = Code::tensor_shape,
                                .what = "table is too short for its codes",
                                .tensor = field->tensor});
        }
    }
    if (level.flat) {
        MORTISE_CHECK(out.read_flat());
        return out;
    }
    uint64_t first = 0, count = 1;
    if (level.column_group) {
        first = grouping.indexed ? 0 : grouping.column0 / level.column_group;
        uint64_t end = grouping.indexed ? grouping.count
                                        : (grouping.column0 + grouping.columns - 1) / level.column_group + 1;
        count = end - first;
    }
    out.copier_ = std::make_shared<Copier>(out.bound_.copier(first, count));
    for (uint64_t g = 0; g < grouping.count; ++g) {
        uint64_t column = g;
        if (level.column_group == 0) {
            column = 0;
        } else if (!grouping.indexed) {
            uint64_t start = (grouping.column0 / grouping.size + g) * grouping.size;
            column = std::max(start, grouping.column0) / level.column_group - first;
        }
        out.column_of_group_.push_back(column);
    }
    return out;
}

Status ScaleMap::read_flat() {
    const Extent& extent = bound_.field->extent;
    std::vector<uint64_t> raw, row{0};
    for (uint64_t expert = 0; expert < extent.experts; ++expert) {
        auto& values = flat_.emplace_back(extent.columns);
        for (uint64_t c = 0; c < extent.columns; c += chunk) {
            uint64_t n = std::min(chunk, extent.columns - c);
            bound_.read(bound_.copier(c, n), expert, row, table_, raw, values.data() + c);
        }
    }
    return {};
}

uint64_t ScaleMap::field_row(uint64_t row) const {
    if (!level_.row_splits.empty()) {
        auto at = std::ranges::upper_bound(level_.row_splits, row);
        return static_cast<uint64_t>(at - level_.row_splits.begin());
    }
    return level_.row_group ? row / level_.row_group : 0;
}

void ScaleMap::fill_flat(uint64_t expert, std::span<const uint64_t> rows, float* out) const {
    const std::vector<float>& values = flat_[bound_.expert(expert)];
    for (uint64_t row : rows) {
        for (uint64_t g = 0; g < grouping_.count; ++g) {
            uint64_t column =
                std::max((grouping_.column0 / grouping_.size + g) * grouping_.size, grouping_.column0);
            *out++ = values[(row * spec_columns_ + column) / level_.column_group];
        }
    }
}

void ScaleMap::fill(uint64_t expert, std::span<const uint64_t> rows, std::vector<uint64_t>& raw,
                    std::vector<float>& values, float* out) const {
    uint64_t groups = grouping_.count;
    if (constant_) {
        std::fill_n(out, rows.size() * groups, value_);
        return;
    }
    if (level_.flat) return fill_flat(expert, rows, out);
    std::vector<uint64_t> distinct;  // field rows, each once in a run
    for (uint64_t row : rows) {
        uint64_t at = field_row(row);
        if (distinct.empty() || distinct.back() != at) distinct.push_back(at);
    }
    uint64_t columns = copier_->columns();
    values.resize(distinct.size() * columns);
    bound_.read(*copier_, expert, distinct, table_, raw, values.data());
    const float* from = values.data();
    size_t run = 0;
    for (uint64_t row : rows) {
        if (field_row(row) != distinct[run]) {
            ++run;
            from += columns;
        }
        for (uint64_t g = 0; g < groups; ++g) *out++ = from[column_of_group_[g]];
    }
}

}  // namespace mortise::quant
