#include "quant/activation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/small_float.h"
#include "quant/decode.h"
#include "quant/elements.h"

namespace mortise::quant {
namespace {

// OCP e4m3, nearest even, saturating; the general encoder does the same, one value at a time.
uint8_t encode_e4m3(float value) {
    uint32_t word = std::bit_cast<uint32_t>(value), magnitude = word & 0x7FFFFFFFu;
    auto sign = static_cast<uint8_t>(word >> 24 & 0x80);
    if (magnitude > 0x7F800000u) return sign | 0x7F;
    if (magnitude >= 0x43E00000u) return sign | 0x7E;  // 448 and above
    if (magnitude < 0x3C800000u) {                     // below 2^-6: units of 2^-9, rounded by the sum
        float sum = std::bit_cast<float>(magnitude) + 16384.0f;
        return static_cast<uint8_t>(sign |
                                    (std::bit_cast<uint32_t>(sum) - std::bit_cast<uint32_t>(16384.0f)));
    }
    magnitude += 0x7FFFFu + (magnitude >> 20 & 1u);
    return static_cast<uint8_t>(sign | ((magnitude >> 20) - (120u << 3)));
}

// OCP e2m1: the magnitude is the number of midpoints below it, ties to even.
uint8_t encode_e2m1(float value) {
    float a = std::fabs(value);
    int code = !(a <= 0.25f) + !(a < 0.75f) + !(a <= 1.25f) + !(a < 1.75f) + !(a <= 2.5f) + !(a < 3.5f) +
               !(a <= 5.0f);
    return static_cast<uint8_t>(code | (std::signbit(value) && !std::isnan(value) ? 8 : 0));
}

uint8_t nearest_code(uint32_t encoding, float value) {
    if (encoding == MORTISE_ENCODING_E4M3) return encode_e4m3(value);
    if (encoding == MORTISE_ENCODING_E2M1) return encode_e2m1(value);
    return encode_small(small_type(encoding), value, Overflow::saturate);
}

// Exponent of the largest power of two that the code type holds.
int largest_exponent(uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_E2M1: return 2;
        case MORTISE_ENCODING_E5M2:
        case MORTISE_ENCODING_E5M2FNUZ: return 15;
        case MORTISE_ENCODING_E4M3FNUZ: return 7;
        default: return 8;
    }
}

struct Range {
    float low = 0, high = 0;
};
Range code_range(const Activation& rule) {
    auto half = static_cast<float>(1u << (rule.bits - 1));
    return {-half, half - 1};
}

float largest_magnitude(std::span<const float> x) {
    float amax = 0;
    for (float value : x) amax = std::max(amax, std::fabs(value));
    return amax;
}

// The stored scale of a dynamic rule, from the largest magnitude (or spread) of its run.
float stored_scale(const Activation& rule, float amax, float scale2) {
    auto divisor = static_cast<float>(rule.divisor);
    auto zero_scale = static_cast<float>(rule.zero_scale);
    amax = std::max(amax, static_cast<float>(rule.amax_floor));
    if (rule.amax_ceiling > 0) amax = std::min(amax, static_cast<float>(rule.amax_ceiling));
    float t = 0;
    if (amax == 0) {
        t = zero_scale;
    } else if (rule.exponent_rule != MORTISE_EXPONENT_NONE) {
        t = power_of_two_scale(rule.exponent_rule, rule.encoding, amax, divisor);
    } else if (rule.second_level == 1) {
        t = amax / (divisor * scale2);
    } else {
        t = amax / divisor;
        if (rule.second_level == 2) t = t * scale2;
    }
    t = std::max(t, static_cast<float>(rule.scale_floor));
    if (t != 0) t = round_to(rule.scale_encoding, t);
    return t == 0 ? zero_scale : t;
}

float effective(const Activation& rule, float stored, float scale2) {
    if (rule.second_level == 1) return stored * scale2;
    if (rule.second_level == 2) return stored / scale2;
    return stored;
}

// Values from -2^22 to 2^22 to the nearest integer, ties to even: the sum leaves no bit below one. NaN stays.
float nearest_integer(float value) { return (value + 12582912.0f) - 12582912.0f; }

// What a kernel sees of x: (code - zero) * scale.
void quantize_values(const Activation& rule, float scale, float zero, std::span<float> x) {
    if (scale == 0) {  // an all-zero run without a scale of its own
        std::ranges::fill(x, 0.0f);
        return;
    }
    if (rule.encoding != MORTISE_ENCODING_TWOS) {
        const float* values = code_values(rule.encoding);
        for (float& value : x)
            value = values[encode_element(rule.encoding, value / scale, rule.ties_to_zero)] * scale;
        return;
    }
    const Range range = code_range(rule);
    for (float& value : x) {
        const float q = nearest_integer(std::clamp(value / scale + zero, range.low, range.high));
        value = (q - zero) * scale;
    }
}

void quantize_codes(const Activation& rule, std::span<const float> x, QuantizedRun& run) {
    run.codes.resize(x.size());
    run.values.assign(x.begin(), x.end());
    quantize_values(rule, run.scale, run.zero, run.values);
    if (run.scale == 0) return;
    const Range range = code_range(rule);
    for (size_t i = 0; i < x.size(); ++i) {
        if (rule.encoding != MORTISE_ENCODING_TWOS) {
            run.codes[i] = encode_element(rule.encoding, x[i] / run.scale, rule.ties_to_zero);
        } else if (const float q = x[i] / run.scale + run.zero; !std::isnan(q)) {
            run.codes[i] = static_cast<uint8_t>(
                static_cast<int8_t>(nearest_integer(std::clamp(q, range.low, range.high))));
        }
    }
}

// Scale and zero point of one run: given ones, or what a dynamic rule takes from the data.
void find_scale(const Activation& rule, std::span<const float> x, float scale2, QuantizedRun& run) {
    if (!rule.dynamic) return;
    if (!rule.asymmetric) {
        run.stored = stored_scale(rule, largest_magnitude(x), scale2);
        run.scale = effective(rule, run.stored, scale2);
        run.zero = 0;
        return;
    }
    float low = 0, high = 0;
    for (float value : x) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    run.stored = stored_scale(rule, high - low, scale2);
    run.scale = effective(rule, run.stored, scale2);
    const Range range = code_range(rule);
    const float offset = run.scale == 0 ? 0 : std::nearbyint(range.low - low / run.scale);
    run.zero = std::clamp(offset, range.low, range.high);
}

// In place, without the codes and without allocation: kernels call this while they run.
void quantize_into(const Activation& rule, std::span<float> x, float scale2, float scale, float zero) {
    QuantizedRun run{.stored = scale, .scale = scale, .zero = zero, .codes = {}, .values = {}};
    find_scale(rule, x, scale2, run);
    quantize_values(rule, run.scale, run.zero, x);
}

void hadamard(float* x, uint32_t n) {
    for (uint32_t half = 1; half < n; half *= 2) {
        for (uint32_t i = 0; i < n; i += 2 * half) {
            for (uint32_t j = i; j < i + half; ++j) {
                float a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
        }
    }
}

Activation rule_of(const mortise_spec& spec) {
    const mortise_activation& a = spec.activation;
    Activation rule{.granularity = a.granularity,
                    .encoding = a.encoding,
                    .bits = a.bits,
                    .dynamic = a.dynamic != 0,
                    .asymmetric = a.asymmetric != 0,
                    .exponent_rule = a.exponent_rule,
                    .scale_encoding = a.scale_encoding,
                    .second_level = a.second_level,
                    .group = a.group,
                    .divisor = a.divisor,
                    .amax_floor = a.amax_floor,
                    .scale_floor = a.scale_floor,
                    .zero_scale = a.zero_scale};
    if (MORTISE_HAS(&spec, mortise_spec, activation_ties)) rule.ties_to_zero = spec.activation_ties == 1;
    if (MORTISE_HAS(&spec, mortise_spec, activation_amax_ceiling))
        rule.amax_ceiling = spec.activation_amax_ceiling;
    return rule;
}

void quantize_all(const Activation& rule, const mortise_extras& extras, uint64_t rows, uint64_t columns,
                  float* x) {
    float scale2 = extras.input_scale2 ? *extras.input_scale2 : 1.0f;
    float scale = extras.input_scale ? *extras.input_scale : 1.0f;
    float zero = extras.input_zero_point ? *extras.input_zero_point : 0.0f;
    if (!rule.asymmetric) zero = 0;
    if (rule.granularity == MORTISE_ACTIVATION_TENSOR) {
        return quantize_into(rule, {x, rows * columns}, scale2, scale, zero);
    }
    uint64_t run = rule.granularity == MORTISE_ACTIVATION_GROUP ? rule.group : columns;
    for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; c += run) {
            bool per_group =
                !rule.dynamic && extras.input_scale && rule.granularity == MORTISE_ACTIVATION_GROUP;
            float own = per_group ? extras.input_scale[c / run] : scale;
            quantize_into(rule, {x + r * columns + c, std::min(run, columns - c)}, scale2, own, zero);
        }
    }
}

}  // namespace

