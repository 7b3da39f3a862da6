#include "plan/report_asked.h"

#include <algorithm>

#include "base/text.h"
#include "plan/names.h"

namespace mortise::plan {
namespace {

// The place in the bank of the expert that `name` means, as in "experts.7.up_proj".
std::optional<uint64_t> expert_of(const PartPlan& part, const std::string& name) {
    const size_t hole = part.name.find("{e}");
    if (hole == std::string::npos) return std::nullopt;
    for (uint64_t i = 0; i < part.experts; ++i)
        if (fill(part.name, "{e}", std::to_string(part.number(i))) == name) return i;
    return std::nullopt;
}

}  // namespace

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

bool concerns(const Asked& asked, const Move& move) {
    if (!asked.part ||
        std::ranges::find(asked.part->parameters, move.parameter) == asked.part->parameters.end())
        return false;
    return !asked.expert ||
           (move.destination.begin[0] <= *asked.expert && *asked.expert < move.destination.end[0]);
}

Error unknown(const LoadPlan& plan, const std::string& name) {
    std::vector<std::string> names;
    names.reserve(plan.parts.size() + plan.sources.size());
    for (const PartPlan& part : plan.parts) names.push_back(part.name);
    for (const Source& source : plan.sources) names.push_back(source.canonical);
    const auto close = nearest(name, names);
    return Error(Problem{.code = Code::usage,
                         .what = "no module or part is called '" + name + "'",
                         .fix = close.empty() ? "see `mortise plan --all` for the names"
                                              : "did you mean " + std::string(close) + "?"});
}

const KernelPlan* kernel_of(const LoadPlan& plan, const PartPlan* part) {
    for (const KernelPlan& kernel : plan.kernels)
        for (uint32_t id : kernel.parts)
            if (&plan.parts[id] == part) return &kernel;
    return nullptr;
}

}  // namespace mortise::plan
