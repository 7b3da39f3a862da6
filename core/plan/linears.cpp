// Linears and banks of experts: how their parts are spelled on disk, and which rows and columns are this
// rank's.

#include <algorithm>

#include "plan/resolver.h"

namespace mortise::plan {
namespace {

using SourceIds = std::vector<uint32_t>;

// The module on disk that shows whether a spelling is used; for members of a bank, the first.
std::string evidence(const Resolver& r, const std::string& pattern) {
    return fill(r.names.on_disk(pattern).name, "{e}", "0");
}

// None of the spellings of these parts is there, or some parts are and others are not.
void missing(Resolver& r, const std::vector<std::string>& parts, const std::vector<model::Fusion>& fusions,
             bool all) {
    std::string expected;
    for (const std::string& part : parts) expected += (expected.empty() ? "" : ", ") + part + ".*";
    for (const model::Fusion& fusion : fusions)
        if (all) expected += " or " + evidence(r, fusion.name) + (has_members(fusion.name) ? ".*" : "");
    r.problems.add(Problem{.code = Code::tensor_missing,
                           .what = "module " + parts[0] + " has no tensors",
                           .file = r.checkpoint.path,
                           .tensor = parts[0],
                           .expected = expected,
                           .found = "no such tensor",
                           .fix = "the download is incomplete, or config.json belongs to another model"});
}

// How the parts of a linear are found: each by itself, or all in one fused module.
struct Found {
    bool separate = false;
    const model::Fusion* fusion = nullptr;
    explicit operator bool() const { return separate || fusion; }
};

Found find_linear(Resolver& r, const model::Linear& linear) {
    Found found;
    std::vector<std::string> absent, present;
    for (const model::Part& part : linear.parts)
        (has_weights(r, evidence(r, part.name)) ? present : absent).push_back(fill(part.name, "{e}", "0"));
    // A part may be spelled as a stack of all is elsewhere.
    const auto is_part = [&](const std::string& name) {
        return std::ranges::any_of(linear.parts,
                                   [&](const auto& part) { return evidence(r, part.name) == name; });
    };
    for (const model::Fusion& fusion : linear.fusions)
        if (has_weights(r, evidence(r, fusion.name)) && !is_part(evidence(r, fusion.name))) {
            if (found.fusion || !present.empty())
                r.problems.add(Problem{
                    .code = Code::tensor_duplicate_source,
                    .what = "two spellings of one linear are both present",
                    .file = r.checkpoint.path,
                    .tensor = fusion.name,
                    .expected = "the fused tensor or its parts",
                    .found = fusion.name + " and " + (found.fusion ? found.fusion->name : present[0])});
            found.fusion = &fusion;
        }
    if (found.fusion) return found;
    if (present.empty() && linear.head) return found;  // ties decide
    if (!absent.empty()) missing(r, absent, linear.fusions, present.empty());
    found.separate = absent.empty();
    return found;
}

// The sources of part `p`: one, or one per expert.
SourceIds sources_of(Resolver& r, const model::Linear& linear, size_t p, const Found& found) {
    const model::Part& part = linear.parts[p];
    const std::string& pattern = found.fusion ? found.fusion->name : part.name;
    const std::string disk = r.names.on_disk(pattern).name;
    const bool apart = has_members(disk);  // a tensor for each expert, or one stack of all
    SourceIds out;
    for (uint64_t e = 0; e < (apart ? linear.experts : 1); ++e) {
        const auto member = [&](const std::string& name) {
            return apart ? fill(name, "{e}", std::to_string(e)) : name;
        };
        ModuleQuery query =
            query_of(r, member(pattern), linear, found.fusion ? found.fusion->rows : part.rows);
        query.name = member(disk);
        query.experts = apart ? 1 : linear.experts;
        query.has_bias = part.bias;
        query.transposed = found.fusion && found.fusion->transposed;
        for (const model::Part& each : linear.parts) {
            if (!found.fusion && &each != &part) continue;
            query.part_names.push_back(member(each.name));
            query.part_rows.push_back(each.rows);
        }
        out.push_back(find_source(r, query));
    }
    return out;
}

model::RowMap rows_on_disk(Resolver& r, const model::Linear& linear, size_t p, const Found& found) {
    if (found.fusion) return found.fusion->maps[p];
    const auto disk = r.names.on_disk(linear.parts[p].name);
    return disk.rows ? *disk.rows : model::RowMap{};
}

// Effect: this rank's rows or columns of a part. Errors: reported.
void share_part(Resolver& r, const model::Linear& linear, const model::Part& part, PartPlan& plan) {
    plan.n_rows = part.rows;
    plan.n_columns = linear.columns;
    if (linear.partition == model::Partition::replicated || linear.head) return;  // whole on every rank
    const bool by_columns = linear.partition == model::Partition::row;
    uint64_t most_units = 0;
    for (const model::Part& each : linear.parts) most_units = std::max(most_units, each.units);
    const auto& o = r.options;
    const auto range = by_columns ? share(linear.columns, linear.column_units, linear.column_units, o.rank,
                                          o.size, part.name)
                                  : share(part.rows, part.units, most_units, o.rank, o.size, part.name);
    if (!range) return r.problems.add(range.error());
    (by_columns ? plan.first_column : plan.first_row) = range->first;
    (by_columns ? plan.n_columns : plan.n_rows) = range->count;
}

// The part plan of part `p` over `sources`; members: numbers of the experts when they are not all.
void plan_part(Resolver& r, uint32_t weight, size_t p, const Found& found, SourceIds sources,
               std::vector<uint32_t> members = {}) {
    const auto& linear = std::get<model::Linear>(r.plan.tree.weights[weight]);
    const model::Part& part = linear.parts[p];
    PartPlan plan{
        .name = part.name, .weight = weight, .sources = std::move(sources), .members = std::move(members)};
    plan.experts = plan.members.empty() ? linear.experts : plan.members.size();
    plan.rows = part.rows;
    plan.columns = linear.columns;
    plan.rows_on_disk = rows_on_disk(r, linear, p, found);
    plan.has_bias = part.bias;
    share_part(r, linear, part, plan);
    r.parts_of_weight[weight].push_back(add_part(r, std::move(plan)));
}

// The banks of one mixture of experts: gate and up, then down, each found for itself.
struct Bank {
    uint32_t weight = none;
    size_t part = 0;
    Found found;
    SourceIds sources;
};

// Do two members of a bank differ in nothing but their data?
bool alike(const Resolver& r, uint32_t a, uint32_t b) {
    const Source &one = r.plan.sources[a], &two = r.plan.sources[b];
    quant::QuantSpec left = one.spec, right = two.spec;
    for (quant::Field& field : left.fields) field.tensor.clear();
    for (quant::Field& field : right.fields) field.tensor.clear();
    if (left != right) return false;
    for (size_t f = 0; f < left.fields.size(); ++f)
        if ((one.tensors[f] == none) != (two.tensors[f] == none)) return false;
    return true;
}

// Experts that can share a kernel, by number; one group of all where experts are stacked.
std::vector<std::vector<uint32_t>> group_experts(const Resolver& r, const std::vector<Bank>& banks,
                                                 uint64_t experts) {
    std::vector<std::vector<uint32_t>> groups;
    for (uint32_t e = 0; e < experts; ++e) {
        const auto fits = [&](const std::vector<uint32_t>& group) {
            return std::ranges::all_of(banks, [&](const Bank& bank) {
                return bank.sources.size() == 1 || alike(r, bank.sources[group[0]], bank.sources[e]);
            });
        };
        const auto group = std::ranges::find_if(groups, fits);
        if (group == groups.end())
            groups.push_back({e});
        else
            group->push_back(e);
    }
    return groups;
}

// Says which kinds of experts a layer has.
void note_groups(Resolver& r, const std::vector<Bank>& banks,
                 const std::vector<std::vector<uint32_t>>& groups) {
    std::string kinds;
    for (const auto& group : groups)
        kinds +=
            (kinds.empty() ? "" : "; ") + std::to_string(group.size()) + " of " +
            r.plan.sources[banks[0].sources[banks[0].sources.size() == 1 ? 0 : group[0]]].spec.describe();
    const auto& linear = std::get<model::Linear>(r.plan.tree.weights[banks[0].weight]);
    r.plan.notes.push_back(linear.parts[0].name + ": its experts differ, planned as " +
                           std::to_string(groups.size()) + " banks: " + kinds);
}

void resolve_mixture(Resolver& r, const model::Op& op) {
    std::vector<Bank> banks;
    uint64_t experts = 0;
    bool whole = true;
    for (uint32_t weight : op.weights) {
        const auto& linear = std::get<model::Linear>(r.plan.tree.weights[weight]);
        const Found found = find_linear(r, linear);
        experts = linear.experts;
        for (size_t p = 0; found && p < linear.parts.size(); ++p)
            banks.push_back({weight, p, found, sources_of(r, linear, p, found)});
        whole &= bool(found);
    }
    for (const Bank& bank : banks) whole &= std::ranges::find(bank.sources, none) == bank.sources.end();
    if (!whole) return;  // reported
    const auto groups = group_experts(r, banks, experts);
    if (groups.size() > 1) note_groups(r, banks, groups);
    for (const auto& group : groups)
        for (const Bank& bank : banks) {
            if (groups.size() == 1) {
                plan_part(r, bank.weight, bank.part, bank.found, bank.sources);
                continue;
            }
            SourceIds sources;
            if (bank.sources.size() > 1)
                for (uint32_t e : group) sources.push_back(bank.sources[e]);
            else
                sources = bank.sources;
            plan_part(r, bank.weight, bank.part, bank.found, std::move(sources), group);
        }
}

}  // namespace

ModuleQuery query_of(const Resolver& r, const std::string& canonical, const model::Linear& linear,
                     uint64_t rows) {
    ModuleQuery query;
    query.canonical = canonical;
    query.name = r.names.on_disk(canonical).name;
    query.kind = linear.head ? MORTISE_MODULE_HEAD : MORTISE_MODULE_LINEAR;
    query.rows = rows;
    query.columns = linear.columns;
    return query;
}

void resolve_linear(Resolver& r, uint32_t weight, const model::Linear& linear) {
    const Found found = find_linear(r, linear);
    for (size_t p = 0; found && p < linear.parts.size(); ++p)
        plan_part(r, weight, p, found, sources_of(r, linear, p, found));
}

void resolve_banks(Resolver& r) {
    for (const model::Op& op : r.plan.tree.ops)
        if (op.kind == MORTISE_OP_MOE) resolve_mixture(r, op);
}

}  // namespace mortise::plan
