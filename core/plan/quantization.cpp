#include "plan/quantization.h"

#include <algorithm>

#include "plan/dialect_writer.h"
#include "plan/names.h"
#include "plan/plan.h"

namespace mortise::plan {
namespace {

bool in_use(const Source& source) { return source.kind != 0 && !source.dropped; }

Status check_floats(const LoadPlan& plan) {
    const auto coded =
        std::ranges::find_if(plan.sources, [](const Source& s) { return in_use(s) && !s.plain; });
    if (coded == plan.sources.end()) return {};
    return fail(Problem{.code = Code::lossy,
                        .what = "only float checkpoints are quantized while they are loaded",
                        .file = plan.path,
                        .tensor = coded->name,
                        .expected = "float weights",
                        .found = coded->spec.describe() + ", read by scheme " + plan.scheme,
                        .fix = "run it as it is, or write it in another dialect with mortise convert"});
}

// The same floats in the same order need no making.
bool unchanged(const Source& source, const Remake& made) {
    return made.spec.is_plain() && made.rows.empty() && made.spec.bits == source.spec.bits &&
           made.spec.encoding == source.spec.encoding;
}

// As converting does: a stack of experts that have names of their own becomes what each of them would, which
// is what the first one would. Where experts share a scale with other modules each has another one, which the
// spec of a stack cannot ask for: the dialect is asked about the stack.
Result<Target> target_of(DialectWriter& writer, const LoadPlan& plan, const Source& source) {
    const uint64_t experts = source.spec.extent.experts;
    if (has_members(source.canonical)) {
        const std::string first = member_name(source.canonical, 0);
        MORTISE_TRY(Target one, writer.target(source, first, 1, stack_place(plan.tree, first)));
        const bool alone = one.quantizer.shared.empty();
        one.spec = quant::stacked(one.spec, experts);
        if (alone && quant::validate(one.spec)) return one;
    }
    return writer.target(source, source.canonical, experts, stack_place(plan.tree, source.canonical));
}

// The experts of a bank share one kernel: they must become the same, names apart.
Status check_banks(const LoadPlan& plan) {
    const auto nameless = [&](uint32_t source) {
        quant::QuantSpec spec = plan.sources[source].result();
        for (quant::Field& field : spec.fields) field.tensor.clear();
        return spec;
    };
    for (const PartPlan& part : plan.parts)
        for (size_t s = 1; s < part.sources.size(); ++s)
            if (nameless(part.sources[s]) != nameless(part.sources[0]))
                return fail(Problem{
                    .code = Code::unsupported_variant,
                    .what = "experts of one layer would be quantized in different ways while they are loaded",
                    .tensor = plan.sources[part.sources[s]].name,
                    .expected = plan.sources[part.sources[0]].result().describe(),
                    .found = plan.sources[part.sources[s]].result().describe(),
                    .fix = "convert the checkpoint, then load it"});
    return {};
}

void mark_moves(LoadPlan& plan, uint32_t id) {
    const Source& source = plan.sources[id];
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        if (source.spec.fields[f].role != MORTISE_ROLE_CODES) continue;
        for (Move& move : plan.moves)
            if (move.tensor == source.tensors[f]) move.transforms.push_back(Transform::quantize);
    }
}

}  // namespace

std::vector<uint64_t> rows_in_order(const LoadPlan& plan, uint32_t id) {
    std::vector<uint64_t> rows;
    for (const PartPlan& part : plan.parts) {
        const bool whole = part.sources.size() == 1 && part.sources[0] == id &&
                           part.rows == plan.sources[id].spec.extent.rows;
        if (!whole || part.rows_on_disk.contiguous()) continue;
        for (uint64_t row = 0; row < part.rows; ++row) rows.push_back(part.rows_on_disk(row));
    }
    return rows;
}

std::vector<uint32_t> absent_roles(const Source& source, const quant::QuantSpec& to) {
    std::vector<uint32_t> absent;
    for (const quant::Field& field : to.fields) {
        if (!field.has(MORTISE_FIELD_OPTIONAL) && !field.has(MORTISE_FIELD_DROP_IF_ZERO)) continue;
        bool present = false;
        for (size_t f = 0; f < source.spec.fields.size(); ++f)
            present |= source.spec.fields[f].role == field.role && source.tensors[f] != none &&
                       !source.spec.fields[f].has(MORTISE_FIELD_DROP_IF_ZERO);
        if (!present) absent.push_back(field.role);
    }
    return absent;
}

Status plan_quantization(CheckpointView& view, registry::Registry& registry, const std::string& dialect,
                         LoadPlan& plan) {
    const size_t colon = dialect.find(':');
    const std::string id = dialect.substr(0, colon),
                      options = colon == std::string::npos ? "" : dialect.substr(colon + 1);
    if (id == plan.scheme && options.empty()) return {};
    MORTISE_CHECK(check_floats(plan));
    MORTISE_TRY(const auto chosen, registry.scheme_by_id(id, host()));
    MORTISE_TRY(auto writer, DialectWriter::open(*chosen.table, chosen.id, handle(&view), options));
    for (uint32_t s = 0; s < plan.sources.size(); ++s) {
        Source& source = plan.sources[s];
        if (!in_use(source)) continue;
        MORTISE_TRY(Target target, target_of(writer, plan, source));
        Remake made{std::move(target.spec), std::move(target.quantizer), rows_in_order(plan, s), {}};
        made.absent = absent_roles(source, made.spec);
        if (has_members(source.canonical) && !made.recipe.shared.empty())
            plan.notes.push_back(
                source.canonical +
                ": one second scale serves all experts, converting first gives each its own");
        if (target.plain && !target.reason.empty())
            plan.notes.push_back(source.canonical + " stays a float: " + target.reason);
        if (unchanged(source, made)) continue;
        source.remake = std::make_shared<const Remake>(std::move(made));
        mark_moves(plan, s);
    }
    plan.quantization = dialect;
    return check_banks(plan);
}

}  // namespace mortise::plan
