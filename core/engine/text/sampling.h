// From logits to a token: greedy, or drawn at random under the usual filters.
//
// Formulas and their order are those of `transformers`' generation: repetition penalty, temperature, top-k,
// top-p, min-p, softmax, draw. One Sampler belongs to one sequence and one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace mortise::text {

struct SamplingOptions {
    float temperature = 1;  // 0 = greedy: the highest logit, the lowest id of equals
    uint32_t top_k = 0;     // keep the k highest, and what equals the k-th; 0 = all
    float top_p = 1;        // keep the most likely ones until their probabilities sum to p
    float min_p = 0;        // keep what has at least min_p times the highest probability
    float repetition_penalty =
        1;  // logits of tokens seen before: divided by it when positive, else multiplied
    uint64_t seed = 0;
};

// Effect: success iff each option is in its range: temperature >= 0, 0 < top_p <= 1, 0 <= min_p <= 1,
//   repetition_penalty > 0, all finite. Errors: usage, naming all that are not.
Status check_sampling(const SamplingOptions& options);

class Sampler {
  public:
    // Requires: check_sampling(options) succeeded.
    explicit Sampler(const SamplingOptions& options) : options_(options) {}

    // Effect: the next token. `seen` are the ids that the repetition penalty concerns (prompt and output, in
    // any
    //   order, repeats allowed; ids beyond the logits are passed over).
    //   Equal options, logits and number of earlier draws give equal ids on every machine.
    // Errors: value_not_finite (NaN or +infinity among the logits, or all of them -infinity).
    Result<uint32_t> next(std::span<const float> logits /* [V] */, std::span<const uint32_t> seen);

    uint64_t draws() const { return draws_; }

  private:
    struct Candidate {
        float logit;
        uint32_t id;
    };
    void penalize(std::span<const uint32_t> seen);
    uint32_t draw(std::vector<Candidate>& kept);

    SamplingOptions options_;
    uint64_t draws_ = 0;
    std::vector<float> logits_;  // the penalized copy
};

// The random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014)
// read by counter: output n is mix(seed + (n + 1) * 0x9E3779B97F4A7C15). Any output can be computed alone.
// Effect: output `counter` of `seed` as a number in [0, 1): its upper 53 bits times 2^-53.
double random_unit(uint64_t seed, uint64_t counter);

}  // namespace mortise::text
