#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "harness.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::test {
namespace {

// OCP 8-bit, 4-bit floats from their definition: sign, exponent, mantissa.
double small_float(uint32_t code, int exponent_bits, int mantissa_bits, int bias) {
    const int mantissa = static_cast<int>(code & ((1u << mantissa_bits) - 1));
    const int exponent = static_cast<int>(code >> mantissa_bits & ((1u << exponent_bits) - 1));
    const double sign = code >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

double float_code(uint32_t encoding, uint8_t code) {
    switch (encoding) {
        case MORTISE_ENCODING_E2M1: return small_float(code & 15, 2, 1, 1);
        case MORTISE_ENCODING_E4M3:
            return (code & 0x7f) == 0x7f ? std::numeric_limits<double>::quiet_NaN()
                                         : small_float(code, 4, 3, 7);
        case MORTISE_ENCODING_E5M2:
            if ((code & 0x7c) == 0x7c) {
                return code & 3 ? std::numeric_limits<double>::quiet_NaN()
                                : (code & 0x80 ? -1 : 1) * HUGE_VAL;
            }
            return small_float(code, 5, 2, 15);
        case MORTISE_ENCODING_E4M3FNUZ:
            return code == 0x80 ? std::numeric_limits<double>::quiet_NaN() : small_float(code, 4, 3, 8);
        default: return 0;
    }
}

bool integer_code(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_UNSIGNED || encoding == MORTISE_ENCODING_OFFSET ||
           encoding == MORTISE_ENCODING_TWOS;
}

// The nearest value of e4m3: three mantissa bits, from 2^-6 down in equal steps, saturating.
double cast(double value) {
    const double step = std::ldexp(1.0, std::max(std::ilogb(value), -6) - 3);
    return std::clamp(std::nearbyint(value / step) * step, -448.0, 448.0);
}

double tile_weight(const mortise_tile& tile, uint64_t row, uint64_t column) {
    const uint64_t at = row * tile.columns + column;
    double value = 0;
    if (tile.plain) {
        switch (tile.plain_encoding) {
            case MORTISE_ENCODING_F32: value = static_cast<const float*>(tile.plain)[at]; break;
            case MORTISE_ENCODING_F16:
                value = sdk::from_f16(static_cast<const uint16_t*>(tile.plain)[at]);
                break;
            default: value = sdk::from_bf16(static_cast<const uint16_t*>(tile.plain)[at]);
        }
    }
    const uint64_t group =
        tile.group_of_column ? tile.group_of_column[column] : (column + tile.phase) / tile.group_size;
    const uint64_t entry = row * tile.groups + group;
    if (tile.codes) {
        const uint8_t code = tile.codes[at];
        const uint32_t encoding = tile.spec->encoding;
        if (encoding == MORTISE_ENCODING_LOOKUP)
            value = tile.table[code];
        else if (integer_code(encoding))
            value = code - double{tile.zero ? tile.zero[entry] : tile.zero_constant};
        else
            value = float_code(encoding, code);
    }
    if (tile.scale) value = static_cast<float>(value * tile.scale[entry]);
    if (tile.addend) value = static_cast<float>(value + tile.addend[entry]);
    if (tile.cast_scale) {
        const float unit = *tile.cast_scale;
        value = static_cast<float>(cast(static_cast<float>(value) / unit) * unit);
    }
    return value;
}

void decode_tile(const mortise_tile* tile, float* out) {
    for (uint64_t r = 0; r < tile->rows; r++) {
        for (uint64_t c = 0; c < tile->columns; c++) {
            out[r * tile->columns + c] = static_cast<float>(tile_weight(*tile, r, c));
        }
    }
}

float as_stored(uint32_t encoding, float value) {
    switch (encoding) {
        case MORTISE_ENCODING_F16: return sdk::from_f16(sdk::to_f16(value));
        case MORTISE_ENCODING_BF16: return sdk::from_bf16(sdk::to_bf16(value));
        case MORTISE_ENCODING_E8M0: return std::exp2(std::floor(std::log2(value)));
        default: return value;
    }
}

double largest_of(const float* x, uint64_t count) {
    double largest = 0;
    for (uint64_t k = 0; k < count; k++) largest = std::max(largest, std::fabs(double{x[k]}));
    return largest;
}

void prepare_input(const mortise_spec* spec, const mortise_extras* extras, uint32_t activations,
                   uint64_t rows, uint64_t columns, const float* x, float* out) {
    for (uint64_t i = 0; i < rows * columns; i++)
        out[i] = extras->pre_scale ? x[i] * extras->pre_scale[i % columns] : x[i];
    const uint32_t granularity = spec->activation.granularity;
    if (granularity == MORTISE_ACTIVATION_NONE || activations == MORTISE_ACTIVATIONS_EXACT) return;
    const bool stored = spec->activation.dynamic == 0;
    const uint64_t run = granularity == MORTISE_ACTIVATION_TENSOR ? rows * columns : columns;
    for (uint64_t first = 0; first < rows * columns; first += run) {
        const float scale =
            stored ? *extras->input_scale : static_cast<float>(largest_of(out + first, run) / 127);
        if (scale == 0) continue;
        for (uint64_t i = first; i < first + run; i++)
            out[i] = std::clamp(std::nearbyint(out[i] / scale), -128.0f, 127.0f) * scale;
    }
}

void ignore_error(const mortise_error*) {}
void ignore_log(uint32_t, mortise_str, mortise_str) {}

}  // namespace

void install_host() {
    static mortise_host host = [] {
        auto h = sdk::make<mortise_host>();
        h.log = ignore_log;
        h.set_error = ignore_error;
        h.decode_tile = decode_tile;
        h.prepare_input = prepare_input;
        return h;
    }();
    sdk::host_slot() = &host;
}

std::vector<float> random_floats(size_t count, uint32_t seed, float spread) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, spread);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
}

