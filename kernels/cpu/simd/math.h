// exp, tanh, erf on f32 lanes. Textual part of a backend.
#pragma once

namespace mortise::cpu {
namespace {

// Relative error below 2e-7; NaN stays NaN; below -87 the result is about 1e-38, above 88 about 3e38.
inline F exp_of(F x) {
    const F bounded = max(min(x, set(88.3f)), set(-87.0f));
    const F n = to_float(to_nearest(bounded * set(1.44269504f)));
    F r = fma(n, set(-0.693359375f), bounded);  // ln 2 in two parts
    r = fma(n, set(2.12194440e-4f), r);
    // Minimax polynomial of (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 (Cephes, expf).
    F p = set(1.9875691500e-4f);
    p = fma(p, r, set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    p = fma(p, r * r, r + set(1));
    const I power = shift_left<23>(to_nearest(n) + set_bits(127));
    return keep_nan(x, p * as_float(power));
}

inline F absolute(F x) { return as_float(as_bits(x) & set_bits(0x7fffffff)); }
inline F with_sign_of(F sign, F x) { return as_float(as_bits(x) | (as_bits(sign) & set_bits(INT32_MIN))); }

inline F tanh_of(F x) {
    const F size = absolute(x), square = x * x;
    const F t = exp_of(size * set(-2));
    const F large = with_sign_of(x, (set(1) - t) / (set(1) + t));
    F p = set(-5.70498872745e-3f);  // Cephes, tanhf, |x| < 0.625
    p = fma(p, square, set(2.06390887954e-2f));
    p = fma(p, square, set(-5.37397155531e-2f));
    p = fma(p, square, set(1.33314422036e-1f));
    p = fma(p, square, set(-3.33332819422e-1f));
    return keep_nan(x, where_less(size, set(0.625f), fma(p * square, x, x), large));
}

// Absolute error below 3e-7 (Abramowitz and Stegun 7.1.26).
inline F erf_of(F x) {
    const F size = absolute(x), t = set(1) / fma(size, set(0.3275911f), set(1));
    F p = set(1.061405429f);
    p = fma(p, t, set(-1.453152027f));
    p = fma(p, t, set(1.421413741f));
    p = fma(p, t, set(-0.284496736f));
    p = fma(p, t, set(0.254829592f));
    const F tail = p * t * exp_of(zero() - size * size);
    return keep_nan(x, with_sign_of(x, set(1) - tail));
}

// cos and sin of |x| < 2^17, absolute error below 2e-7. Requires a fused fma: the multiples of pi / 2 are
// subtracted in three parts, the first of them exactly.
inline void cos_sin_of(F x, F& cosine, F& sine) {
    const I quarter = to_nearest(x * set(0.63661977f));
    const F n = to_float(quarter);
    F r = fma(n, set(-1.57079625f), x);
    r = fma(n, set(-7.54978942e-8f), r);
    r = fma(n, set(-5.39030253e-15f), r);
    const F z = r * r;
    F s = fma(set(-1.9515295891e-4f), z, set(8.3321608736e-3f));  // Cephes, sinf and cosf
    s = fma(s, z, set(-1.6666654611e-1f));
    s = fma(s * z, r, r);
    F c = fma(set(2.443315711809948e-5f), z, set(-1.388731625493765e-3f));
    c = fma(c, z, set(4.166664568298827e-2f));
    c = fma(c * z, z, fma(z, set(-0.5f), set(1)));
    // Odd quarters swap the two; the second bit of n is the sign of the sine, of n + 1 that of the cosine.
    const F odd = to_float(quarter & set_bits(1)), half = set(0.5f);
    const I sine_sign = shift_left<30>(quarter & set_bits(2)),
            cosine_sign = shift_left<30>((quarter + set_bits(1)) & set_bits(2));
    sine = as_float(as_bits(where_less(half, odd, c, s)) ^ sine_sign);
    cosine = as_float(as_bits(where_less(half, odd, s, c)) ^ cosine_sign);
}

inline F sigmoid_of(F x) { return set(1) / (set(1) + exp_of(zero() - x)); }

}  // namespace
}  // namespace mortise::cpu
