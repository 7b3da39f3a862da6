// Rotary position embeddings: inverse frequencies of every classical scaling, from both spellings of the
// config (rope_parameters; rope_theta beside rope_scaling).
//
// r is the number of rotated entries of a head; inv_i = theta^(-2i/r), i < r/2. Formulae: "linear" (Chen et
// al. 2023), "dynamic" NTK, "yarn" (Peng et al. 2023), "llama3" and "longrope" as the published configs mean
// them.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mortise/sdk/architecture.h"

namespace mortise::sdk {

struct Rope {
    std::vector<float> frequencies;       // [r / 2]
    std::vector<float> long_frequencies;  // used when the length exceeds long_from; empty = none
    double amplitude = 1;                 // multiplies cos and sin
    double theta = 10000;
    uint64_t long_from = 0;
    double dynamic_factor = 0;  // > 0: the base grows with length beyond max_positions
    uint64_t max_positions = 0;

    Attributes attributes(uint64_t head_dim, uint32_t style) const {
        Attributes a;
        a.set(MORTISE_ATTR_HEAD_DIM, head_dim).set(MORTISE_ATTR_STYLE, static_cast<int64_t>(style));
        a.set(MORTISE_ATTR_FREQUENCIES, frequencies).set(MORTISE_ATTR_AMPLITUDE, amplitude);
        if (dynamic_factor > 0)
            a.set(MORTISE_ATTR_ROPE_BASE, theta)
                .set(MORTISE_ATTR_FACTOR, dynamic_factor)
                .set(MORTISE_ATTR_MAX_POSITIONS, max_positions);
        if (!long_frequencies.empty())
            a.set(MORTISE_ATTR_LONG_FREQUENCIES, long_frequencies).set(MORTISE_ATTR_LONG_FROM, long_from);
        return a;
    }
};

namespace detail {

inline double rope_magnitude(double factor, double scale) {
    return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

inline void scale_llama3(Config c, std::vector<double>& inv) {
    const double factor = c.get<double>("factor"), low = c.get<double>("low_freq_factor"),
                 high = c.get<double>("high_freq_factor");
    const double original = c.get<double>("original_max_position_embeddings");
    for (double& f : inv) {
        const double wavelength = 2 * std::numbers::pi / f;
        if (wavelength > original / low) {
            f /= factor;
        } else if (wavelength >= original / high) {
            const double smooth = (original / wavelength - low) / (high - low);
            f = (1 - smooth) * f / factor + smooth * f;
        }
    }
}

inline void scale_yarn(Config c, Rope& rope, std::vector<double>& inv, uint64_t max_positions) {
    const double r = 2.0 * static_cast<double>(inv.size());
    const double factor = c.get<double>("factor");
    const double original =
        c.get<double>("original_max_position_embeddings", static_cast<double>(max_positions));
    const double fast = c.get<double>("beta_fast", 32.0), slow = c.get<double>("beta_slow", 1.0);
    const auto correction = [&](double beta) {
        return r * std::log(original / (2 * std::numbers::pi * beta)) / (2 * std::log(rope.theta));
    };
    double lo = correction(fast), hi = correction(slow);
    if (c.get<bool>("truncate", true)) {
        lo = std::floor(lo);
        hi = std::ceil(hi);
    }
    lo = std::max(lo, 0.0);
    hi = std::min(hi, r - 1);
    if (lo == hi) hi += 0.001;
    for (size_t i = 0; i < inv.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - lo) / (hi - lo), 0.0, 1.0);
        inv[i] = inv[i] / factor * ramp + inv[i] * (1 - ramp);
    }
    const double mscale = c.get<double>("mscale", 0.0), all = c.get<double>("mscale_all_dim", 0.0);
    if (const auto given = c.maybe<double>("attention_factor"))
        rope.amplitude = *given;
    else if (mscale != 0 && all != 0)
        rope.amplitude = rope_magnitude(factor, mscale) / rope_magnitude(factor, all);
    else
        rope.amplitude = rope_magnitude(factor, 1);
}

inline void scale_long(Config c, Config root, Rope& rope, const std::vector<double>& inv,
                       uint64_t max_positions) {
    const auto original = c.maybe<uint64_t>("original_max_position_embeddings");
    rope.long_from =
        original ? *original : root.get<uint64_t>("original_max_position_embeddings", max_positions);
    const auto divided = [&](const char* key) {
        const auto factors = c.require(key).list<double>();
        if (factors.size() != inv.size())
            throw Refused({.what = "rope factor list has the wrong length",
                           .expected = std::to_string(inv.size()),
                           .found = std::to_string(factors.size()),
                           .node = c[key].node()});
        std::vector<float> out;
        for (size_t i = 0; i < inv.size(); ++i) out.push_back(static_cast<float>(inv[i] / factors[i]));
        return out;
    };
    rope.frequencies = divided("short_factor");
    rope.long_frequencies = divided("long_factor");
    const double ratio =
        c.get<double>("factor", static_cast<double>(max_positions) / static_cast<double>(rope.long_from));
    const double natural =
        ratio <= 1 ? 1.0 : std::sqrt(1 + std::log(ratio) / std::log(static_cast<double>(rope.long_from)));
    rope.amplitude = c.get<double>("attention_factor", natural);
}

}  // namespace detail

// Effect: rope of `root` for heads with `rotary_dim` rotated entries.
// Errors: an unknown type, a missing or contradictory key.
inline Rope read_rope(Config root, uint64_t rotary_dim, double default_theta = 10000.0) {
    const Config given = root["rope_parameters"], old = root["rope_scaling"];
    // Some converters leave the keys of the new object beside all others.
    const Config c = given ? given : old ? old : root["rope_type"] ? root : Config();
    Rope rope;
    rope.max_positions = root.get<uint64_t>("max_position_embeddings");
    const auto top = root.maybe<double>("rope_theta");
    const auto inner = given ? given.maybe<double>("rope_theta") : std::nullopt;
    rope.theta = inner ? *inner : top ? *top : default_theta;
    std::vector<double> inv;
    for (uint64_t i = 0; i < rotary_dim / 2; ++i)
        inv.push_back(std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
    const auto type = c ? c.first_of<std::string>({"rope_type", "type"}) : std::nullopt;
    const std::string kind = type.value_or("default");
    if (kind == "linear") {
        const double factor = c.get<double>("factor");
        for (double& f : inv) f /= factor;
    } else if (kind == "dynamic") {
        rope.dynamic_factor = c.get<double>("factor");
    } else if (kind == "llama3") {
        detail::scale_llama3(c, inv);
    } else if (kind == "yarn") {
        detail::scale_yarn(c, rope, inv, rope.max_positions);
    } else if (kind == "longrope" || kind == "su") {
        detail::scale_long(c, root, rope, inv, rope.max_positions);
    } else if (kind != "default") {
        throw Unsupported({.what = "unknown kind of rope scaling",
                           .expected = "default, linear, dynamic, llama3, yarn or longrope",
                           .found = kind,
                           .node = c.node()});
    }
    if (rope.frequencies.empty())
        for (double f : inv) rope.frequencies.push_back(static_cast<float>(f));
    return rope;
}

}  // namespace mortise::sdk
