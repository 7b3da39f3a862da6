#include "load/contents.h"

#include <algorithm>

namespace mortise::load {
namespace {

using plan::Obligation;
using plan::Promise;

// Column groups that a column map may name: those of the first scale level, or what the spec says.
uint64_t groups_of(const quant::QuantSpec& spec) {
    for (const quant::Level& level : spec.levels)
        if (const quant::Field* scale = level.role ? spec.find(level.role) : nullptr;
            scale && level.column_group)
            return scale->extent.columns;
    return spec.column_groups();
}

void add(quant::ContentRules& rules, const Obligation& obligation, const quant::ContentRules& of_field) {
    switch (obligation.promise) {
        case Promise::finite: rules.finite = true; break;
        case Promise::positive: rules.positive = true; break;
        case Promise::zero: rules.zero = true; break;
        case Promise::power_of_two: rules.power_of_two = true; break;
        case Promise::constant:
            rules.constant = true;
            rules.value = obligation.value;
            break;
        case Promise::below_groups:
            rules.below = obligation.value > 0 ? static_cast<int64_t>(obligation.value) : of_field.below;
            rules.unset_allowed = of_field.unset_allowed;
            break;
        case Promise::equals_shape: break;
    }
}

std::string list(const std::vector<float>& values) {
    std::string text = "[";
    for (float value : values)
        text += (text.size() > 1 ? "," : "") + std::to_string(static_cast<int64_t>(value));
    return text + "]";
}

// A stored shape must be the module's: [rows, columns], or with the experts in front.
Status check_shape(const quant::QuantSpec& spec, const quant::Field& field, const quant::FieldBytes& bytes) {
    MORTISE_TRY(const std::vector<float> stored,
                quant::read_floats(field, bytes, 0, {}, 0, field.extent.columns));
    const auto rows = static_cast<float>(spec.extent.rows), columns = static_cast<float>(spec.extent.columns);
    const std::vector<float> flat{rows, columns},
        stacked{static_cast<float>(spec.extent.experts), rows, columns};
    if (stored == flat || stored == stacked) return {};
    return fail(Problem{.code = Code::value_obligation,
                        .what = "the stored shape is not the module's",
                        .expected = list(flat),
                        .found = list(stored)});
}

// A tensor that belongs to no field of a module: only `finite` and `zero` can be promised of it.
Status check_bare(const Origin& origin, Ledger& ledger, const Obligation& obligation) {
    const checkpoint::TensorEntry& tensor = origin.catalog.tensors()[obligation.tensor];
    quant::Field field;
    field.tensor = tensor.name;
    field.extent = {1, 1, elements(tensor.shape).value_or(0)};
    field.dtypes = {tensor.dtype};
    quant::ContentRules rules;
    add(rules, obligation, rules);
    std::vector<std::byte> bytes(tensor.bytes);
    MORTISE_CHECK(ledger.read(obligation.tensor, 0, bytes));
    auto checked = quant::check_contents(field, {bytes, tensor.dtype}, rules, 0, 0, 1);
    if (!checked)
        return std::unexpected(std::move(checked).error().in_file(origin.catalog.file_name(tensor)));
    ledger.values_checked += *checked;
    return {};
}

}  // namespace

Duties duties_of(const Ledger& ledger, uint32_t source, uint32_t field) {
    Duties duties;
    const quant::QuantSpec& spec = ledger.plan.sources[source].spec;
    const quant::ContentRules of_field = quant::content_rules(spec.fields[field], groups_of(spec));
    for (uint32_t o : ledger.obligations_of[source]) {
        const Obligation& obligation = ledger.plan.obligations[o];
        if (obligation.field != field) continue;
        duties.obligations.push_back(o);
        add(duties.rules, obligation, of_field);
        duties.shape |= obligation.promise == Promise::equals_shape;
    }
    return duties;
}

Status check_rows(Ledger& ledger, const Duties& duties, uint32_t source, uint32_t field,
                  const quant::FieldBytes& bytes, uint64_t expert, uint64_t row0, uint64_t rows) {
    if (duties.nothing() || !bytes.present()) return {};
    const plan::Source& s = ledger.plan.sources[source];
    const auto where = [&](Error error) {
        const auto& catalog = ledger.reader.catalog();
        const auto& tensor = catalog.tensors()[s.tensors[field]];
        return std::unexpected(std::move(error).in_tensor(tensor.name).in_file(catalog.file_name(tensor)));
    };
    if (duties.shape)
        if (auto same = check_shape(s.spec, s.spec.fields[field], bytes); !same)
            return where(std::move(same).error());
    auto checked = quant::check_contents(s.spec.fields[field], bytes, duties.rules, expert, row0, rows);
    if (!checked) return where(std::move(checked).error());
    ledger.values_checked += *checked;
    return {};
}

void mark_met(Ledger& ledger, const Duties& duties) {
    for (uint32_t o : duties.obligations) ledger.obligation_met[o].store(1, std::memory_order_relaxed);
}

Status check_field(Ledger& ledger, uint32_t source, uint32_t field, const quant::FieldBytes& bytes) {
    const Duties duties = duties_of(ledger, source, field);
    const auto met = [&](uint32_t o) {
        return ledger.obligation_met[o].load(std::memory_order_relaxed) != 0;
    };
    if (std::ranges::all_of(duties.obligations, met)) return {};
    const quant::Extent& extent = ledger.plan.sources[source].spec.fields[field].extent;
    for (uint64_t e = 0; e < extent.experts; ++e)
        MORTISE_CHECK(check_rows(ledger, duties, source, field, bytes, e, 0, extent.rows));
    mark_met(ledger, duties);
    return {};
}

Status check_remaining(const Origin& origin, Ledger& ledger) {
    Problems problems;
    for (uint32_t o = 0; o < origin.plan.obligations.size(); ++o) {
        const Obligation& obligation = origin.plan.obligations[o];
        if (ledger.obligation_met[o]) continue;
        Status checked;
        if (obligation.source == plan::none) {
            checked = check_bare(origin, ledger, obligation);
            if (checked) ledger.obligation_met[o] = 1;
        } else {
            const checkpoint::TensorEntry& tensor = origin.catalog.tensors()[obligation.tensor];
            std::vector<std::byte> bytes(tensor.bytes);
            checked = ledger.read(obligation.tensor, 0, bytes);
            if (checked)
                checked = check_field(ledger, obligation.source, obligation.field, {bytes, tensor.dtype});
        }
        if (!checked) problems.add(checked.error());
    }
    return std::move(problems).status();
}

}  // namespace mortise::load
