#include "plan/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "base/text.h"
#include "plan/names.h"
#include "plan/report_asked.h"
#include "plan/report_cache.h"
#include "plan/slow.h"

namespace mortise::plan {
namespace {

// Modules by what they are: "int4 g128 asymmetric, f16 scales" -> 14.
std::map<std::string, uint64_t> kinds_of(const LoadPlan& plan) {
    std::map<std::string, uint64_t> kinds;
    for (const Source& source : plan.sources)
        if (source.kind != 0 && !source.dropped) ++kinds[source.result().describe()];
    return kinds;
}

struct KernelUse {
    uint64_t groups = 0, parts = 0, bytes = 0, weights = 0;
    uint32_t threads = 1;
    std::string reason;
    bool fallback = false;
};
// Groups by kernel and kind of weights; operators without weights only where they are slow.
std::map<std::string, KernelUse> kernels_of(const LoadPlan& plan) {
    std::map<std::string, KernelUse> uses;
    for (const KernelPlan& kernel : plan.kernels) {
        if (kernel.parts.empty() && !kernel.fallback) continue;
        const std::string what =
            kernel.parts.empty() ? std::string(model::op_name(kernel.problem->abi().kind))
                                 : plan.sources[plan.parts[kernel.parts[0]].sources[0]].result().describe();
        KernelUse& use = uses[kernel.provider_id + "/" + kernel.kernel + " " + what];
        use.weights += weights_per_token(kernel);
        use.threads = kernel.problem->abi().threads;
        use.fallback = kernel.fallback;
        use.reason = kernel.reason;
        ++use.groups;
        use.parts += kernel.parts.size();
        for (uint64_t bytes : kernel.packed_bytes) use.bytes += bytes;
    }
    return uses;
}

using Out = std::back_insert_iterator<std::string>;

void head(Out out, const Planned& planned) {
    const LoadPlan& plan = planned.plan();
    fmt::format_to(out, "checkpoint    {} ({}, {} tensors, {})\n", plan.path, plan.container,
                   planned.checkpoint().catalog.size(),
                   human_bytes(planned.checkpoint().catalog.total_bytes()));
    fmt::format_to(out, "architecture  {}\nscheme        {}\n", plan.architecture, plan.scheme);
    if (!plan.quantization.empty())
        fmt::format_to(out, "quantized to  {} while loading\n", plan.quantization);
    if (plan.size > 1) fmt::format_to(out, "rank          {} of {}\n", plan.rank, plan.size);
    for (const auto& [what, count] : kinds_of(plan))
        fmt::format_to(out, "  {:>5} {:<7}  {}\n", count, count == 1 ? "module" : "modules", what);
}

void kernels(Out out, const LoadPlan& plan) {
    if (plan.kernels.empty()) return;
    fmt::format_to(out, "kernels\n");
    for (const auto& [name, use] : kernels_of(plan)) {
        fmt::format_to(out, "  {:>5} {:<7}  {} ({} {}, {} packed)\n", use.groups,
                       use.groups == 1 ? "group" : "groups", name, use.parts,
                       use.parts == 1 ? "part" : "parts", human_bytes(use.bytes));
        if (!use.fallback) continue;
        fmt::format_to(
            out, "        slow:    exact reference kernel{}; because {}\n",
            use.weights ? ", decodes every weight for every call: " + reference_cost(use.weights, use.threads)
                        : std::string(),
            use.reason.empty() ? "no other provider is installed" : use.reason);
    }
}

void drops(Out out, const Planned& planned) {
    std::map<std::string, std::pair<uint64_t, const Drop*>> by_rule;
    for (const Drop& drop : planned.plan().drops) {
        auto& entry = by_rule[std::string(name(drop.code)) + ": " + drop.reason];
        ++entry.first;
        entry.second = &drop;
    }
    if (!by_rule.empty()) fmt::format_to(out, "dropped\n");
    for (const auto& [rule, entry] : by_rule)
        fmt::format_to(out, "  {:>5} tensors  {} (such as {})\n", entry.first, rule,
                       planned.checkpoint().catalog.tensors()[entry.second->tensor].name);
}

void memory(Out out, const LoadPlan& plan) {
    const Memory& m = plan.memory;
    fmt::format_to(out,
                   "memory        {} = weights {} + vectors {} + KV cache {} ({} positions) + activations {} "
                   "+ workspace {} + load {}\n",
                   human_bytes(m.total()), human_bytes(m.packed), human_bytes(m.vectors),
                   human_bytes(m.cache), plan.max_length, human_bytes(m.activations),
                   human_bytes(m.workspace), human_bytes(m.load_buffers));
}

}  // namespace

std::string plan_text(const Planned& planned, bool all) {
    const LoadPlan& plan = planned.plan();
    std::string text;
    const Out out = std::back_inserter(text);
    head(out, planned);
    kernels(out, plan);
    text += cache_text(planned);
    drops(out, planned);
    memory(out, plan);
    fmt::format_to(
        out,
        "proof         {} parameters tiled by {} moves, {} drops, {} obligations to check while loading\n",
        plan.parameters.size(), plan.moves.size(), plan.drops.size(), plan.obligations.size());
    fmt::format_to(out, "read so far   {} of headers' tensors ({} probed)\n",
                   human_bytes(plan.bytes_read_before_proof), plan.probed.size());
    for (const std::string& note : plan.notes) fmt::format_to(out, "note          {}\n", note);
    if (!all) return text;
    fmt::format_to(out, "modules\n");
    for (const Source& source : plan.sources)
        if (source.kind != 0)
            fmt::format_to(
                out, "  {}  [{},{}]  {}  because {}{}\n", source.canonical, source.spec.extent.rows,
                source.spec.extent.columns,
                (source.remake ? source.spec.describe() + " -> " : "") + source.result().describe(),
                source.rule, source.where.empty() ? "" : " (" + source.where + ")");
    return text;
}

Result<std::string> explain_text(const Planned& planned, const std::string& wanted) {
    const LoadPlan& plan = planned.plan();
    const Asked asked = find_module(plan, wanted);
    const auto [source, part, expert] = asked;
    if (!source) return std::unexpected(unknown(plan, wanted));
    std::string text;
    const Out out = std::back_inserter(text);
    fmt::format_to(out, "{}\n  is       {} [{},{}]{}\n", wanted, source->spec.describe(),
                   source->spec.extent.rows, source->spec.extent.columns, source->dropped ? ", dropped" : "");
    fmt::format_to(out, "  because  {}{}\n  scheme   {}\n", source->rule,
                   source->where.empty() ? "" : " (" + source->where + ")", plan.scheme);
    if (source->remake)
        fmt::format_to(out, "  becomes  {} while loading ({})\n", source->result().describe(),
                       plan.quantization);
    if (!source->note.empty()) fmt::format_to(out, "  note     {}\n", source->note);
    if (source->name != wanted) fmt::format_to(out, "  on disk  {}\n", source->name);
    for (size_t f = 0; f < source->spec.fields.size(); ++f) {
        const quant::Field& field = source->spec.fields[f];
        if (source->tensors[f] == none) {
            fmt::format_to(out, "  {:<12} absent (optional)\n", quant::role_name(field.role));
            continue;
        }
        const auto& tensor = planned.checkpoint().catalog.tensors()[source->tensors[f]];
        fmt::format_to(out, "  {:<12} {}  {}  in {}\n", quant::role_name(field.role), tensor.name,
                       to_string(tensor.dtype, tensor.shape), planned.checkpoint().catalog.file_name(tensor));
    }
    for (const Move& move : plan.moves) {
        const Parameter& parameter = plan.parameters[move.parameter];
        if (!concerns(asked, move)) continue;
        std::string transforms;
        for (Transform transform : move.transforms)
            transforms += (transforms.empty() ? "" : ", ") + std::string(name(transform));
        fmt::format_to(out, "  move     {} {} -> {} {} {}\n",
                       planned.checkpoint().catalog.tensors()[move.tensor].name, to_string(move.source),
                       quant::role_name(parameter.role), to_string(move.destination),
                       transforms.empty() ? "" : "(" + transforms + ")");
    }
    if (const KernelPlan* kernel = kernel_of(plan, part))
        fmt::format_to(out, "  kernel   {}/{}{}\n", kernel->provider_id, kernel->kernel,
                       kernel->fallback
                           ? " (reference: slow, " +
                                 reference_cost(weights_per_token(*kernel), kernel->problem->abi().threads) +
                                 "; " + kernel->reason + ")"
                       : kernel->reason.empty() ? ""
                                                : " (" + kernel->reason + ")");
    return text;
}

}  // namespace mortise::plan
