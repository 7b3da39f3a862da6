#include "engine/text/sampling.h"

#include <algorithm>
#include <cmath>

namespace mortise::text {
namespace {

bool before(float a_logit, uint32_t a_id, float b_logit, uint32_t b_id) {
    return a_logit != b_logit ? a_logit > b_logit : a_id < b_id;
}

}  // namespace

double random_unit(uint64_t seed, uint64_t counter) {
    uint64_t x = seed + (counter + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    return static_cast<double>(x >> 11) * 0x1p-53;
}

Status check_sampling(const SamplingOptions& options) {
    Problems problems;
    const auto check = [&](bool good, const char* name, const char* range, float value) {
        if (!good || !std::isfinite(value))
            problems.add({.code = Code::usage,
                          .what = std::string(name) + " is out of range",
                          .expected = range,
                          .found = std::to_string(value)});
    };
    check(options.temperature >= 0, "temperature", "0 or more", options.temperature);
    check(options.top_p > 0 && options.top_p <= 1, "top_p", "above 0, at most 1", options.top_p);
    check(options.min_p >= 0 && options.min_p <= 1, "min_p", "0 to 1", options.min_p);
    check(options.repetition_penalty > 0, "repetition_penalty", "above 0", options.repetition_penalty);
    return std::move(problems).status();
}

void Sampler::penalize(std::span<const uint32_t> seen) {
    const float penalty = options_.repetition_penalty;
    if (penalty == 1) return;
    std::vector<uint32_t> once(seen.begin(), seen.end());
    std::sort(once.begin(), once.end());
    once.erase(std::unique(once.begin(), once.end()), once.end());
    for (const uint32_t id : once)
        if (id < logits_.size())
            logits_[id] = logits_[id] < 0 ? logits_[id] * penalty : logits_[id] / penalty;
}

Result<uint32_t> Sampler::next(std::span<const float> logits, std::span<const uint32_t> seen) {
    for (size_t i = 0; i < logits.size(); ++i)
        if (std::isnan(logits[i]) || logits[i] == INFINITY)
            return fail(Problem{.code = Code::value_not_finite,
                                .what = "logit of token " + std::to_string(i) + " is not finite",
                                .found = std::isnan(logits[i]) ? "NaN" : "infinity"});
    logits_.assign(logits.begin(), logits.end());
    penalize(seen);
    const auto best = std::max_element(logits_.begin(), logits_.end());  // the first of equals
    if (best == logits_.end() || *best == -INFINITY)
        return fail(Code::value_not_finite, "no token has a finite logit");
    if (options_.temperature == 0) return static_cast<uint32_t>(best - logits_.begin());

    std::vector<Candidate> kept;
    for (size_t id = 0; id < logits_.size(); ++id)
        if (logits_[id] != -INFINITY)
            kept.push_back({logits_[id] / options_.temperature, static_cast<uint32_t>(id)});
    if (options_.top_k > 0 && options_.top_k < kept.size()) {
        const auto kth = kept.begin() + (options_.top_k - 1);
        std::nth_element(kept.begin(), kth, kept.end(), [](auto& a, auto& b) { return a.logit > b.logit; });
        std::erase_if(kept, [least = kth->logit](const Candidate& c) { return c.logit < least; });
    }
    return draw(kept);
}

// top-p, min-p and the draw, on probabilities in f64 relative to the highest.
uint32_t Sampler::draw(std::vector<Candidate>& kept) {
    std::sort(kept.begin(), kept.end(),
              [](auto& a, auto& b) { return before(a.logit, a.id, b.logit, b.id); });
    std::vector<double> weights(kept.size());
    double total = 0;
    for (size_t i = 0; i < kept.size(); ++i)
        total += weights[i] =
            std::exp(static_cast<double>(kept[i].logit) - static_cast<double>(kept[0].logit));
    size_t count = kept.size();
    if (options_.top_p < 1) {  // the token that reaches p is kept
        double sum = 0;
        for (count = 0;
             count < kept.size() && (count == 0 || sum < static_cast<double>(options_.top_p) * total);
             ++count)
            sum += weights[count];
    }
    if (options_.min_p > 0)  // relative to the highest, so the total does not matter
        while (count > 1 && weights[count - 1] < static_cast<double>(options_.min_p)) --count;
    total = 0;
    for (size_t i = 0; i < count; ++i) total += weights[i];
    double rest = random_unit(options_.seed, draws_++) * total;
    for (size_t i = 0; i + 1 < count; ++i) {
        if (rest < weights[i]) return kept[i].id;
        rest -= weights[i];
    }
    return kept[count - 1].id;
}

}  // namespace mortise::text