Part::Part(const Format& format, uint64_t rows, uint64_t columns, uint32_t seed, bool bias,
           uint64_t first_column, uint64_t experts) {
    std::mt19937 random(seed);
    const uint64_t group = format.group ? format.group : columns + first_column;
    spec_ = sdk::make<mortise_spec>();
    spec_.experts = experts, spec_.rows = rows, spec_.columns = columns + first_column;
    spec_.encoding = format.encoding, spec_.bits = format.bits, spec_.offset_kind = format.offset;
    part_ = sdk::make<mortise_kernel_part>();
    part_.spec = &spec_;
    part_.experts = experts, part_.rows = rows, part_.columns = columns, part_.first_column = first_column;
    part_.column_group = format.group ? format.group : columns;
    part_.indexed = format.indexed, part_.has_bias = bias, part_.row_scales_vary = format.row_group == 1;
    extras_ = sdk::make<mortise_extras>();
    tile_ = sdk::make<mortise_tile>();
    tile_.spec = &spec_;
    tile_.columns = columns, tile_.group_size = group,
    tile_.phase = format.indexed ? 0 : first_column % group;
    tile_.groups = static_cast<uint32_t>(sdk::column_groups(part_));
    fill_scales(format, random);
    fill_offsets(format, seed, random);
    if (format.indexed) {
        for (uint64_t k = 0; k < spec_.columns; k++) map_.push_back(static_cast<uint32_t>(k / group));
        std::shuffle(map_.begin(), map_.end(), random);
        map_.erase(map_.begin(), map_.begin() + static_cast<ptrdiff_t>(first_column));
    }
    if (format.encoding == MORTISE_ENCODING_LOOKUP)
        table_ = random_floats(size_t{1} << format.bits, seed + 5);
    if (bias) bias_ = random_floats(experts * rows, seed + 3), extras_.bias = bias_.data();
    if (format.cast) {
        spec_.has_cast = 1, spec_.cast_encoding = MORTISE_ENCODING_E4M3;
        cast_scale_ = {0.013f};
    }
    fill_input_rule(format, random);
    if (format.low_rank) fill_low_rank(format.low_rank, seed);
    spec_.fields = fields_.data(), spec_.n_fields = static_cast<uint32_t>(fields_.size());
    fill_codes(random);
    decode();
}

