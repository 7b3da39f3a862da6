#include "engine/program.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "registry/plugin_call.h"

namespace mortise::engine {
namespace {

constexpr uint64_t host_alignment = 4096;

void meet(void* team) { static_cast<Team*>(team)->barrier(); }

float* pointer(mortise_address address) { return reinterpret_cast<float*>(address.base + address.offset); }

}  // namespace

void HostMemory::Free::operator()(std::byte* data) const { std::free(data); }

Result<HostMemory> HostMemory::make(uint64_t bytes) {
    HostMemory memory;
    memory.bytes_ = (bytes + host_alignment - 1) / host_alignment * host_alignment;
    if (memory.bytes_ == 0) return memory;
    memory.data_.reset(static_cast<std::byte*>(std::aligned_alloc(host_alignment, memory.bytes_)));
    if (!memory.data_)
        return fail(Problem{.code = Code::out_of_memory,
                            .what = "no memory for the activations",
                            .expected = std::to_string(memory.bytes_) + " bytes",
                            .fix = "shorten --max-model-len, or free memory"});
    std::memset(memory.data_.get(), 0xFF, memory.bytes_);
    return memory;
}

Result<Program> Program::make(const load::Model& model, const Cache& cache) {
    const plan::LoadPlan& plan = model.plan();
    Program program;
    program.logits_ = plan.tree.logits;
    if (program.logits_ >= plan.tree.widths.size()) return fail(Code::internal, "the graph has no logits");
    program.vocabulary_ = plan.tree.widths[program.logits_];
    program.arena_ = plan::arrange(plan.tree, plan.steps, plan.max_rows);
    if (program.arena_.tail != plan::none) program.tail_width_ = plan.tree.widths[program.arena_.tail_input];
    uint64_t workspace = 0;
    for (const plan::KernelPlan& kernel : plan.kernels) workspace = std::max(workspace, kernel.workspace);
    MORTISE_TRY(program.memory_, HostMemory::make(program.arena_.bytes));
    MORTISE_TRY(program.workspace_, HostMemory::make(workspace));
    for (uint32_t s = 0; s < plan.steps.size(); ++s) {
        program.calls_.push_back(program.call_of(model, cache, plan.steps[s]));
        program.calls_.back().tail = program.arena_.in_tail(s);
    }
    for (Call& call : program.calls_) {
        call.arguments.inputs = call.inputs.data();
        call.arguments.outputs = call.outputs.data();
        call.arguments.packed = call.packed.data();
        call.arguments.weights = call.weights.data();
        if (!call.tail) continue;
        program.result_addresses_.push_back(&call.outputs[0]);
        if (call.arguments.op != MORTISE_OP_LINEAR) program.result_addresses_.push_back(&call.inputs[0]);
    }
    return program;
}

mortise_address Program::address(uint32_t value) const {
    const uint64_t offset = arena_.offsets[value];
    return offset == plan::Arena::outside ? mortise_address{} : mortise_address{memory_.base(), offset};
}

Program::Call Program::call_of(const load::Model& model, const Cache& cache, const plan::Step& step) const {
    const plan::LoadPlan& plan = model.plan();
    const model::Op& op = plan.tree.ops[step.op];
    Call call;
    call.provider = model.provider(step.kernel);
    call.kernel = model.kernel(step.kernel);
    for (uint32_t value : op.inputs) call.inputs.push_back(address(value));
    for (uint32_t value : step.outputs) call.outputs.push_back(address(value));
    call.packed = model.packed(step.kernel);
    for (uint32_t vector : step.vectors) {
        const auto values = reinterpret_cast<uint64_t>(model.vector(vector).data());
        call.weights.push_back({values, 0});
    }
    mortise_arguments& arguments = call.arguments;
    arguments.head = {sizeof arguments, 0};
    arguments.op = op.kind;
    arguments.n_weights = static_cast<uint32_t>(call.weights.size());
    arguments.workspace = {workspace_.base(), 0};
    if (op.kind == MORTISE_OP_ATTENTION)
        arguments.cache = cache.layer(static_cast<uint32_t>(op.integer(MORTISE_ATTR_LAYER)));
    return call;
}

void Program::prepare(const Run& run) {
    run_ = run;
    const mortise_address results{reinterpret_cast<uint64_t>(run.results), 0};
    for (mortise_address* address : result_addresses_) *address = results;
    for (Call& call : calls_) {
        call.arguments.rows = call.tail ? static_cast<uint32_t>(run.wanted->size()) : run.batch->rows;
        call.arguments.batch = run.batch;
    }
}

void Program::run_calls(bool tail, Team& team, const mortise_team& view) const {
    for (const Call& call : calls_) {
        if (call.tail != tail) continue;
        registry::PluginCall::call([&] { call.provider->run(call.kernel, &call.arguments, &view); });
        team.barrier();
    }
}

// Moves the wanted rows of the tail's input to its front. Rows ascend, so nothing is overwritten before it is
// read; each thread moves columns of its own.
void Program::gather_wanted(int rank, int size) const {
    float* rows = pointer(address(arena_.tail_input));
    const Share columns = share(tail_width_, rank, size);
    for (size_t i = 0; i < run_.wanted->size(); ++i) {
        const uint32_t row = (*run_.wanted)[i];
        if (row == i) continue;
        std::memcpy(rows + i * tail_width_ + columns.begin, rows + row * tail_width_ + columns.begin,
                    (columns.end - columns.begin) * sizeof(float));
    }
}

// For graphs without a tail: logits of all rows are in the arena.
void Program::copy_results(int rank, int size) const {
    const float* rows = pointer(address(logits_));
    const Share mine = share(run_.wanted->size(), rank, size);
    for (uint64_t i = mine.begin; i < mine.end; ++i)
        std::memcpy(run_.results + i * vocabulary_, rows + (*run_.wanted)[i] * vocabulary_,
                    vocabulary_ * sizeof(float));
}

void Program::run(Team& team, int rank) const {
    mortise_team view{};
    view.head.size = sizeof view;
    view.rank = static_cast<uint32_t>(rank);
    view.size = static_cast<uint32_t>(team.size());
    view.barrier = meet;
    view.context = &team;
    run_calls(false, team, view);
    if (run_.wanted->empty()) return;
    if (arena_.tail == plan::none) return copy_results(rank, team.size());
    if (run_.wanted->size() < run_.batch->rows) {
        gather_wanted(rank, team.size());
        team.barrier();
    }
    run_calls(true, team, view);
}

}  // namespace mortise::engine
