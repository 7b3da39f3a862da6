// What every kernel of this provider is: one bound operator over a backend.
// Threads: pack() concurrently on distinct tiles, run() by all threads of a team at once.
#pragma once

#include "backend.h"
#include "mortise/abi.h"

namespace mortise::cpu {

// Behind the opaque mortise_kernel*.
struct Kernel {
    virtual ~Kernel() = default;
    virtual mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed);
    virtual mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address packed);
    virtual void run(const mortise_arguments& arguments, const mortise_team& team) = 0;
};

// Effect: states the failure in the host's error slot and returns `status`.
mortise_status fail(mortise_status status, const char* what);

// Effect: name and reason; a score of 200 without a reason against, else 0.
void accept(mortise_bid& bid, const Backend& backend, const char* what, const char* how);
void refuse(mortise_bid& bid, const char* why);

// Each answers the bid or makes the kernel. make: null = no memory.
void bid_linear(const mortise_problem& problem, const Backend& backend, mortise_bid& bid);
uint64_t packed_bytes_linear(const mortise_problem& problem, uint32_t part);
Kernel* make_linear(const mortise_problem& problem, const Backend& backend);

void bid_moe(const mortise_problem& problem, const Backend& backend, mortise_bid& bid);
uint64_t packed_bytes_moe(const mortise_problem& problem, uint32_t part);
Kernel* make_moe(const mortise_problem& problem, const Backend& backend);

void bid_operator(const mortise_problem& problem, const Backend& backend, mortise_bid& bid);
Kernel* make_operator(const mortise_problem& problem, const Backend& backend);

void bid_attention(const mortise_problem& problem, const Backend& backend, mortise_bid& bid);
Kernel* make_attention(const mortise_problem& problem, const Backend& backend);

// Effect: `bytes` rounded up to whole cache lines.
constexpr uint64_t lines(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace mortise::cpu