void Part::fill_scales(const Format& format, std::mt19937& random) {
    if (sdk::is_plain(spec_)) return;
    std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
    spec_.n_levels = 1;
    const double widest = integer_code(format.encoding)                  ? std::exp2(format.bits - 1.0)
                          : format.encoding == MORTISE_ENCODING_E4M3FNUZ ? 240.0
                          : format.encoding == MORTISE_ENCODING_E4M3     ? 448.0
                          : format.encoding == MORTISE_ENCODING_E5M2     ? 57344.0
                                                                         : 6.0;
    const uint64_t all = part_.experts * part_.rows;
    for (uint64_t i = 0; i < all * tile_.groups; i++) {
        scale_.push_back(as_stored(format.scale_as, uniform(random) / static_cast<float>(widest)));
    }
    spec_.levels[0].role = MORTISE_ROLE_SCALE;
    fields_.push_back(sdk::make<mortise_field>());
    fields_.back().role = MORTISE_ROLE_SCALE;
    fields_.back().encoding = format.scale_as;
    for (uint64_t r = 0; r < all; r++) {  // rows of one scale group agree
        const uint64_t leader = r / format.row_group * format.row_group;
        std::copy_n(&scale_[leader * tile_.groups], tile_.groups, &scale_[r * tile_.groups]);
    }
}

void Part::fill_offsets(const Format& format, uint32_t seed, std::mt19937& random) {
    const uint64_t entries = part_.experts * part_.rows * tile_.groups;
    const bool is_signed =
        format.encoding == MORTISE_ENCODING_OFFSET || format.encoding == MORTISE_ENCODING_TWOS;
    tile_.zero_constant = is_signed || format.offset == 1 ? static_cast<float>(1u << (format.bits - 1)) : 0;
    if (format.offset == 2) {
        std::uniform_int_distribution<int> any(0, (1 << format.bits) - 1);
        for (uint64_t i = 0; i < entries; i++) zero_.push_back(static_cast<float>(any(random)));
    }
    if (format.offset == 3) addend_ = random_floats(entries, seed + 7, 0.1f);
}

void Part::fill_input_rule(const Format& format, std::mt19937& random) {
    std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
    if (format.pre_scale) {
        for (uint64_t k = 0; k < part_.columns; k++) pre_scale_.push_back(uniform(random));
        extras_.pre_scale = pre_scale_.data();
        fields_.push_back(sdk::make<mortise_field>());
        fields_.back().role = MORTISE_ROLE_PRE_SCALE;
    }
    if (!format.int8_input) return;
    mortise_activation& rule = spec_.activation;
    const bool tensor = format.one_scale || format.stored_input;
    rule.granularity = tensor ? MORTISE_ACTIVATION_TENSOR : MORTISE_ACTIVATION_TOKEN;
    rule.encoding = MORTISE_ENCODING_TWOS, rule.bits = 8;
    rule.dynamic = !format.stored_input, rule.divisor = 127;
    if (format.stored_input) extras_.input_scale = &input_scale_;
}

void Part::fill_low_rank(uint64_t rank, uint32_t seed) {
    low_a_ = random_floats(rank * part_.columns, seed + 11, 0.1f);
    low_b_ = random_floats(part_.rows * rank, seed + 13, 0.1f);
    extras_.low_rank = rank, extras_.low_rank_a = low_a_.data(), extras_.low_rank_b = low_b_.data();
    for (uint32_t role : {MORTISE_ROLE_LOW_RANK_A, MORTISE_ROLE_LOW_RANK_B}) {
        fields_.push_back(sdk::make<mortise_field>());
        fields_.back().role = role;
        fields_.back().experts = 1;
        fields_.back().rows = role == MORTISE_ROLE_LOW_RANK_A ? rank : part_.rows;
        fields_.back().columns = role == MORTISE_ROLE_LOW_RANK_A ? part_.columns : rank;
    }
}