uint8_t encode_element(uint32_t encoding, float value, bool ties_to_zero) {
    uint8_t code = nearest_code(encoding, value);
    if (!ties_to_zero) return code;
    const float* values = code_values(encoding);
    auto sign_bit = static_cast<uint8_t>(encoding == MORTISE_ENCODING_E2M1 ? 8 : 128);
    auto magnitude = static_cast<uint8_t>(code & (sign_bit - 1));
    if (magnitude == 0) return code;
    auto lower = static_cast<uint8_t>(code - 1);  // the neighbour toward zero
    float middle =
        (std::fabs(values[code]) + std::fabs(values[lower])) / 2;  // exact: a bit more than the codes have
    return std::fabs(value) == middle ? lower : code;
}

float power_of_two_scale(uint32_t rule, uint32_t encoding, float amax, float divisor) {
    int exponent = 0;
    if (rule == MORTISE_EXPONENT_CEIL || rule == MORTISE_EXPONENT_ROUND) {
        float power = std::log2(amax / divisor);
        exponent = static_cast<int>(rule == MORTISE_EXPONENT_CEIL ? std::ceil(power) : std::nearbyint(power));
    } else {
        float mantissa = std::frexp(amax, &exponent) * 2;  // [1, 2)
        --exponent;
        if (rule == MORTISE_EXPONENT_BUMP && mantissa >= 1.75f) ++exponent;
        exponent -= largest_exponent(encoding);
    }
    return std::ldexp(1.0f, std::clamp(exponent, -127, 127));
}

