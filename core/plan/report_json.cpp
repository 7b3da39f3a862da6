#include "base/json.h"
#include "plan/names.h"
#include "plan/report.h"
#include "plan/report_asked.h"
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

void moves_json(json::Writer& w, const Planned& planned, const Asked* only) {
    const LoadPlan& plan = planned.plan();
    w.key("moves").begin_array();
    for (const Move& move : plan.moves) {
        const Parameter& parameter = plan.parameters[move.parameter];
        if (only && !concerns(*only, move)) continue;
        w.begin_object().entry("tensor", planned.checkpoint().catalog.tensors()[move.tensor].name);
        w.entry("source", to_string(move.source)).key("transforms").begin_array();
        for (Transform transform : move.transforms) w.value(name(transform));
        w.end_array().entry("parameter", parameter.owner);
        w.entry("role", quant::role_name(parameter.role));
        w.entry("destination", to_string(move.destination)).end_object();
    }
    w.end_array();
}

void source_json(json::Writer& w, const Planned& planned, const Source& source) {
    w.entry("module", source.canonical).entry("on_disk", source.name);
    w.key("shape").begin_array().value(source.spec.extent.rows).value(source.spec.extent.columns).end_array();
    w.entry("quantized", !source.stays_plain()).entry("kind", source.result().describe());
    if (source.remake) w.entry("made_from", source.spec.describe());
    w.entry("rule", source.rule).entry("where", source.where).entry("note", source.note);
    w.entry("dropped", source.dropped).key("tensors").begin_array();
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        if (source.tensors[f] == none) continue;
        const auto& tensor = planned.checkpoint().catalog.tensors()[source.tensors[f]];
        w.begin_object().entry("role", quant::role_name(source.spec.fields[f].role));
        w.entry("name", tensor.name);
        w.entry("dtype", mortise::name(tensor.dtype)).entry("shape", to_string(tensor.shape));
        w.entry("file", planned.checkpoint().catalog.file_name(tensor)).end_object();
    }
    w.end_array();
}

void kernel_json(json::Writer& w, const KernelPlan& kernel) {
    w.key("kernel").begin_object().entry("provider", kernel.provider_id).entry("name", kernel.kernel);
    w.entry("score", uint64_t{kernel.score}).entry("fallback", kernel.fallback);
    w.entry("reason", kernel.reason);
    const uint64_t weights = kernel.fallback ? weights_per_token(kernel) : 0;
    if (weights) w.entry("cost", reference_cost(weights, kernel.problem->abi().threads));
    w.end_object();
}

void modules_json(json::Writer& w, const Planned& planned) {
    w.key("modules").begin_array();
    for (const Source& source : planned.plan().sources) {
        if (source.kind == 0) continue;
        w.begin_object();
        source_json(w, planned, source);
        w.end_object();
    }
    w.end_array();
}

void groups_json(json::Writer& w, const LoadPlan& plan) {
    w.key("groups").begin_array();
    for (const KernelPlan& kernel : plan.kernels) {
        w.begin_object().entry("op", model::op_name(kernel.problem->abi().kind));
        w.key("parts").begin_array();
        for (uint32_t part : kernel.parts) w.value(plan.parts[part].name);
        w.end_array();
        kernel_json(w, kernel);
        w.end_object();
    }
    w.end_array();
}

void drops_json(json::Writer& w, const Planned& planned) {
    const auto& tensors = planned.checkpoint().catalog.tensors();
    w.key("drops").begin_array();
    for (const Drop& drop : planned.plan().drops) {
        w.begin_object().entry("tensor", tensors[drop.tensor].name).entry("code", name(drop.code));
        w.entry("reason", drop.reason).end_object();
    }
    w.end_array();
}

void obligations_json(json::Writer& w, const Planned& planned) {
    const auto& tensors = planned.checkpoint().catalog.tensors();
    w.key("obligations").begin_array();
    for (const Obligation& obligation : planned.plan().obligations) {
        w.begin_object().entry("tensor", tensors[obligation.tensor].name);
        w.entry("promise", promise_name(obligation.promise)).end_object();
    }
    w.end_array();
}

void memory_json(json::Writer& w, const Memory& memory) {
    w.key("memory").begin_object().entry("packed", memory.packed).entry("vectors", memory.vectors);
    w.entry("cache", memory.cache).entry("activations", memory.activations);
    w.entry("workspace", memory.workspace).entry("load_buffers", memory.load_buffers);
    w.entry("total", memory.total()).end_object();
}

void texts_json(json::Writer& w, std::string_view member, const std::vector<std::string>& texts) {
    w.key(member).begin_array();
    for (const std::string& text : texts) w.value(text);
    w.end_array();
}

}  // namespace

std::string plan_json(const Planned& planned) {
    const LoadPlan& plan = planned.plan();
    json::Writer w(1);
    w.begin_object().entry("version", 1).entry("path", plan.path).entry("container", plan.container);
    w.entry("architecture", plan.architecture).entry("scheme", plan.scheme);
    w.entry("quantization", plan.quantization);
    w.entry("rank", uint64_t{plan.rank}).entry("size", uint64_t{plan.size});
    modules_json(w, planned);
    groups_json(w, plan);
    moves_json(w, planned, nullptr);
    cache_json(w, planned);
    drops_json(w, planned);
    obligations_json(w, planned);
    memory_json(w, plan.memory);
    texts_json(w, "notes", plan.notes);
    w.entry("bytes_read_before_proof", plan.bytes_read_before_proof);
    texts_json(w, "probed", plan.probed);
    w.end_object();
    return w.take();
}

Result<std::string> explain_json(const Planned& planned, const std::string& wanted) {
    const Asked asked = find_module(planned.plan(), wanted);
    if (!asked.source) return std::unexpected(unknown(planned.plan(), wanted));
    json::Writer w(1);
    w.begin_object().entry("version", 1).entry("name", wanted);
    w.entry("scheme", planned.plan().scheme);
    source_json(w, planned, *asked.source);
    if (asked.part) moves_json(w, planned, &asked);
    if (const KernelPlan* kernel = kernel_of(planned.plan(), asked.part)) kernel_json(w, *kernel);
    w.end_object();
    return w.take();
}

}  // namespace mortise::plan