double Part::low_rank(const float* x, uint64_t row) const {
    double sum = 0;
    for (uint64_t r = 0; r < extras_.low_rank; r++) {
        double inner = 0;
        for (uint64_t k = 0; k < part_.columns; k++) {
            inner +=
                double{x[k]} * (pre_scale_.empty() ? 1.0 : pre_scale_[k]) * low_a_[r * part_.columns + k];
        }
        sum += inner * low_b_[row * extras_.low_rank + r];
    }
    return sum;
}

void Part::fill_codes(std::mt19937& random) {
    const uint64_t count = part_.experts * part_.rows * part_.columns;
    if (spec_.encoding == MORTISE_ENCODING_F32) {
        plain32_ = random_floats(count, random(), 0.5f);
    } else if (spec_.encoding == MORTISE_ENCODING_F16 || spec_.encoding == MORTISE_ENCODING_BF16) {
        for (float value : random_floats(count, random(), 0.5f)) {
            plain16_.push_back(spec_.encoding == MORTISE_ENCODING_F16 ? sdk::to_f16(value)
                                                                      : sdk::to_bf16(value));
        }
    } else {
        codes_.resize(count);
        for (uint8_t& code : codes_) {
            do code = static_cast<uint8_t>(random() & ((1u << spec_.bits) - 1));
            while (!integer_code(spec_.encoding) && spec_.encoding != MORTISE_ENCODING_LOOKUP &&
                   !std::isfinite(float_code(spec_.encoding, code)));
        }
    }
}

void Part::decode() {
    weights_.clear();
    for (uint64_t e = 0; e < part_.experts; e++) {
        const mortise_tile all = tile(e, 0, part_.rows);
        for (uint64_t r = 0; r < part_.rows; r++) {
            for (uint64_t k = 0; k < part_.columns; k++) weights_.push_back(tile_weight(all, r, k));
        }
    }
}

void Part::poison(uint64_t row, uint64_t column) {
    const uint64_t at = row * part_.columns + column;
    if (spec_.encoding == MORTISE_ENCODING_F32)
        plain32_[at] = std::numeric_limits<float>::quiet_NaN();
    else if (!plain16_.empty())
        plain16_[at] = 0x7fff;
    else
        codes_[at] = 0x7f;
    decode();
}

mortise_tile Part::tile(uint64_t expert, uint64_t row, uint64_t count) const {
    mortise_tile tile = tile_;
    const uint64_t first = expert * part_.rows + row;
    const auto at = [&](const std::vector<float>& v) {
        return v.empty() ? nullptr : &v[first * tile_.groups];
    };
    tile.expert = expert, tile.row = row, tile.rows = count;
    tile.codes = codes_.empty() ? nullptr : &codes_[first * part_.columns];
    if (!plain32_.empty()) tile.plain = &plain32_[first * part_.columns];
    if (!plain16_.empty()) tile.plain = &plain16_[first * part_.columns];
    if (tile.plain) tile.plain_encoding = spec_.encoding;
    tile.scale = at(scale_), tile.zero = at(zero_), tile.addend = at(addend_);
    tile.group_of_column = map_.empty() ? nullptr : map_.data();
    tile.table = table_.empty() ? nullptr : table_.data();
    tile.cast_scale = cast_scale_.empty() ? nullptr : cast_scale_.data();
    return tile;
}

double Part::dot(const std::vector<double>& prepared, uint64_t row, uint64_t expert) const {
    const double* w = &weights_[(expert * part_.rows + row) * part_.columns];
    double sum = bias_.empty() ? 0 : bias_[expert * part_.rows + row];
    for (uint64_t k = 0; k < part_.columns; k++) sum += w[k] * prepared[k];
    return sum;
}

std::vector<double> prepare(const Part& part, uint32_t activations, const float* x, uint64_t rows) {
    std::vector<float> out(rows * part.columns());
    prepare_input(part.facts().spec, &part.extras(), activations, rows, part.columns(), x, out.data());
    return {out.begin(), out.end()};
}

}  // namespace mortise::test
