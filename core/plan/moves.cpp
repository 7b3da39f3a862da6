// Parameters and moves of a part: which box of which tensor fills which role.

#include <algorithm>

#include "plan/resolver.h"

namespace mortise::plan {
namespace {

struct Span {
    uint64_t begin = 0, end = 0;
};

// Rows of the source that this rank's part touches.
Span source_rows(const PartPlan& part) {
    uint64_t low = ~uint64_t{0}, high = 0;
    if (part.rows_on_disk.contiguous())
        return {part.rows_on_disk.offset + part.first_row,
                part.rows_on_disk.offset + part.first_row + part.n_rows};
    for (uint64_t row = part.first_row; row < part.first_row + part.n_rows; ++row) {
        const uint64_t at = part.rows_on_disk(row);
        low = std::min(low, at);
        high = std::max(high, at + 1);
    }
    return {low, high};
}

const quant::Level* level_of(const quant::QuantSpec& spec, uint32_t role) {
    for (const quant::Level& level : spec.levels)
        if (level.role == role) return &level;
    if (spec.zero_map.role == role) return &spec.zero_map;
    if (spec.addend_scale.role == role) return &spec.addend_scale;
    return nullptr;
}

Span grouped(Span span, uint64_t group, uint64_t extent) {
    if (group == 0) return {0, extent};
    return {span.begin / group, std::min((span.end + group - 1) / group, extent)};
}

Span split(Span span, const std::vector<uint64_t>& ends) {
    const auto piece = [&](uint64_t row) {
        return static_cast<uint64_t>(std::upper_bound(ends.begin(), ends.end(), row) - ends.begin());
    };
    return {piece(span.begin), piece(span.end - 1) + 1};
}

// The box of a field's elements that this rank needs, rows and columns; nothing when no part pulls the field.
struct Need {
    Span rows, columns;
    bool wanted = true, permuted = false;
};
Need need_of(const PartPlan& part, const quant::QuantSpec& spec, const quant::Field& field, Span rows,
             Span columns) {
    const Span all_rows{0, field.extent.rows}, all_columns{0, field.extent.columns};
    const bool permuted = !part.rows_on_disk.contiguous();
    if (const quant::Level* level = level_of(spec, field.role)) {
        if (level->flat) return {all_rows, all_columns};
        const Span r = level->row_splits.empty() ? grouped(rows, level->row_group, field.extent.rows)
                                                 : split(rows, level->row_splits);
        const Span c = spec.indexed() && level->column_group
                           ? all_columns
                           : grouped(columns, level->column_group, field.extent.columns);
        return {r, c, true, permuted && level->row_group == 1};
    }
    switch (field.role) {
        case MORTISE_ROLE_CODES: return {rows, columns, true, permuted};
        case MORTISE_ROLE_BIAS:
            return {rows, all_columns, part.has_bias && !field.has(MORTISE_FIELD_DROP_IF_ZERO), permuted};
        case MORTISE_ROLE_LOW_RANK_B: return {rows, all_columns, true, permuted};
        case MORTISE_ROLE_PRE_SCALE:
        case MORTISE_ROLE_G_IDX:
        case MORTISE_ROLE_LOW_RANK_A: return {all_rows, columns};
        case MORTISE_ROLE_SHAPE:
        case MORTISE_ROLE_UNUSED: return {all_rows, all_columns, false};
        default: return {all_rows, all_columns};
    }
}

std::vector<Transform> transforms_of(const quant::Field& field, DType stored, const Need& need) {
    std::vector<Transform> list;
    if (field.shapes.size() > 1) list.push_back(Transform::reshape);
    if (!field.layout.dense()) list.push_back(Transform::relayout);
    if (need.rows.end - need.rows.begin != field.extent.rows ||
        need.columns.end - need.columns.begin != field.extent.columns)
        list.push_back(Transform::slice);
    if (need.permuted) list.push_back(Transform::permute_rows);
    if (field.role != MORTISE_ROLE_CODES && stored != DType::f32) list.push_back(Transform::widen);
    return list;
}

// One parameter per role; experts are filled one source after the other.
uint32_t parameter_of(Resolver& r, uint32_t part_id, const quant::Field& field, const Need& need) {
    PartPlan& part = r.plan.parts[part_id];
    for (uint32_t p : part.parameters)
        if (r.plan.parameters[p].role == field.role) return p;
    Parameter parameter{part.name, field.role, {}, field.has(MORTISE_FIELD_OPTIONAL), field.default_value};
    parameter.extent = {part.experts, need.rows.end - need.rows.begin, need.columns.end - need.columns.begin};
    const auto id = static_cast<uint32_t>(r.plan.parameters.size());
    r.plan.parameters.push_back(parameter);
    part.parameters.push_back(id);
    return id;
}

// Experts [expert, expert + experts) of the part come from as many of the source, `from` on.
void add_source_moves(Resolver& r, uint32_t part_id, uint64_t expert, uint64_t experts, const Source& source,
                      uint64_t from = 0) {
    const PartPlan& part = r.plan.parts[part_id];
    const Span rows = source_rows(part), columns{part.first_column, part.first_column + part.n_columns};
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        const quant::Field& field = source.spec.fields[f];
        const Need need = need_of(part, source.spec, field, rows, columns);
        if (!need.wanted) continue;
        if (source.tensors[f] == none && field.role == MORTISE_ROLE_BIAS && !part.has_bias) continue;
        // A field that serves all experts of a stack is moved for each.
        const uint32_t parameter = parameter_of(r, part_id, field, need);
        const uint64_t of_source = std::min<uint64_t>(field.extent.experts, experts),
                       first = field.extent.experts > 1 ? from : 0;
        Move move{.tensor = source.tensors[f], .parameter = parameter};
        move.destination = {
            {expert, 0, 0},
            {expert + experts, need.rows.end - need.rows.begin, need.columns.end - need.columns.begin}};
        if (move.tensor == none) continue;  // optional and absent: the default stands
        move.source = {{first, need.rows.begin, need.columns.begin},
                       {first + of_source, need.rows.end, need.columns.end}};
        move.transforms = transforms_of(field, r.catalog().tensors()[move.tensor].dtype, need);
        r.plan.moves.push_back(std::move(move));
    }
}

}  // namespace

uint32_t add_part(Resolver& r, PartPlan part) {
    const auto id = static_cast<uint32_t>(r.plan.parts.size());
    r.plan.parts.push_back(std::move(part));
    add_moves(r, id);
    return id;
}

void add_moves(Resolver& r, uint32_t part_id) {
    const std::vector<uint32_t> sources = r.plan.parts[part_id].sources,
                                members = r.plan.parts[part_id].members;
    const uint64_t experts = r.plan.parts[part_id].experts;
    for (size_t s = 0; s < sources.size(); ++s) {
        if (sources[s] == none) continue;
        const Source& source = r.plan.sources[sources[s]];
        const bool some = source.spec.extent.experts > 1 && !members.empty();  // of a stack
        for (uint64_t e = 0; some && e < experts; ++e) add_source_moves(r, part_id, e, 1, source, members[e]);
        if (!some) add_source_moves(r, part_id, s, sources.size() == 1 ? experts : 1, source);
    }
}

}  // namespace mortise::plan
