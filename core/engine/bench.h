// Speed of a loaded model, each figure beside a probe of the machine in the same minute.
//
// These machines are shared and drift: a figure means something only as a share of what the same cores could
// do at the same time. Every round measures probe, prefill, decode, probe; medians over the rounds are
// reported.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace mortise::engine {

struct BenchOptions {
    uint64_t prompt = 512;        // tokens of the prefill
    uint64_t generate = 64;       // tokens of the decode, the first one not timed
    uint64_t decode_prompt = 64;  // tokens before the decode
    uint32_t rounds = 3;
    uint64_t seed = 1;
};

// Median, lowest and highest of the rounds.
struct Spread {
    double median = 0, low = 0, high = 0;
};
Spread spread(std::vector<double> values);

struct BenchResult {
    Spread prefill_tps, decode_tps;      // tokens per second
    Spread read_gbps, matrix_tflops;     // probes; 0 when no provider measures them
    std::string matrix_name;             // what the matrix probe says it measured
    Spread decode_share, prefill_share;  // of the probes around them
    uint64_t bytes_per_token = 0;        // stored bytes of the layers and the output matrix
    uint64_t matrix_parameters = 0;      // weights of the layers' matrices
};

// Errors: usage when prompt and generation exceed the context; those of forward().
Result<BenchResult> bench(Engine& engine, const load::Model& model, const checkpoint::Catalog& catalog,
                          Team& team, const BenchOptions& options);

}  // namespace mortise::engine
