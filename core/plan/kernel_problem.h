// Owns the arrays behind a mortise_problem, so that a kernel can be described once and created later.
// Immutable after make(); share freely.
#pragma once

#include <memory>
#include <vector>

#include "model/tree.h"
#include "mortise/abi_kernels.h"
#include "quant/spec.h"

namespace mortise::plan {

// One part of a problem, as this rank sees it.
struct ProblemPart {
    const quant::QuantSpec* spec = nullptr;  // copied by make()
    uint64_t experts = 1, rows = 0, columns = 0;
    uint64_t first_row = 0, first_column = 0;
    bool has_bias = false;
};

struct ProblemFacts {
    uint32_t activations = MORTISE_ACTIVATIONS_AS_SPECIFIED;
    uint32_t cache_encoding = 0, cache_flags = 0;
    uint64_t max_rows = 1;
    uint32_t threads = 1;
    uint32_t device_kind = MORTISE_DEVICE_CPU;
    bool gather = false;
    std::vector<uint32_t> members;  // of a bank that holds some experts of a layer
    bool accumulate = false;        // adds to what another bank has written
};

class KernelProblem {
  public:
    // Effect: the problem of `op` (kind may be given apart: a tied table is LINEAR) with these parts.
    static std::shared_ptr<const KernelProblem> make(uint32_t kind, const model::Op& op,
                                                     std::vector<uint64_t> input_widths,
                                                     std::vector<uint64_t> output_widths,
                                                     const std::vector<ProblemPart>& parts,
                                                     const ProblemFacts& facts);
    const mortise_problem& abi() const { return abi_; }
    // The spec of part `i` in ABI form; lives as long as the problem.
    const mortise_spec& spec(size_t i) const { return *parts_[i].spec; }

    KernelProblem(const KernelProblem&) = delete;
    KernelProblem& operator=(const KernelProblem&) = delete;
    ~KernelProblem();

  private:
    KernelProblem();
    mortise_problem abi_{};
    std::vector<model::Attribute> attributes_;
    std::vector<mortise_attr> abi_attributes_;
    std::vector<uint64_t> input_widths_, output_widths_;
    std::vector<uint32_t> members_;
    std::vector<std::unique_ptr<quant::AbiSpec>> specs_;
    std::vector<mortise_kernel_part> parts_;
    std::vector<const mortise_kernel_part*> part_pointers_;
};

}  // namespace mortise::plan
