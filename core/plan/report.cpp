#include "plan/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "base/json.h"
#include "base/text.h"
#include "plan/names.h"
#include "plan/report_cache.h"
#include "plan/slow.h"

namespace mortise::plan {
namespace {

std::string_view promise_name(Promise promise) {
    switch (promise) {
        case Promise::finite: return "finite";
        case Promise::positive: return "positive";
        case Promise::zero: return "zero";
        case Promise::constant: return "constant";
        case Promise::below_groups: return "below_groups";
        case Promise::equals_shape: return "equals_shape";
        case Promise::power_of_two: return "power_of_two";
    }
    return "?";
}

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
        const std::string what = kernel.parts.empty() ? std::string(model::op_name(kernel.problem->abi().kind))
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
    fmt::format_to(out, "checkpoint    {} ({}, {} tensors, {})\n", plan.path, plan.container, planned.checkpoint().catalog.size(),
                   human_bytes(planned.checkpoint().catalog.total_bytes()));
    fmt::format_to(out, "architecture  {}\nscheme        {}\n", plan.architecture, plan.scheme);
    if (!plan.quantization.empty()) fmt::format_to(out, "quantized to  {} while loading\n", plan.quantization);
    if (plan.size > 1) fmt::format_to(out, "rank          {} of {}\n", plan.rank, plan.size);
    for (const auto& [what, count] : kinds_of(plan)) fmt::format_to(out, "  {:>5} modules  {}\n", count, what);
}

void kernels(Out out, const LoadPlan& plan) {
    if (plan.kernels.empty()) return;
    fmt::format_to(out, "kernels\n");
    for (const auto& [name, use] : kernels_of(plan)) {
        fmt::format_to(out, "  {:>5} groups   {} ({} parts, {} packed)\n", use.groups, name, use.parts, human_bytes(use.bytes));
        if (!use.fallback) continue;
        fmt::format_to(out, "        slow:    exact reference kernel{}; because {}\n",
                       use.weights ? ", decodes every weight for every call: " + reference_cost(use.weights, use.threads) : std::string(),
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
    fmt::format_to(out, "memory        {} = weights {} + vectors {} + KV cache {} ({} positions) + activations {} + workspace {} + load {}\n",
                   human_bytes(m.total()), human_bytes(m.packed), human_bytes(m.vectors), human_bytes(m.cache), plan.max_length,
                   human_bytes(m.activations), human_bytes(m.workspace), human_bytes(m.load_buffers));
}

// A module or part that was asked for by name.
struct Asked {
    const Source* source = nullptr;
    const PartPlan* part = nullptr;
    std::optional<uint64_t> expert;  // of the part: place in its bank
};

// The place in the bank of the expert that `name` means, as in "experts.7.up_proj".
std::optional<uint64_t> expert_of(const PartPlan& part, const std::string& name) {
    const size_t hole = part.name.find("{e}");
    if (hole == std::string::npos) return std::nullopt;
    for (uint64_t i = 0; i < part.experts; ++i)
        if (fill(part.name, "{e}", std::to_string(part.number(i))) == name) return i;
    return std::nullopt;
}

Asked find_module(const LoadPlan& plan, const std::string& name) {
    for (const PartPlan& part : plan.parts) {
        if (part.sources.empty()) continue;
        const auto expert = expert_of(part, name);
        if (part.name != name && !expert) continue;
        return {&plan.sources[part.sources[expert && part.sources.size() > 1 ? *expert : 0]], &part, expert};
    }
    for (uint32_t s = 0; s < plan.sources.size(); ++s) {
        if (plan.sources[s].name != name && plan.sources[s].canonical != name) continue;
        Asked asked{&plan.sources[s], nullptr, {}};
        for (const PartPlan& part : plan.parts)
            if (std::ranges::find(part.sources, s) != part.sources.end()) asked.part = &part;
        return asked;
    }
    return {};
}

// Is the move one of what was asked for?
bool concerns(const Asked& asked, const Move& move) {
    if (!asked.part || std::ranges::find(asked.part->parameters, move.parameter) == asked.part->parameters.end()) return false;
    return !asked.expert || (move.destination.begin[0] <= *asked.expert && *asked.expert < move.destination.end[0]);
}

Error unknown(const LoadPlan& plan, const std::string& name) {
    std::vector<std::string> names;
    names.reserve(plan.parts.size() + plan.sources.size());
    for (const PartPlan& part : plan.parts) names.push_back(part.name);
    for (const Source& source : plan.sources) names.push_back(source.canonical);
    const auto close = nearest(name, names);
    return Error(Problem{.code = Code::usage,
                         .what = "no module or part is called '" + name + "'",
                         .fix = close.empty() ? "see `mortise plan --all` for the names" : "did you mean " + std::string(close) + "?"});
}

const KernelPlan* kernel_of(const LoadPlan& plan, const PartPlan* part) {
    for (const KernelPlan& kernel : plan.kernels)
        for (uint32_t id : kernel.parts)
            if (&plan.parts[id] == part) return &kernel;
    return nullptr;
}

void moves_json(json::Writer& w, const Planned& planned, const Asked* only) {
    const LoadPlan& plan = planned.plan();
    w.key("moves").begin_array();
    for (const Move& move : plan.moves) {
        const Parameter& parameter = plan.parameters[move.parameter];
        if (only && !concerns(*only, move)) continue;
        w.begin_object().key("tensor").value(planned.checkpoint().catalog.tensors()[move.tensor].name);
        w.key("source").value(to_string(move.source)).key("transforms").begin_array();
        for (Transform transform : move.transforms) w.value(name(transform));
        w.end_array().key("parameter").value(parameter.owner).key("role").value(quant::role_name(parameter.role));
        w.key("destination").value(to_string(move.destination)).end_object();
    }
    w.end_array();
}

void source_json(json::Writer& w, const Planned& planned, const Source& source) {
    w.key("module").value(source.canonical).key("on_disk").value(source.name);
    w.key("shape").begin_array().value(source.spec.extent.rows).value(source.spec.extent.columns).end_array();
    w.key("quantized").value(!source.stays_plain()).key("kind").value(source.result().describe());
    if (source.remake) w.key("made_from").value(source.spec.describe());
    w.key("rule").value(source.rule).key("where").value(source.where).key("note").value(source.note);
    w.key("dropped").value(source.dropped).key("tensors").begin_array();
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        if (source.tensors[f] == none) continue;
        const auto& tensor = planned.checkpoint().catalog.tensors()[source.tensors[f]];
        w.begin_object().key("role").value(quant::role_name(source.spec.fields[f].role)).key("name").value(tensor.name);
        w.key("dtype").value(mortise::name(tensor.dtype)).key("shape").value(to_string(tensor.shape));
        w.key("file").value(planned.checkpoint().catalog.file_name(tensor)).end_object();
    }
    w.end_array();
}

void kernel_json(json::Writer& w, const KernelPlan& kernel) {
    w.key("kernel").begin_object().key("provider").value(kernel.provider_id).key("name").value(kernel.kernel);
    w.key("score").value(uint64_t{kernel.score}).key("fallback").value(kernel.fallback).key("reason").value(kernel.reason);
    const uint64_t weights = kernel.fallback ? weights_per_token(kernel) : 0;
    if (weights) w.key("cost").value(reference_cost(weights, kernel.problem->abi().threads));
    w.end_object();
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
    fmt::format_to(out, "proof         {} parameters tiled by {} moves, {} drops, {} obligations to check while loading\n",
                   plan.parameters.size(), plan.moves.size(), plan.drops.size(), plan.obligations.size());
    fmt::format_to(out, "read so far   {} of headers' tensors ({} probed)\n", human_bytes(plan.bytes_read_before_proof), plan.probed.size());
    for (const std::string& note : plan.notes) fmt::format_to(out, "note          {}\n", note);
    if (!all) return text;
    fmt::format_to(out, "modules\n");
    for (const Source& source : plan.sources)
        if (source.kind != 0)
            fmt::format_to(out, "  {}  [{},{}]  {}  because {}{}\n", source.canonical, source.spec.extent.rows, source.spec.extent.columns,
                           (source.remake ? source.spec.describe() + " -> " : "") + source.result().describe(), source.rule, source.where.empty() ? "" : " (" + source.where + ")");
    return text;
}

std::string plan_json(const Planned& planned) {
    const LoadPlan& plan = planned.plan();
    json::Writer w(1);
    w.begin_object().key("version").value(1).key("path").value(plan.path).key("container").value(plan.container);
    w.key("architecture").value(plan.architecture).key("scheme").value(plan.scheme).key("quantization").value(plan.quantization);
    w.key("rank").value(uint64_t{plan.rank}).key("size").value(uint64_t{plan.size}).key("modules").begin_array();
    for (const Source& source : plan.sources) {
        if (source.kind == 0) continue;
        w.begin_object();
        source_json(w, planned, source);
        w.end_object();
    }
    w.end_array().key("groups").begin_array();
    for (const KernelPlan& kernel : plan.kernels) {
        w.begin_object().key("op").value(model::op_name(kernel.problem->abi().kind)).key("parts").begin_array();
        for (uint32_t part : kernel.parts) w.value(plan.parts[part].name);
        w.end_array();
        kernel_json(w, kernel);
        w.end_object();
    }
    w.end_array();
    moves_json(w, planned, nullptr);
    cache_json(w, planned);
    w.key("drops").begin_array();
    for (const Drop& drop : plan.drops)
        w.begin_object().key("tensor").value(planned.checkpoint().catalog.tensors()[drop.tensor].name).key("code").value(name(drop.code))
            .key("reason").value(drop.reason).end_object();
    w.end_array().key("obligations").begin_array();
    for (const Obligation& obligation : plan.obligations)
        w.begin_object().key("tensor").value(planned.checkpoint().catalog.tensors()[obligation.tensor].name).key("promise")
            .value(promise_name(obligation.promise)).end_object();
    const Memory& m = plan.memory;
    w.end_array().key("memory").begin_object().key("packed").value(m.packed).key("vectors").value(m.vectors).key("cache").value(m.cache);
    w.key("activations").value(m.activations).key("workspace").value(m.workspace).key("load_buffers").value(m.load_buffers);
    w.key("total").value(m.total()).end_object().key("notes").begin_array();
    for (const std::string& note : plan.notes) w.value(note);
    w.end_array().key("bytes_read_before_proof").value(plan.bytes_read_before_proof).key("probed").begin_array();
    for (const std::string& tensor : plan.probed) w.value(tensor);
    w.end_array().end_object();
    return w.take();
}

Result<std::string> explain_text(const Planned& planned, const std::string& wanted) {
    const LoadPlan& plan = planned.plan();
    const Asked asked = find_module(plan, wanted);
    const auto [source, part, expert] = asked;
    if (!source) return std::unexpected(unknown(plan, wanted));
    std::string text;
    const Out out = std::back_inserter(text);
    fmt::format_to(out, "{}\n  is       {} [{},{}]{}\n", wanted, source->spec.describe(), source->spec.extent.rows, source->spec.extent.columns,
                   source->dropped ? ", dropped" : "");
    fmt::format_to(out, "  because  {}{}\n  scheme   {}\n", source->rule, source->where.empty() ? "" : " (" + source->where + ")", plan.scheme);
    if (source->remake) fmt::format_to(out, "  becomes  {} while loading ({})\n", source->result().describe(), plan.quantization);
    if (!source->note.empty()) fmt::format_to(out, "  note     {}\n", source->note);
    if (source->name != wanted) fmt::format_to(out, "  on disk  {}\n", source->name);
    for (size_t f = 0; f < source->spec.fields.size(); ++f) {
        const quant::Field& field = source->spec.fields[f];
        if (source->tensors[f] == none) {
            fmt::format_to(out, "  {:<12} absent (optional)\n", quant::role_name(field.role));
            continue;
        }
        const auto& tensor = planned.checkpoint().catalog.tensors()[source->tensors[f]];
        fmt::format_to(out, "  {:<12} {}  {}  in {}\n", quant::role_name(field.role), tensor.name, to_string(tensor.dtype, tensor.shape),
                       planned.checkpoint().catalog.file_name(tensor));
    }
    for (const Move& move : plan.moves) {
        const Parameter& parameter = plan.parameters[move.parameter];
        if (!concerns(asked, move)) continue;
        std::string transforms;
        for (Transform transform : move.transforms) transforms += (transforms.empty() ? "" : ", ") + std::string(name(transform));
        fmt::format_to(out, "  move     {} {} -> {} {} {}\n", planned.checkpoint().catalog.tensors()[move.tensor].name, to_string(move.source),
                       quant::role_name(parameter.role), to_string(move.destination), transforms.empty() ? "" : "(" + transforms + ")");
    }
    if (const KernelPlan* kernel = kernel_of(plan, part))
        fmt::format_to(out, "  kernel   {}/{}{}\n", kernel->provider_id, kernel->kernel, kernel->fallback ? " (reference: slow, " + reference_cost(weights_per_token(*kernel), kernel->problem->abi().threads) + "; " + kernel->reason + ")"
                                                                                                    : kernel->reason.empty() ? "" : " (" + kernel->reason + ")");
    return text;
}

Result<std::string> explain_json(const Planned& planned, const std::string& wanted) {
    const Asked asked = find_module(planned.plan(), wanted);
    if (!asked.source) return std::unexpected(unknown(planned.plan(), wanted));
    json::Writer w(1);
    w.begin_object().key("version").value(1).key("name").value(wanted).key("scheme").value(planned.plan().scheme);
    source_json(w, planned, *asked.source);
    if (asked.part) moves_json(w, planned, &asked);
    if (const KernelPlan* kernel = kernel_of(planned.plan(), asked.part)) kernel_json(w, *kernel);
    w.end_object();
    return w.take();
}

}  // namespace mortise::plan