float round_to(uint32_t encoding, float value) {
    switch (encoding) {
        case MORTISE_ENCODING_F32:
        case MORTISE_ENCODING_AS_DTYPE: return value;
        case MORTISE_ENCODING_BF16: return bf16_to_f32(f32_to_bf16(value));
        case MORTISE_ENCODING_F16: return f16_to_f32(f32_to_f16(value));
        default: return code_values(encoding)[encode_small(small_type(encoding), value, Overflow::saturate)];
    }
}

QuantizedRun quantize_run(const Activation& rule, std::span<const float> x, float scale2, float scale,
                          float zero) {
    QuantizedRun run{.stored = scale, .scale = scale, .zero = zero, .codes = {}, .values = {}};
    find_scale(rule, x, scale2, run);
    quantize_codes(rule, x, run);
    return run;
}

void rotate(float* x, uint64_t rows, uint64_t columns, uint32_t block, const float* matrix, float factor) {
    MORTISE_INVARIANT(block > 0 && columns % block == 0);
    std::vector<double> sums(block);
    for (float* at = x; at < x + rows * columns; at += block) {
        if (!matrix) {
            hadamard(at, block);
        } else {
            std::ranges::fill(sums, 0.0);
            for (uint32_t i = 0; i < block; ++i) {
                for (uint32_t j = 0; j < block; ++j)
                    sums[j] += double{at[i]} * matrix[uint64_t{i} * block + j];
            }
            for (uint32_t j = 0; j < block; ++j) at[j] = static_cast<float>(sums[j]);
        }
        for (uint32_t j = 0; j < block; ++j) at[j] *= factor;
    }
}

void prepare_input(const mortise_spec& spec, const mortise_extras& extras, uint32_t activations,
                   uint64_t rows, uint64_t columns, const float* x, float* out) {
    if (out != x) std::copy_n(x, rows * columns, out);
    if (extras.pre_scale) {
        for (uint64_t i = 0; i < rows * columns; ++i) out[i] *= extras.pre_scale[i % columns];
    }
    if (spec.rotation_block) {
        rotate(out, rows, columns, spec.rotation_block, extras.rotation,
               static_cast<float>(spec.rotation_factor));
    }
    bool quantized = spec.activation.granularity != MORTISE_ACTIVATION_NONE;
    if (activations != MORTISE_ACTIVATIONS_EXACT && quantized)
        quantize_all(rule_of(spec), extras, rows, columns, out);
}

}  // namespace mortise::quant
