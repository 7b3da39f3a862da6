// Recipes: how a dialect's producer computes codes and scales from float weights, as data that the host runs.
//
// Start from the arithmetic and add where the producer differs; every dtype below is a MORTISE_ENCODING_* of
// F32, BF16 or F16. Numbers are read off the producer's source, never fitted.
//
//     // scale = f32(max|w|) / 7 per group, code = round(w / scale) in [-8, 7], 1 for a group of zeros
//     symmetric_recipe(MORTISE_ENCODING_F32, 7, -8, 7).zero_scale(1)
//     // e2m1 codes under e4m3 scales of 16 under one f32: that is max|W| / (6 * 448), scales at least 2^-9
//     symmetric_recipe(MORTISE_ENCODING_F32, 6, -6, 6).zero_scale(1).scale_floor(0x1p-9)
//     // power of two scales: 2^ceil(log2(max|w| / 448))
//     symmetric_recipe(MORTISE_ENCODING_F32, 448, -448, 448).exponents(MORTISE_EXPONENT_CEIL)
//
// Two levels need no more than a spec with two: the level that is one for the whole module is the second.
#pragma once

#include <string>
#include <utility>

#include "mortise/abi_scheme.h"
#include "mortise/sdk/host.h"

namespace mortise::sdk {

struct Recipe {
    mortise_quantizer quantizer{};
    mortise_recipe fine{};
    std::string together;

    // Effect: MORTISE_RECIPE_* flags, added.
    Recipe& with(uint32_t flags) { return fine.flags |= flags, *this; }
    // Effect: dtype of weight / scale, where it is not that of the scale.
    Recipe& quotient(uint32_t encoding) { return fine.quotient = encoding, *this; }
    // Effect: scale of a group of zeros, or of one that rounds to 0.
    Recipe& zero_scale(double scale) { return quantizer.zero_scale = scale, *this; }
    // Effect: a group of zeros has the scale of one with this amax.
    Recipe& zero_amax(double amax) { return fine.zero_amax = amax, *this; }
    // Effect: amax (or max - min) is raised to this; the scale is raised to this before it is rounded.
    Recipe& amax_floor(double least) { return fine.amax_floor = least, *this; }
    Recipe& scale_floor(double least) { return fine.scale_floor = least, *this; }
    // Effect: scales are powers of two by this MORTISE_EXPONENT_* rule.
    Recipe& exponents(uint32_t rule) { return quantizer.exponent_rule = rule, *this; }
    // Effect: second level = amax of the module / divisor.
    Recipe& second_divisor(double divisor) { return fine.second_divisor = divisor, *this; }
    // Effect: modules with the same words share the amax of the second level (q, k and v, say).
    Recipe& share(std::string words) { return together = std::move(words), *this; }
};

// Effect: scale = amax / divisor, codes = round(weight / scale) within [low, high]; all in `compute`.
inline Recipe symmetric_recipe(uint32_t compute, double divisor, double low, double high) {
    Recipe recipe{.quantizer = make<mortise_quantizer>()};
    recipe.quantizer.method = MORTISE_METHOD_AMAX;
    recipe.quantizer.compute = compute;
    recipe.quantizer.divisor = divisor;
    recipe.quantizer.code_min = low;
    recipe.quantizer.code_max = high;
    recipe.quantizer.clamp = 1;
    return recipe;
}
// Effect: scale = (max - min) / (high - low) over a range that holds 0, `zero_scale` for a group without a
// spread, and zero = round(low - min / scale): a zero point, or the minimum itself where the spec has
// addends.
inline Recipe asymmetric_recipe(uint32_t compute, double low, double high, double zero_scale) {
    Recipe recipe = symmetric_recipe(compute, 0, low, high).zero_scale(zero_scale);
    recipe.quantizer.method = MORTISE_METHOD_MINMAX;
    return recipe;
}
// Effect: 8-bit floats, f32(amax) / 448 and 1 for zeros.
inline Recipe float8_recipe() { return symmetric_recipe(MORTISE_ENCODING_F32, 448, -448, 448).zero_scale(1); }
// Effect: 8-bit floats under powers of two, 2^ceil(log2(amax / 448)) and the smallest for zeros.
inline Recipe float8_powers_recipe() {
    return float8_recipe().zero_scale(0x1p-127).exponents(MORTISE_EXPONENT_CEIL);
}
// Effect: 4-bit floats under e4m3 scales under one f32: amax of the module / (6 * 448), scales at least 2^-9.
inline Recipe float4_recipe() {
    return symmetric_recipe(MORTISE_ENCODING_F32, 6, -6, 6)
        .zero_scale(1)
        .scale_floor(0x1p-9)
        .second_divisor(6 * 448);
}
// Effect: signed 4-bit integers, f32(amax) / 7 and 1 for zeros.
inline Recipe int4_recipe() { return symmetric_recipe(MORTISE_ENCODING_F32, 7, -8, 7).zero_scale(1); }
// Effect: scale and addend such that the end of larger magnitude is met exactly; codes from 0 to high,
// computed before scale and addend are rounded.
inline Recipe edge_recipe(double high, double least_scale) {
    Recipe recipe = symmetric_recipe(MORTISE_ENCODING_F32, 0, 0, high);
    recipe.quantizer.method = MORTISE_METHOD_EDGE;
    return recipe.scale_floor(least_scale).with(MORTISE_RECIPE_UNROUNDED);
}

}  // namespace mortise::sdk
