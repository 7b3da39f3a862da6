#include "plan/binding.h"

#include <algorithm>

#include "plan/arena.h"
#include "registry/plugin_call.h"

namespace mortise::plan {
namespace {

using PartIds = std::vector<uint32_t>;

// What one op needs bound: its parts (if any) and which outputs they give.
struct Want {
    uint32_t op = none, kind = 0;
    PartIds parts;
    std::vector<uint32_t> outputs;
    bool gather = false, accumulate = false;
};

class Binder {
  public:
    Binder(const Options& options, std::span<const Provider> providers, LoadPlan& plan)
        : options_(options), providers_(providers), plan_(plan) {}

    // Effect: a kernel for the want. Errors: unsupported_kernel.
    Result<uint32_t> bind(const Want& want);
    // Effect: true iff some provider takes the want whole; remembers the best bid.
    bool fits(const Want& want) { return best(want).has_value(); }

  private:
    std::shared_ptr<const KernelProblem> problem_of(const Want& want) const;
    std::optional<KernelPlan> best(const Want& want);
    Error nobody(const Want& want) const;

    const Options& options_;
    std::span<const Provider> providers_;
    LoadPlan& plan_;
    std::string reasons_;  // of the last best() that found nothing
};

// The spec of a part. Those of experts may differ in what their tensors are stored as: all of it is accepted
// then.
quant::QuantSpec spec_of(const LoadPlan& plan, const PartPlan& part) {
    quant::QuantSpec spec = plan.sources[part.sources[0]].result();
    for (uint32_t id : part.sources)
        for (quant::Field& field : spec.fields)
            if (const quant::Field* own = plan.sources[id].result().find(field.role))
                for (DType dtype : own->dtypes)
                    if (!field.accepts(dtype)) field.dtypes.push_back(dtype);
    return spec;
}

uint64_t rank_width(const LoadPlan& plan, uint32_t value) { return plan.tree.widths[value]; }

uint32_t flags_of(const CachePlan& cache) {
    uint32_t flags = 0;
    if (cache.k_scale != none && cache.per_head) flags |= MORTISE_CACHE_PER_HEAD;
    if (cache.k_bias != none) flags |= MORTISE_CACHE_BIASES;
    if (cache.k_zero != none) flags |= MORTISE_CACHE_ZERO_POINTS;
    if (cache.q_scale != none) flags |= MORTISE_CACHE_QUERIES;
    return flags;
}

std::shared_ptr<const KernelProblem> Binder::problem_of(const Want& want) const {
    const model::Op& op = plan_.tree.ops[want.op];
    std::vector<uint64_t> inputs, outputs;
    for (uint32_t value : op.inputs) inputs.push_back(rank_width(plan_, value));
    for (uint32_t value : want.outputs) outputs.push_back(rank_width(plan_, value));
    std::vector<quant::QuantSpec> specs;
    for (uint32_t id : want.parts) specs.push_back(spec_of(plan_, plan_.parts[id]));
    std::vector<ProblemPart> parts;
    for (uint32_t id : want.parts) {
        const PartPlan& part = plan_.parts[id];
        parts.push_back({&specs[parts.size()], part.experts, part.n_rows, part.n_columns, part.first_row,
                         part.first_column, part.has_bias});
    }
    ProblemFacts facts{
        .activations = options_.activations, .max_rows = plan_.max_rows, .threads = options_.threads};
    facts.gather = want.gather;
    facts.accumulate = want.accumulate;
    if (op.kind == MORTISE_OP_MOE) facts.members = plan_.parts[want.parts[0]].members;
    if (op.kind == MORTISE_OP_ATTENTION)
        for (const CachePlan& cache : plan_.caches)
            if (cache.layer == static_cast<uint32_t>(op.integer(MORTISE_ATTR_LAYER))) {
                facts.cache_encoding = cache.encoding;
                facts.cache_flags = flags_of(cache);
            }
    return KernelProblem::make(want.kind, op, std::move(inputs), std::move(outputs), parts, facts);
}

std::optional<KernelPlan> Binder::best(const Want& want) {
    const auto problem = problem_of(want);
    std::optional<KernelPlan> winner;
    reasons_.clear();
    uint32_t best_rank = 0;
    for (const Provider& provider : providers_) {
        mortise_bid bid{};
        bid.head.size = sizeof bid;
        const auto status =
            registry::PluginCall::call([&] { return provider.table->bid(&problem->abi(), &bid); });
        bid.name[sizeof bid.name - 1] = bid.reason[sizeof bid.reason - 1] = 0;
        if (options_.reference_kernels && bid.score > 1) continue;
        if (status != MORTISE_OK || bid.score == 0) {
            reasons_ += (reasons_.empty() ? "" : "; ") + provider.id + ": " + bid.reason;
            continue;
        }
        const bool preferred =
            std::find(options_.prefer.begin(), options_.prefer.end(), provider.id) != options_.prefer.end();
        const uint32_t rank = bid.score + (preferred ? 100000 : 0);
        if (rank <= best_rank) continue;
        best_rank = rank;
        winner = KernelPlan{.problem = problem,
                            .provider = provider.table,
                            .provider_id = provider.id,
                            .kernel = bid.name,
                            .reason = bid.reason,
                            .score = bid.score,
                            .row_tile = bid.row_tile,
                            .workspace = bid.workspace};
        winner->alignment = bid.alignment ? bid.alignment : 64;
        winner->parts = want.parts;
    }
    if (!winner) return winner;
    winner->fallback = winner->score == 1 && !options_.reference_kernels;
    if (winner->fallback && !reasons_.empty()) winner->reason = reasons_;
    for (uint32_t p = 0; p < want.parts.size(); ++p)
        winner->packed_bytes.push_back(
            registry::PluginCall::call([&] { return winner->provider->packed_bytes(&problem->abi(), p); }));
    return winner;
}

Error Binder::nobody(const Want& want) const {
    const model::Op& op = plan_.tree.ops[want.op];
    std::string found;
    bool prepared = false;
    for (uint32_t part : want.parts) {
        const quant::QuantSpec& spec = plan_.sources[plan_.parts[part].sources[0]].result();
        found += spec.describe() + " ";
        prepared = prepared || spec.activation.granularity != MORTISE_ACTIVATION_NONE;
    }
    const bool exact = options_.activations == MORTISE_ACTIVATIONS_EXACT;
    return Error(Problem{.code = Code::unsupported_kernel,
                         .what = "no kernel for operator " + std::string(model::op_name(op.kind)),
                         .tensor = want.parts.empty() ? op.name : plan_.parts[want.parts[0]].name,
                         .expected = "a kernel provider that takes it",
                         .found = found + "(" + reasons_ + ")",
                         .fix = prepared && !exact ? "leave the inputs as they are (--activations exact)"
                                                   : "allow the reference kernels or another provider"});
}

Result<uint32_t> Binder::bind(const Want& want) {
    auto kernel = best(want);
    if (!kernel) return std::unexpected(nobody(want));
    plan_.kernels.push_back(std::move(*kernel));
    return static_cast<uint32_t>(plan_.kernels.size() - 1);
}

PartIds parts_of(const std::map<uint32_t, PartIds>& parts_of_weight, const model::Op& op) {
    PartIds parts;
    for (uint32_t weight : op.weights)
        if (const auto found = parts_of_weight.find(weight); found != parts_of_weight.end())
            parts.insert(parts.end(), found->second.begin(), found->second.end());
    return parts;
}

// One want for each bank of a mixture: gate, up and down of the same experts.
std::vector<Want> banks_of(const std::map<uint32_t, PartIds>& parts_of_weight, uint32_t o,
                           const model::Op& op) {
    const PartIds &inner = parts_of_weight.at(op.weights[0]), &down = parts_of_weight.at(op.weights[1]);
    std::vector<Want> banks;
    banks.reserve(down.size());
    for (size_t b = 0; b < down.size(); ++b)
        banks.push_back({o, op.kind, {inner[2 * b], inner[2 * b + 1], down[b]}, op.outputs, false, b > 0});
    return banks;
}

std::vector<uint32_t> vectors_of(const LoadPlan& plan, const model::Op& op) {
    std::vector<uint32_t> vectors;
    for (uint32_t weight : op.weights)
        for (uint32_t v = 0; v < plan.vectors.size(); ++v)
            if (plan.vectors[v].weight == weight) vectors.push_back(v);
    return vectors;
}

}  // namespace

Status bind_kernels(const Options& options, std::span<const Provider> providers,
                    const std::map<uint32_t, std::vector<uint32_t>>& parts_of_weight, LoadPlan& plan) {
    Binder binder(options, providers, plan);
    Problems problems;
    std::map<uint32_t, uint32_t> shared;   // part of a tied table -> its kernel
    std::map<uint32_t, uint32_t> readers;  // part -> ops that read it
    for (const model::Op& op : plan.tree.ops)
        for (uint32_t part : parts_of(parts_of_weight, op)) ++readers[part];
    const auto step = [&](const Want& want) {
        const bool table = want.parts.size() == 1 && readers[want.parts[0]] > 1;
        Want wanted = want;
        if (table && want.kind == MORTISE_OP_EMBED) return;  // bound with the head, below
        wanted.gather = table;
        const auto kernel = binder.bind(wanted);
        if (!kernel) return problems.add(kernel.error());
        if (table) shared[want.parts[0]] = *kernel;
        plan.steps.push_back({want.op, *kernel, want.outputs, vectors_of(plan, plan.tree.ops[want.op])});
    };
    for (uint32_t o = 0; o < plan.tree.ops.size(); ++o) {
        const model::Op& op = plan.tree.ops[o];
        if (op.kind == MORTISE_OP_MOE) {
            for (const Want& bank : banks_of(parts_of_weight, o, op)) step(bank);
            continue;
        }
        const Want whole{o, op.kind, parts_of(parts_of_weight, op), op.outputs};
        const bool splittable = op.kind == MORTISE_OP_LINEAR && whole.parts.size() > 1;
        if (!splittable || binder.fits(whole)) {
            step(whole);
        } else {
            for (size_t p = 0; p < whole.parts.size(); ++p)
                step({o, op.kind, {whole.parts[p]}, {op.outputs[p]}});
        }
    }
    // Gathers from a tied table come first in the graph but use the head's kernel.
    std::vector<Step> gathers;
    for (uint32_t o = 0; o < plan.tree.ops.size(); ++o) {
        const model::Op& op = plan.tree.ops[o];
        if (op.kind != MORTISE_OP_EMBED) continue;
        const PartIds parts = parts_of(parts_of_weight, op);
        if (parts.size() == 1 && shared.contains(parts[0]))
            gathers.push_back({o, shared[parts[0]], op.outputs, {}});
    }
    plan.steps.insert(plan.steps.end(), gathers.begin(), gathers.end());
    std::stable_sort(plan.steps.begin(), plan.steps.end(),
                     [](const Step& a, const Step& b) { return a.op < b.op; });
    return std::move(problems).status();
}

namespace {

// A module that is quantized while it is loaded is held whole, before and after, with the floats of a tile.
uint64_t remake_bytes(const LoadPlan& plan) {
    uint64_t most = 0;
    for (const Source& source : plan.sources) {
        if (!source.remake) continue;
        const quant::Extent& extent = source.spec.extent;
        const uint64_t weights = extent.experts * extent.rows * extent.columns;
        most = std::max(most, weights * (source.spec.bits + source.remake->spec.bits + 7) / 8 + (16u << 20));
    }
    return most;
}

}  // namespace

void estimate_memory(LoadPlan& plan) {
    Memory memory;
    uint64_t largest_tensor = 0;
    for (const KernelPlan& kernel : plan.kernels) {
        for (uint64_t bytes : kernel.packed_bytes) memory.packed += bytes;
        memory.workspace = std::max(memory.workspace, kernel.workspace);
    }
    for (const VectorPlan& vector : plan.vectors)
        memory.vectors += vector.rows * vector.n_columns * sizeof(float);
    const uint64_t slots = plan.cache_block_slots ? plan.cache_block_slots : 1;
    const uint64_t positions = (plan.max_length + slots - 1) / slots * slots;
    for (const CachePlan& cache : plan.caches)
        memory.cache += positions * cache.kv_heads *
                        (cache.row_bytes(cache.head_dim) + cache.row_bytes(cache.v_head_dim));
    // What the engine allocates: the arena, and the logits of one row (eval asks for more when it runs).
    memory.activations = arrange(plan.tree, plan.steps, plan.max_rows).bytes;
    if (plan.tree.logits < plan.tree.widths.size())
        memory.activations += plan.tree.widths[plan.tree.logits] * sizeof(float);
    for (const PartPlan& part : plan.parts) {
        uint64_t bytes = 0;
        for (uint32_t p : part.parameters) {
            const auto& extent = plan.parameters[p].extent;
            bytes += extent[0] * extent[1] * extent[2];
        }
        largest_tensor = std::max(largest_tensor, bytes);
    }
    memory.load_buffers = std::max(std::min<uint64_t>(largest_tensor, 64u << 20), remake_bytes(plan));
    plan.memory = memory;
}

}  // namespace mortise::plan
