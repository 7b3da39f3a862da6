#include "load/ledger.h"

#include <algorithm>

namespace mortise::load {
namespace {

uint64_t volume(const plan::Parameter& parameter) {
    return parameter.extent[0] * parameter.extent[1] * parameter.extent[2];
}

uint64_t count_set(const std::vector<std::atomic<uint8_t>>& flags) {
    return static_cast<uint64_t>(
        std::ranges::count_if(flags, [](const auto& flag) { return flag.load() != 0; }));
}

}  // namespace

Ledger::Ledger(const plan::LoadPlan& p, const checkpoint::Catalog& catalog)
    : plan(p),
      reader(catalog),
      tensor_read(catalog.size()),
      obligation_met(p.obligations.size()),
      parameter_filled(p.parameters.size()),
      obligations_of(p.sources.size()) {
    for (uint32_t o = 0; o < p.obligations.size(); ++o)
        if (p.obligations[o].source != plan::none) obligations_of[p.obligations[o].source].push_back(o);
}

Status Ledger::read(uint32_t tensor, uint64_t begin, std::span<std::byte> out) {
    tensor_read[tensor].store(1, std::memory_order_relaxed);
    return reader.read(reader.catalog().tensors()[tensor], begin, out);
}

Status Ledger::close_part(uint32_t part, uint64_t code_elements) {
    const plan::PartPlan& p = plan.parts[part];
    const uint64_t expected = p.experts * p.n_rows * p.n_columns;
    if (code_elements != expected)
        return fail(Problem{.code = Code::internal,
                            .what = "a part was not written exactly once",
                            .tensor = p.name,
                            .expected = std::to_string(expected) + " elements",
                            .found = std::to_string(code_elements)});
    for (uint32_t parameter : p.parameters) {
        if (parameter_filled[parameter].exchange(1) == 0) continue;
        return fail(
            Problem{.code = Code::internal, .what = "a sealed part was written again", .tensor = p.name});
    }
    return {};
}

Status Ledger::close() const {
    Problems problems;
    const auto open = [&](const std::string& what, const std::string& name) {
        problems.add({.code = Code::internal, .what = what, .tensor = name});
    };
    for (size_t i = 0; i < parameter_filled.size(); ++i)
        if (!parameter_filled[i]) open("a parameter was never written", plan.parameters[i].owner);
    if (auto rest = close_tensors(); !rest) problems.add(rest.error());
    return std::move(problems).status();
}

Status Ledger::close_tensors() const {
    Problems problems;
    const auto open = [&](const std::string& what, const std::string& name) {
        problems.add({.code = Code::internal, .what = what, .tensor = name});
    };
    const auto& tensors = reader.catalog().tensors();
    for (size_t i = 0; i < obligation_met.size(); ++i)
        if (!obligation_met[i])
            open("an obligation was not checked", tensors[plan.obligations[i].tensor].name);
    std::vector<bool> settled(tensors.size());
    for (const plan::Drop& drop : plan.drops) settled[drop.tensor] = true;
    for (size_t i = 0; i < tensors.size(); ++i)
        if (!settled[i] && !tensor_read[i]) open("a tensor was neither read nor dropped", tensors[i].name);
    return std::move(problems).status();
}

uint64_t Ledger::elements_written() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < parameter_filled.size(); ++i)
        if (parameter_filled[i]) sum += volume(plan.parameters[i]);
    return sum;
}

uint64_t Ledger::tensors_read() const { return count_set(tensor_read); }
uint64_t Ledger::obligations_met() const { return count_set(obligation_met); }

void FirstError::set(Status status) {
    if (status) return;
    const std::lock_guard lock(mutex_);
    if (status_) status_ = std::move(status);
    failed_.store(true, std::memory_order_relaxed);
}

Status FirstError::take() {
    const std::lock_guard lock(mutex_);
    return status_;
}

}  // namespace mortise::load
