#include "plan/slow.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/kernel_problem.h"

namespace mortise::plan {
namespace {

// Measured: 1.3 to 5 thousand million weights a second and thread for the kinds of codes, act-order and 8-bit
// floats being the slowest, on a server core of 2024; half the least stands for older ones.
constexpr double reference_weights_per_second = 0.7e9;

uint64_t chosen_experts(const mortise_problem& problem, uint64_t experts) {
    for (uint32_t i = 0; i < problem.n_attrs; ++i)
        if (problem.attrs[i].key == MORTISE_ATTR_TOP_K && problem.attrs[i].integer > 0)
            return std::min(experts, static_cast<uint64_t>(problem.attrs[i].integer));
    return experts;
}

}  // namespace

uint64_t weights_per_token(const KernelPlan& kernel) {
    const mortise_problem& problem = kernel.problem->abi();
    if (problem.kind == MORTISE_OP_EMBED) return 0;  // one row of it
    uint64_t weights = 0;
    for (uint32_t p = 0; p < problem.n_parts; ++p) {
        const mortise_kernel_part& part = *problem.parts[p];
        weights += chosen_experts(problem, part.experts) * part.rows * part.columns;
    }
    return weights;
}

std::string reference_cost(uint64_t weights, uint32_t threads) {
    return fmt::format("about {:.2g} s a token",
                       static_cast<double>(weights) / (reference_weights_per_second * std::max(threads, 1u)));
}

std::optional<std::string> slow_kernels(const LoadPlan& plan) {
    uint64_t groups = 0, weights = 0;
    const KernelPlan* first = nullptr;
    for (const KernelPlan& kernel : plan.kernels) {
        if (!kernel.fallback) continue;
        ++groups;
        weights += weights_per_token(kernel);
        if (!first) first = &kernel;
    }
    if (!first) return std::nullopt;
    const std::string what = first->parts.empty() ? std::string(model::op_name(first->problem->abi().kind))
                                                  : plan.parts[first->parts[0]].name;
    std::string line = fmt::format("{} of {} kernels are the exact and slow reference ({}: {})", groups,
                                   plan.kernels.size(), what, first->reason);
    if (weights)
        line += fmt::format("; they decode {:.3g} M weights for every call: {}",
                            static_cast<double>(weights) / 1e6,
                            reference_cost(weights, first->problem->abi().threads));
    return line;
}

}  // namespace mortise::plan
