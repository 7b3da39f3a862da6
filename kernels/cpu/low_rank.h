// The term that some parts add: y += (x * pre_scale) A^T B^T, in f32, with A and B packed behind the part's
// panels. Threads: pack() alone; shrink() and add() by all of a team, with a barrier between them.
#pragma once

#include "kernel.h"
#include "mortise/sdk/operators.h"
#include "packing.h"

namespace mortise::cpu {

class LowRank {
  public:
    LowRank(const mortise_kernel_part& part, const Backend& backend);

    bool exists() const { return b_.columns != 0; }
    uint64_t packed_bytes() const;
    uint64_t workspace(uint64_t rows) const;
    uint64_t scratch() const;  // of a thread

    void pack(const mortise_extras& extras, uint8_t* packed) const;
    // Effect: this thread's rows of x * pre_scale.
    void scale(const mortise_arguments& a, const mortise_extras& extras, sdk::Share rows,
               uint8_t* workspace) const;
    // Effect: this thread's share of u = x A^T.
    void shrink(uint64_t rows, const mortise_team& team, const uint8_t* packed, uint8_t* workspace,
                void* scratch) const;
    // Effect: y += u B^T for the panels [first, last).
    void add(uint64_t rows, sdk::Share panels, const uint8_t* packed, uint8_t* workspace, void* scratch,
             float* y) const;

  private:
    float* inner(uint64_t rows, uint8_t* workspace) const;

    const Backend& backend_;
    Packing a_{}, b_{};  // [rank, to column_step][columns] and [rows][rank, to column_step]
    uint64_t rank_ = 0;
};

}  // namespace mortise::cpu
