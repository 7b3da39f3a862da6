#include "base/small_float.h"

#include <array>
#include <cmath>
#include <limits>

#include "base/result.h"

namespace mortise {
namespace {

// How a type spends the codes that are no ordinary numbers.
enum class Specials : uint8_t { none, top_is_nan, ieee, fnuz };

struct Kind {
    int exponent_bits, mantissa_bits, bias;
    Specials specials;
};

constexpr Kind e4m3{4, 3, 7, Specials::top_is_nan}, e5m2{5, 2, 15, Specials::ieee};
constexpr Kind e4m3fnuz{4, 3, 8, Specials::fnuz}, e5m2fnuz{5, 2, 16, Specials::fnuz};
constexpr Kind e2m1{2, 1, 1, Specials::none}, e2m3{2, 3, 1, Specials::none}, e3m2{3, 2, 3, Specials::none};

const Kind& kind_of(DType dtype) {
    switch (dtype) {
        case DType::f8_e4m3: return e4m3;
        case DType::f8_e5m2: return e5m2;
        case DType::f8_e4m3fnuz: return e4m3fnuz;
        case DType::f8_e5m2fnuz: return e5m2fnuz;
        case DType::f4_e2m1: return e2m1;
        case DType::f6_e2m3: return e2m3;
        case DType::f6_e3m2: return e3m2;
        default: MORTISE_INVARIANT(!"small float type"); return e4m3;
    }
}

int sign_bit(const Kind& kind) { return 1 << (kind.exponent_bits + kind.mantissa_bits); }

int largest_code(const Kind& kind) {
    int top = sign_bit(kind) - 1;
    if (kind.specials == Specials::top_is_nan) return top - 1;
    if (kind.specials == Specials::ieee) return top - (1 << kind.mantissa_bits);
    return top;
}

float decode(const Kind& kind, int code) {
    int sign = code & sign_bit(kind), magnitude = code & (sign_bit(kind) - 1);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    if (kind.specials == Specials::fnuz && sign && magnitude == 0) return nan;
    int largest = largest_code(kind);
    float value;
    if (magnitude <= largest) {
        int exponent = magnitude >> kind.mantissa_bits;
        int mantissa = magnitude & ((1 << kind.mantissa_bits) - 1);
        if (exponent > 0) mantissa |= 1 << kind.mantissa_bits;
        value =
            std::ldexp(static_cast<float>(mantissa), std::max(exponent, 1) - kind.bias - kind.mantissa_bits);
    } else if (kind.specials == Specials::ieee && magnitude == largest + 1) {
        value = std::numeric_limits<float>::infinity();
    } else {
        return nan;
    }
    return sign ? -value : value;
}

template <size_t n>
std::array<float, n> make_table(const Kind& kind) {
    std::array<float, n> table{};
    for (size_t code = 0; code < n; ++code) table[code] = decode(kind, static_cast<int>(code));
    return table;
}

std::array<float, 256> make_e8m0() {
    std::array<float, 256> table{};
    for (int code = 0; code < 255; ++code) table[static_cast<size_t>(code)] = std::ldexp(1.0f, code - 127);
    table[255] = std::numeric_limits<float>::quiet_NaN();
    return table;
}

uint8_t encode_e8m0(float value) {
    if (std::isnan(value)) return 0xFF;
    if (std::isinf(value)) return 0xFE;
    if (value == 0) return 0;
    int exponent;
    float fraction = std::frexp(std::abs(value), &exponent);  // in [0.5, 1)
    int code = exponent - 1 + 127;
    // Nearest power of two; the tie 1.5 * 2^e goes to the even code.
    if (fraction > 0.75f || (fraction == 0.75f && code % 2 != 0)) ++code;
    return static_cast<uint8_t>(std::min(std::max(code, 0), 254));
}

}  // namespace

std::span<const float> decode_table(DType dtype) {
    static const auto e4m3_table = make_table<256>(e4m3), e5m2_table = make_table<256>(e5m2);
    static const auto e4m3fnuz_table = make_table<256>(e4m3fnuz), e5m2fnuz_table = make_table<256>(e5m2fnuz);
    static const auto e2m1_table = make_table<16>(e2m1);
    static const auto e2m3_table = make_table<64>(e2m3), e3m2_table = make_table<64>(e3m2);
    static const auto e8m0_table = make_e8m0();
    switch (dtype) {
        case DType::f8_e4m3: return e4m3_table;
        case DType::f8_e5m2: return e5m2_table;
        case DType::f8_e4m3fnuz: return e4m3fnuz_table;
        case DType::f8_e5m2fnuz: return e5m2fnuz_table;
        case DType::f8_e8m0: return e8m0_table;
        case DType::f4_e2m1: return e2m1_table;
        case DType::f6_e2m3: return e2m3_table;
        case DType::f6_e3m2: return e3m2_table;
        default: MORTISE_INVARIANT(!"small float type"); return {};
    }
}

uint8_t encode_small(DType dtype, float value, Overflow overflow) {
    if (dtype == DType::f8_e8m0) return encode_e8m0(value);
    const Kind& kind = kind_of(dtype);
    const int sign = std::signbit(value) ? sign_bit(kind) : 0;
    const int largest = largest_code(kind), top = sign_bit(kind) - 1;
    const bool fnuz = kind.specials == Specials::fnuz;
    if (std::isnan(value)) {
        if (fnuz) return static_cast<uint8_t>(sign_bit(kind));
        return static_cast<uint8_t>(kind.specials == Specials::none ? top : top | sign);
    }
    int code = top + 1;
    double magnitude = std::abs(static_cast<double>(value));
    // Above: certainly beyond the largest code, and the arithmetic below stays within int.
    if (magnitude < std::ldexp(1.0, (1 << kind.exponent_bits) - kind.bias + 1)) {
        int exponent = magnitude > 0 ? std::max(std::ilogb(magnitude), 1 - kind.bias) : 1 - kind.bias;
        double steps = std::ldexp(magnitude, kind.mantissa_bits - exponent);  // exact
        int kept = static_cast<int>(steps);
        double lost = steps - kept;
        kept += lost > 0.5 || (lost == 0.5 && kept % 2 != 0);
        code = ((exponent - (1 - kind.bias)) << kind.mantissa_bits) + kept;  // a carry lands in the exponent
    }
    if (code > largest) {
        code = largest;
        if (overflow == Overflow::special) {
            if (fnuz) return static_cast<uint8_t>(sign_bit(kind));
            if (kind.specials != Specials::none) code = largest + 1;  // infinity or NaN
        }
    }
    if (fnuz && code == 0) return 0;
    return static_cast<uint8_t>(code | sign);
}

}  // namespace mortise
