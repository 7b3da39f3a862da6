#include "load/shared_table.h"

#include <algorithm>
#include <cstring>

#include "registry/plugin_call.h"

namespace mortise::load {
namespace {

struct Pair {
    const plan::Step *embedding = nullptr, *head = nullptr;
};

bool is_head(const plan::LoadPlan& plan, const model::Op& op) {
    if (op.kind != MORTISE_OP_LINEAR || op.weights.size() != 1) return false;
    const auto* linear = std::get_if<model::Linear>(&plan.tree.weights[op.weights[0]]);
    return linear && linear->head;
}

Pair find_pair(const plan::LoadPlan& plan) {
    Pair pair;
    for (const plan::Step& step : plan.steps) {
        const model::Op& op = plan.tree.ops[step.op];
        if (op.kind == MORTISE_OP_EMBED) pair.embedding = &step;
        if (is_head(plan, op)) pair.head = &step;
    }
    return pair;
}

// A whole float matrix in the file's order, without a bias: the tensor of its codes; else none.
uint32_t whole_table(const plan::LoadPlan& plan, const plan::KernelPlan& kernel) {
    if (kernel.parts.size() != 1) return plan::none;
    const plan::PartPlan& part = plan.parts[kernel.parts[0]];
    const plan::Source& source = plan.sources[part.sources[0]];
    const bool whole = part.n_rows == part.rows && part.n_columns == part.columns && part.experts == 1 &&
                       source.spec.extent.rows == part.rows && part.rows_on_disk == model::RowMap{} &&
                       !part.has_bias;
    if (!whole || !source.plain || source.remake || source.spec.fields.size() != 1 ||
        !source.spec.fields[0].layout.dense())
        return plan::none;
    return source.tensors[0];
}

Result<bool> equal_bytes(Ledger& ledger, uint32_t a, uint32_t b) {
    constexpr uint64_t step = 1u << 20;
    const auto& tensors = ledger.reader.catalog().tensors();
    if (tensors[a].dtype != tensors[b].dtype || tensors[a].shape != tensors[b].shape) return false;
    std::vector<std::byte> left(std::min(step, tensors[a].bytes)), right(left.size());
    for (uint64_t at = 0; at < tensors[a].bytes; at += step) {
        const uint64_t bytes = std::min(step, tensors[a].bytes - at);
        MORTISE_CHECK(ledger.read(a, at, std::span(left).first(bytes)));
        MORTISE_CHECK(ledger.read(b, at, std::span(right).first(bytes)));
        if (std::memcmp(left.data(), right.data(), bytes) != 0) return false;
    }
    return true;
}

// The head's kernel, asked to gather as well; nothing when the provider's answer is worse.
std::optional<plan::KernelPlan> bind_both(const plan::LoadPlan& plan, const plan::Step& head) {
    plan::KernelPlan kernel = plan.kernels[head.kernel];
    const mortise_problem& old = kernel.problem->abi();
    const plan::PartPlan& part = plan.parts[kernel.parts[0]];
    plan::ProblemFacts facts{.activations = old.activations,
                             .max_rows = old.max_rows,
                             .threads = old.threads,
                             .device_kind = old.device_kind,
                             .gather = true};
    const std::vector<plan::ProblemPart> parts = {
        {&plan.sources[part.sources[0]].spec, 1, part.n_rows, part.n_columns, 0, 0, false}};
    kernel.problem = plan::KernelProblem::make(MORTISE_OP_LINEAR, plan.tree.ops[head.op], {part.columns},
                                               {part.rows}, parts, facts);
    mortise_bid bid{};
    bid.head.size = sizeof bid;
    uint64_t planned = 0;
    for (const plan::KernelPlan& each : plan.kernels) planned = std::max(planned, each.workspace);
    const auto status =
        registry::PluginCall::call([&] { return kernel.provider->bid(&kernel.problem->abi(), &bid); });
    if (status != MORTISE_OK || bid.score < kernel.score || bid.score == 0 || bid.workspace > planned)
        return {};
    kernel.row_tile = bid.row_tile;
    kernel.alignment = bid.alignment ? bid.alignment : 64;
    kernel.packed_bytes = {
        registry::PluginCall::call([&] { return kernel.provider->packed_bytes(&kernel.problem->abi(), 0); })};
    return kernel;
}

}  // namespace

Result<std::optional<SharedTable>> find_shared_table(const Origin& origin, Ledger& ledger) {
    using None = std::optional<SharedTable>;
    const plan::LoadPlan& plan = origin.plan;
    const Pair pair = find_pair(plan);
    if (!pair.embedding || !pair.head || pair.embedding->kernel == pair.head->kernel) return None{};
    const uint32_t a = whole_table(plan, plan.kernels[pair.embedding->kernel]),
                   b = whole_table(plan, plan.kernels[pair.head->kernel]);
    if (a == plan::none || b == plan::none || a == b) return None{};
    MORTISE_TRY(const bool equal, equal_bytes(ledger, a, b));
    if (!equal) return None{};
    auto kernel = bind_both(plan, *pair.head);
    if (!kernel) return None{};
    return SharedTable{pair.embedding->kernel, pair.head->kernel, std::move(*kernel)};
}

}  // namespace mortise::load
