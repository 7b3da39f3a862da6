#include "load/convert_jobs.h"

#include <algorithm>

#include "plan/names.h"
#include "plan/quantization.h"

namespace mortise::load {
namespace {

Result<Job> job_of(const plan::LoadPlan& plan, plan::DialectWriter& writer, Job job) {
    const plan::Source& source = plan.sources[job.source];
    MORTISE_TRY(job.target, writer.target(source, job.name, job.expert ? 1 : source.spec.extent.experts,
                                          plan::stack_place(plan.tree, job.name)));
    job.rows = plan::rows_in_order(plan, job.source);
    job.absent = plan::absent_roles(source, job.target.spec);
    return job;
}

}  // namespace

Result<std::vector<Job>> jobs_of(const plan::LoadPlan& plan, plan::DialectWriter& writer) {
    std::vector<Job> jobs;
    for (uint32_t s = 0; s < plan.sources.size(); ++s) {
        const plan::Source& source = plan.sources[s];
        if (source.kind == 0 || source.dropped) continue;
        const bool apart = plan::has_members(source.canonical);
        for (uint64_t e = 0; e < (apart ? source.spec.extent.experts : 1); ++e) {
            Job job{.source = s, .name = plan::member_name(source.canonical, e)};
            if (apart) job.expert = e;
            MORTISE_TRY(job, job_of(plan, writer, std::move(job)));
            jobs.push_back(std::move(job));
        }
    }
    std::set<std::string> matrices;  // that rotate inputs: stored once for many
    for (Job& job : jobs) {
        const quant::Field* matrix = job.target.spec.find(MORTISE_ROLE_ROTATION);
        if (matrix && !matrices.insert(matrix->tensor).second) job.shared.insert(matrix->tensor);
    }
    return jobs;
}

std::vector<checkpoint::NewTensor> tensors_of(const Job& job) {
    std::vector<checkpoint::NewTensor> out;
    for (const quant::Field& field : job.target.spec.fields) {
        if (field.role == MORTISE_ROLE_UNUSED ||
            std::find(job.absent.begin(), job.absent.end(), field.role) != job.absent.end())
            continue;
        const bool known =
            job.shared.contains(field.tensor) ||
            std::any_of(out.begin(), out.end(), [&](const auto& t) { return t.name == field.tensor; });
        if (!known) out.push_back({field.tensor, field.dtypes.front(), field.shapes.front()});
    }
    return out;
}

Result<std::map<std::string, Stack>> stacks_of(const std::vector<Job>& jobs) {
    std::map<std::string, Stack> stacks;
    for (const Job& job : jobs) {
        if (job.target.slice == 0) continue;
        const auto tensors = tensors_of(job);
        Stack& stack = stacks.try_emplace(tensors.front().name, Stack{.tensors = tensors}).first->second;
        if (stack.tensors != tensors)
            return fail(Problem{.code = Code::lossy,
                                .what = "experts of one stack would be written in different forms",
                                .tensor = job.name,
                                .expected = "what the first expert of " + tensors.front().name + " becomes",
                                .found = job.target.spec.describe(),
                                .fix = "choose one form for all with the options of the dialect"});
        if (!stack.slices.insert(job.target.slice).second)
            return fail(
                Problem{.code = Code::plugin_contract,
                        .what = "two modules would be written to one place",
                        .tensor = job.name,
                        .found = tensors.front().name + ", slice " + std::to_string(job.target.slice - 1)});
    }
    for (const auto& [name, stack] : stacks)
        if (*stack.slices.rbegin() != stack.slices.size())
            return fail(Problem{.code = Code::lossy,
                                .what = "a stack of experts would have holes",
                                .tensor = name,
                                .expected = "every expert of the layer",
                                .found = std::to_string(stack.slices.size()) + " of " +
                                         std::to_string(*stack.slices.rbegin()),
                                .fix = "choose a dialect that keeps experts one by one"});
    return stacks;
}

}  // namespace mortise::load
