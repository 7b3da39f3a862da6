// The books of one load: what was read, checked and written. Shared by all threads of the load.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "checkpoint/catalog.h"
#include "plan/load_plan.h"

namespace mortise::load {

struct Ledger {
    // Requires: both outlive this.
    Ledger(const plan::LoadPlan& plan, const checkpoint::Catalog& catalog);

    const plan::LoadPlan& plan;
    checkpoint::TensorReader reader;
    std::atomic<uint64_t> values_checked{0};
    std::vector<std::atomic<uint8_t>> tensor_read;       // [catalog tensors]
    std::vector<std::atomic<uint8_t>> obligation_met;    // [obligations]
    std::vector<std::atomic<uint8_t>> parameter_filled;  // [parameters]
    std::vector<std::vector<uint32_t>> obligations_of;   // [sources] indexes of plan.obligations
    std::map<std::string, float> shared_amax;  // of modules that are quantized under one second level
    std::mutex shared_mutex;

    // Effect: reads a piece of a tensor and notes it.
    Status read(uint32_t tensor, uint64_t begin, std::span<std::byte> out);

    // Effect: the parameters of `part` have been filled, `code_elements` of them codes. Errors: internal when
    // that is not what the plan says, or when the part was sealed before; no later stage may paper over a
    // hole.
    Status close_part(uint32_t part, uint64_t code_elements);
    // Effect: success iff every parameter was filled, every obligation met, and every tensor read or dropped.
    Status close() const;
    // The same without parameters: for those who read everything and load nothing.
    Status close_tensors() const;
    uint64_t elements_written() const;  // over the filled parameters
    uint64_t tensors_read() const;
    uint64_t obligations_met() const;
};

// The first error of several threads. Threads ask failed() to stop early.
class FirstError {
  public:
    bool failed() const { return failed_.load(std::memory_order_relaxed); }
    void set(Status status);
    Status take();

  private:
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    Status status_;
};

}  // namespace mortise::load
