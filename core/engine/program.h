// The graph as a flat list of kernel calls with every address resolved.
//
// Activations live in one arena of host memory (abi_kernels.h: inputs and outputs on the CPU are host memory
// of the core); logits go straight to the caller's rows. Built once; run() is called by all threads at once.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/team.h"
#include "engine/cache.h"
#include "load/loader.h"
#include "plan/arena.h"

namespace mortise::engine {

// Host memory, aligned for every kernel, poisoned.
class HostMemory {
  public:
    static Result<HostMemory> make(uint64_t bytes);
    uint64_t base() const { return reinterpret_cast<uint64_t>(data_.get()); }
    uint64_t bytes() const { return bytes_; }

  private:
    struct Free {
        void operator()(std::byte* data) const;
    };
    std::unique_ptr<std::byte, Free> data_;
    uint64_t bytes_ = 0;
};

class Program {
  public:
    // Requires: model and cache outlive the program and stay where they are. Errors: out_of_memory, internal.
    static Result<Program> make(const load::Model& model, const Cache& cache);

    // What one run works on.
    struct Run {
        const mortise_batch* batch = nullptr;
        const std::vector<uint32_t>* wanted = nullptr;  // rows whose logits are asked for, ascending
        float* results = nullptr;                       // [wanted][vocabulary]
    };
    // Effect: sets the arguments of every step. Then each thread of the team calls run() with its rank.
    void prepare(const Run& run);
    void run(Team& team, int rank) const;

    uint64_t vocabulary() const { return vocabulary_; }

  private:
    struct Call {
        const mortise_kernels_v1* provider = nullptr;
        mortise_kernel* kernel = nullptr;
        mortise_arguments arguments{};
        std::vector<mortise_address> inputs, outputs, packed, weights;
        bool tail = false;
    };
    Call call_of(const load::Model& model, const Cache& cache, const plan::Step& step) const;
    mortise_address address(uint32_t value) const;
    void run_calls(bool tail, Team& team, const mortise_team& view) const;
    void gather_wanted(int rank, int size) const;
    void copy_results(int rank, int size) const;

    plan::Arena arena_;
    HostMemory memory_, workspace_;
    std::vector<Call> calls_;
    std::vector<mortise_address*> result_addresses_;  // addresses that become Run::results
    uint64_t vocabulary_ = 0, tail_width_ = 0;
    uint32_t logits_ = plan::none;
    Run run_;
};

}  // namespace mortise::engine
