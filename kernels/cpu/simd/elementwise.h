// norm, rope, activations and element-wise operators. Textual part of a backend.
#pragma once

#include "math.h"
#include "mortise/abi_architecture.h"

namespace mortise::cpu {
namespace {

inline F load_some(const float* p, uint64_t n) { return n >= 16 ? load(p) : load_n(p, n); }
inline void store_some(float* p, F x, uint64_t n) {
    if (n >= 16)
        store(p, x);
    else
        store_n(p, x, n);
}

// Effect: f(index, lanes left) for every 16 of `count` elements.
template <class Use>
inline void each(uint64_t count, Use use) {
    for (uint64_t i = 0; i < count; i += 16) use(i, count - i);
}

inline float mean_of(uint64_t width, const float* x) {
    F sums[4] = {zero(), zero(), zero(), zero()};
    each(width,
         [&](uint64_t i, uint64_t left) { sums[i / 16 % 4] = sums[i / 16 % 4] + load_some(x + i, left); });
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3])) / static_cast<float>(width);
}

inline float mean_square_of(uint64_t width, const float* x, float mean) {
    F sums[4] = {zero(), zero(), zero(), zero()};
    const uint64_t whole = width / 16 * 16;
    for (uint64_t i = 0; i < whole; i += 16) {
        const F d = load(x + i) - set(mean);
        sums[i / 16 % 4] = fma(d, d, sums[i / 16 % 4]);
    }
    float rest = 0;
    for (uint64_t i = whole; i < width; i++) {
        const float d = x[i] - mean;
        rest += d * d;
    }
    return (sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest) / static_cast<float>(width);
}

void norm(uint32_t style, uint64_t width, float eps, float weight_offset, const float* x, const float* weight,
          const float* bias, float* y) {
    const float mean = style == MORTISE_STYLE_LAYER ? mean_of(width, x) : 0;
    const F factor = set(1 / __builtin_sqrtf(mean_square_of(width, x, mean) + eps));
    each(width, [&](uint64_t i, uint64_t left) {
        F value = (load_some(x + i, left) - set(mean)) * factor;
        if (weight) value = value * (load_some(weight + i, left) + set(weight_offset));
        if (bias) value = value + load_some(bias + i, left);
        store_some(y + i, value, left);
    });
}

// Pairs (i, i + pairs) of each head.
inline void turn_halves(uint64_t pairs, const float* cosine, const float* sine, const float* x, float* y) {
    each(pairs, [&](uint64_t i, uint64_t left) {
        const F u = load_some(x + i, left), v = load_some(x + pairs + i, left);
        const F c = load_some(cosine + i, left), s = load_some(sine + i, left);
        store_some(y + i, u * c - v * s, left);
        store_some(y + pairs + i, fma(v, c, u * s), left);
    });
}

void turn(uint32_t style, uint64_t pairs, uint64_t heads, uint64_t head_dim, const float* cosine,
          const float* sine, const float* x, float* y) {
    for (uint64_t head = 0; head < heads; head++, x += head_dim, y += head_dim) {
        if (style == MORTISE_STYLE_HALF) {
            turn_halves(pairs, cosine, sine, x, y);
        } else {
            for (uint64_t i = 0; i < pairs; i++) {
                const float u = x[2 * i], v = x[2 * i + 1];
                y[2 * i] = u * cosine[i] - v * sine[i];
                y[2 * i + 1] = v * cosine[i] + u * sine[i];
            }
        }
        for (uint64_t i = 2 * pairs; i < head_dim; i++) y[i] = x[i];
    }
}

void cos_sin(uint64_t count, const float* angles, float amplitude, float* cosine, float* sine) {
    each(count, [&](uint64_t i, uint64_t left) {
        F c, s;
        cos_sin_of(load_some(angles + i, left), c, s);
        store_some(cosine + i, c * set(amplitude), left);
        store_some(sine + i, s * set(amplitude), left);
    });
}

inline F activated(uint32_t style, F x) {
    switch (style) {
        case MORTISE_STYLE_SILU: return x * sigmoid_of(x);
        case MORTISE_STYLE_GELU: return set(0.5f) * x * (set(1) + erf_of(x * set(0.70710678f)));
        case MORTISE_STYLE_GELU_TANH: {
            const F inner = fma(x * x * x, set(0.044715f), x) * set(0.79788456f);
            return set(0.5f) * x * (set(1) + tanh_of(inner));
        }
        case MORTISE_STYLE_RELU: return keep_nan(x, max(x, zero()));
        default: {
            const F positive = keep_nan(x, max(x, zero()));
            return positive * positive;
        }
    }
}

inline F clamped_pair(F gate, F up, float limit) {
    if (limit > 0) {
        gate = keep_nan(gate, min(gate, set(limit)));
        up = keep_nan(up, max(min(up, set(limit)), set(-limit)));
    }
    return (up + set(1)) * gate * sigmoid_of(gate * set(1.702f));
}

// b null: one operand.
void act(uint32_t style, float limit, uint64_t count, const float* a, const float* b, float* y) {
    each(count, [&](uint64_t i, uint64_t left) {
        const F x = load_some(a + i, left);
        if (style == MORTISE_STYLE_SWIGLU_CLAMPED) {
            store_some(y + i, clamped_pair(x, load_some(b + i, left), limit), left);
        } else {
            const F value = activated(style, x);
            store_some(y + i, b ? value * load_some(b + i, left) : value, left);
        }
    });
}

void add(uint64_t count, const float* a, const float* b, float* y) {
    each(count, [&](uint64_t i, uint64_t left) {
        store_some(y + i, load_some(a + i, left) + load_some(b + i, left), left);
    });
}

void scale(uint64_t count, float factor, const float* x, float* y) {
    each(count,
         [&](uint64_t i, uint64_t left) { store_some(y + i, load_some(x + i, left) * set(factor), left); });
}

void softcap(uint64_t count, float factor, const float* x, float* y) {
    each(count, [&](uint64_t i, uint64_t left) {
        store_some(y + i, tanh_of(load_some(x + i, left) * set(1 / factor)) * set(factor), left);
    });
}

}  // namespace
}  // namespace mortise::cpu
