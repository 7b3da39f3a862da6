#include "load/vectors.h"

#include <cmath>

namespace mortise::load {
namespace {

// Obligations of a bare tensor can only be `finite` here; others stay open for check_remaining.
Status check_finite(const Origin& origin, Ledger& ledger, uint32_t tensor, const std::vector<float>& values) {
    const checkpoint::TensorEntry& entry = origin.catalog.tensors()[tensor];
    for (uint32_t o = 0; o < origin.plan.obligations.size(); ++o) {
        const plan::Obligation& obligation = origin.plan.obligations[o];
        if (obligation.tensor != tensor || obligation.source != plan::none ||
            obligation.promise != plan::Promise::finite)
            continue;
        for (size_t i = 0; i < values.size(); ++i)
            if (!std::isfinite(values[i]))
                return fail(Problem{.code = Code::value_not_finite,
                                    .what = "a value is not finite",
                                    .file = origin.catalog.file_name(entry),
                                    .tensor = entry.name,
                                    .expected = "finite numbers",
                                    .found = std::to_string(values[i]) + " at element " + std::to_string(i),
                                    .fix = "download the checkpoint again, or report it to its author"});
        ledger.values_checked += values.size();
        ledger.obligation_met[o] = 1;
    }
    return {};
}

}  // namespace

Result<std::vector<float>> read_vector(const Origin& origin, Ledger& ledger, uint32_t index) {
    const plan::VectorPlan& plan = origin.plan.vectors[index];
    const checkpoint::TensorEntry& entry = origin.catalog.tensors()[plan.tensor];
    std::vector<std::byte> bytes(entry.bytes);
    MORTISE_CHECK(ledger.read(plan.tensor, 0, bytes));
    quant::Field field;
    field.tensor = entry.name;
    field.extent = {1, plan.rows, plan.columns};
    field.dtypes = {entry.dtype};
    MORTISE_TRY(std::vector<float> whole,
                quant::read_floats(field, {bytes, entry.dtype}, 0, {}, 0, plan.columns));
    MORTISE_CHECK(check_finite(origin, ledger, plan.tensor, whole));
    ledger.parameter_filled[plan.parameter] = 1;
    if (plan.n_columns == plan.columns) return whole;
    std::vector<float> mine;
    for (uint64_t r = 0; r < plan.rows; ++r) {
        const auto row = whole.begin() + static_cast<ptrdiff_t>(r * plan.columns + plan.first_column);
        mine.insert(mine.end(), row, row + static_cast<ptrdiff_t>(plan.n_columns));
    }
    return mine;
}

}  // namespace mortise::load
