// What a conversion writes: modules, and the tensors that each becomes.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/write.h"
#include "plan/dialect_writer.h"
#include "plan/load_plan.h"

namespace mortise::load {

// A module to write: where it comes from and what it becomes.
struct Job {
    uint32_t source = plan::none;
    std::optional<uint64_t> expert;  // of a stack whose experts have names of their own
    std::string name;                // canonical
    std::vector<uint64_t> rows;      // row of the source for each row written; empty = same order
    plan::Target target;
    std::vector<uint32_t> absent;  // optional roles that are not written
    std::set<std::string> shared;  // tensors that an earlier module writes
};

// Modules whose tensors are slices of the same ones.
struct Stack {
    std::vector<checkpoint::NewTensor> tensors;  // of one slice
    std::set<uint64_t> slices;
    std::optional<size_t> shard;  // that holds it
};

// Effect: a job for every module that is not dropped; a stack of experts with a name for each is written
// expert by expert: what a dialect stacks, it says. Errors: those of DialectWriter::target.
Result<std::vector<Job>> jobs_of(const plan::LoadPlan& plan, plan::DialectWriter& writer);

// Effect: header entries of a job's spec, each tensor once, in its first accepted form.
std::vector<checkpoint::NewTensor> tensors_of(const Job& job);

// Effect: the stacks that jobs make together, by the name of their first tensor. Errors: lossy when an expert
// is missing, or would have another form than the others.
Result<std::map<std::string, Stack>> stacks_of(const std::vector<Job>& jobs);

}  // namespace mortise::load
