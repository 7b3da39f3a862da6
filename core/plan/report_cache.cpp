#include "plan/report_cache.h"

#include <fmt/format.h>

#include <map>
#include <utility>
#include <vector>

#include "base/text.h"

namespace mortise::plan {
namespace {

using Numbers = std::vector<std::pair<std::string_view, uint32_t>>;

// What has effect: name of the number, VectorPlan.
Numbers numbers_of(const CachePlan& cache) {
    Numbers out;
    const std::pair<std::string_view, uint32_t> all[] = {
        {"k_scale", cache.k_scale}, {"v_scale", cache.v_scale}, {"q_scale", cache.q_scale},
        {"k_bias", cache.k_bias},   {"v_bias", cache.v_bias},   {"k_zero", cache.k_zero},
        {"v_zero", cache.v_zero}};
    for (const auto& each : all)
        if (each.second != none) out.push_back(each);
    return out;
}

std::string tensor_of(const Planned& planned, uint32_t vector) {
    return planned.checkpoint().catalog.tensors()[planned.plan().vectors[vector].tensor].name;
}

const KernelPlan* kernel_of(const LoadPlan& plan, const CachePlan& cache) {
    for (const Step& step : plan.steps)
        if (step.op == cache.op) return &plan.kernels[step.kernel];
    return nullptr;
}

uint64_t position_bytes(const CachePlan& cache) {
    return cache.kv_heads * (cache.row_bytes(cache.head_dim) + cache.row_bytes(cache.v_head_dim));
}

// "k_scale, v_scale per head"; of a coded cache without any: "scale 1".
std::string granularity(const CachePlan& cache) {
    std::string out;
    for (const auto& [name, vector] : numbers_of(cache)) out += (out.empty() ? "" : ", ") + std::string(name);
    if (cache.k_scale != none) return out + (cache.per_head ? ", per head" : ", per tensor");
    return cache.bits < 16 ? "scale 1" : "no scales";
}

}  // namespace

std::string cache_text(const Planned& planned) {
    const LoadPlan& plan = planned.plan();
    std::map<std::string, std::pair<uint64_t, const CachePlan*>> alike;
    for (const CachePlan& cache : plan.caches) {
        const KernelPlan* kernel = kernel_of(plan, cache);
        auto& entry = alike[fmt::format("{} ({} heads of {}+{}, {} a position, {}){}", cache_name(cache),
                                        cache.kv_heads, cache.head_dim, cache.v_head_dim,
                                        human_bytes(position_bytes(cache)), granularity(cache),
                                        kernel ? " by " + kernel->provider_id + "/" + kernel->kernel : "")];
        ++entry.first;
        if (!entry.second) entry.second = &cache;
    }
    std::string text;
    for (const auto& [what, entry] : alike) {
        const CachePlan& cache = *entry.second;
        text += fmt::format("KV cache      {} {}  {}\n", entry.first,
                            entry.first == 1 ? "attention" : "attentions", what);
        for (const auto& [name, vector] : numbers_of(cache))
            text +=
                fmt::format("        {:<8} {} -> {}\n", name, tensor_of(planned, vector), cache.attention);
    }
    return text;
}

void cache_json(json::Writer& w, const Planned& planned) {
    const LoadPlan& plan = planned.plan();
    w.key("kv_cache").begin_array();
    for (const CachePlan& cache : plan.caches) {
        w.begin_object().entry("attention", cache.attention).entry("dtype", cache_name(cache));
        w.entry("kv_heads", cache.kv_heads)
            .entry("head_dim", cache.head_dim)
            .entry("v_head_dim", cache.v_head_dim);
        w.entry("bytes_per_position", position_bytes(cache))
            .entry("rule", cache.rule)
            .entry("granularity", granularity(cache));
        w.key("numbers").begin_object();
        for (const auto& [name, vector] : numbers_of(cache)) w.entry(name, tensor_of(planned, vector));
        w.end_object();
        if (const KernelPlan* kernel = kernel_of(plan, cache))
            w.entry("kernel", kernel->provider_id + "/" + kernel->kernel).entry("fallback", kernel->fallback);
        w.end_object();
    }
    w.end_array();
}

}  // namespace mortise::plan
