// What every kernel of the reference provider is: one bound operator.
// Threads: pack() concurrently on distinct tiles, run() by all threads of a team at once.
#pragma once

#include "mortise/abi.h"

namespace mortise::reference {

// Behind the opaque mortise_kernel*.
struct Kernel {
    virtual ~Kernel() = default;
    virtual mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed);
    virtual mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address packed);
    virtual void run(const mortise_arguments& arguments, const mortise_team& team) = 0;
};

// Effect: states the problem in the host's error slot and returns `status`.
mortise_status fail(mortise_status status, const char* what, const char* subject = "");

// Each fills the bid (score 1, or 0 with the reason) or makes the kernel; null = no memory.
void bid_linear(const mortise_problem& problem, mortise_bid& bid);
uint64_t packed_bytes_linear(const mortise_kernel_part& part);
Kernel* make_linear(const mortise_problem& problem);

void bid_moe(const mortise_problem& problem, mortise_bid& bid);
Kernel* make_moe(const mortise_problem& problem);

void bid_elementwise(const mortise_problem& problem, mortise_bid& bid);
Kernel* make_elementwise(const mortise_problem& problem);

void bid_norm(const mortise_problem& problem, mortise_bid& bid);
Kernel* make_norm(const mortise_problem& problem);

void bid_rope(const mortise_problem& problem, mortise_bid& bid);
Kernel* make_rope(const mortise_problem& problem);

void bid_attention(const mortise_problem& problem, mortise_bid& bid);
Kernel* make_attention(const mortise_problem& problem);

// Effect: fills name and reason; score 1 without a reason, else 0.
void answer(mortise_bid& bid, const char* name, const char* why_not = nullptr);

}  // namespace mortise::reference
