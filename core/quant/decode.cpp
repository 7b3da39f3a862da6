#include "quant/decode.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/small_float.h"
#include "quant/elements.h"

namespace mortise::quant {
namespace {

void decode_plain(const mortise_tile& tile, float* out) {
    uint64_t n = tile.rows * tile.columns;
    const auto* half = static_cast<const uint16_t*>(tile.plain);
    switch (tile.plain_encoding) {
        case MORTISE_ENCODING_F16:
            for (uint64_t i = 0; i < n; ++i) out[i] = f16_to_f32(half[i]);
            return;
        case MORTISE_ENCODING_BF16:
            for (uint64_t i = 0; i < n; ++i) out[i] = bf16_to_f32(half[i]);
            return;
        default: std::memcpy(out, tile.plain, n * sizeof(float));
    }
}

// Scale, zero point and addend of one run of columns.
struct Group {
    float scale = 1, zero = 0, addend = 0;
};

// Value of a code before any scale.
struct IntegerValue {
    float operator()(uint8_t code) const { return static_cast<float>(code); }
};
struct TableValue {
    const float* table;
    float operator()(uint8_t code) const { return table[code]; }
};

template <class Value>
void decode_run(const uint8_t* codes, uint64_t n, const Group& g, bool add, Value value, float* out) {
    if (!add) {
        for (uint64_t c = 0; c < n; ++c) out[c] = (value(codes[c]) - g.zero) * g.scale;
        return;
    }
    for (uint64_t c = 0; c < n; ++c) {
        float product = (value(codes[c]) - g.zero) * g.scale;
        out[c] = product + g.addend;
    }
}

template <class Value>
void decode_codes(const mortise_tile& tile, Value value, float* out) {
    for (uint64_t r = 0; r < tile.rows; ++r) {
        uint64_t at = r * tile.groups;
        auto group = [&](uint64_t g) {
            return Group{.scale = tile.scale ? tile.scale[at + g] : 1.0f,
                         .zero = tile.zero ? tile.zero[at + g] : tile.zero_constant,
                         .addend = tile.addend ? tile.addend[at + g] : 0.0f};
        };
        const uint8_t* codes = tile.codes + r * tile.columns;
        float* to = out + r * tile.columns;
        bool add = tile.addend != nullptr;
        if (tile.group_of_column) {
            for (uint64_t c = 0; c < tile.columns; ++c) {
                decode_run(codes + c, 1, group(tile.group_of_column[c]), add, value, to + c);
            }
            continue;
        }
        for (uint64_t c = 0; c < tile.columns;) {
            uint64_t g = (c + tile.phase) / tile.group_size;
            uint64_t end = std::min(tile.columns, (g + 1) * tile.group_size - tile.phase);
            decode_run(codes + c, end - c, group(g), add, value, to + c);
            c = end;
        }
    }
}

// w' = cast(w * m) * s, m = (1 / (L * s)) * L with L the largest value of the cast: the steps of
// _fp8_eager (NVIDIA, quantization/tensor_quant.py; PyTorch divides a number by a tensor through its
// reciprocal). Cast(w / s) is another code at one weight in 1500.
void cast_weights(const mortise_tile& tile, float* out) {
    DType type = small_type(tile.spec->cast_encoding);
    float s = *tile.cast_scale;
    const float* values = code_values(tile.spec->cast_encoding);
    float largest = values[encode_small(type, std::numeric_limits<float>::max(), Overflow::saturate)];
    float m = 1.0f / (largest * s) * largest;
    uint64_t n = tile.rows * tile.columns;
    for (uint64_t i = 0; i < n; ++i) out[i] = values[encode_small(type, out[i] * m, Overflow::saturate)] * s;
}

bool is_small_float_code(uint32_t encoding) {
    return encoding >= MORTISE_ENCODING_E2M1 && encoding <= MORTISE_ENCODING_E8M0;
}

}  // namespace

void decode_tile(const mortise_tile& tile, float* out) {
    if (tile.plain) {
        decode_plain(tile, out);
    } else if (tile.table) {
        decode_codes(tile, TableValue{tile.table}, out);
    } else if (is_small_float_code(tile.spec->encoding)) {
        decode_codes(tile, TableValue{code_values(tile.spec->encoding)}, out);
    } else {
        decode_codes(tile, IntegerValue{}, out);
    }
    if (MORTISE_HAS(&tile, mortise_tile, cast_scale) && tile.cast_scale) cast_weights(tile, out);
}

Result<std::vector<float>> decode_all(const QuantSpec& spec, const Sources& sources) {
    MORTISE_TRY(PartReader reader, PartReader::make(spec, sources, {}));
    const Extent& extent = spec.extent;
    uint64_t step = std::max<uint64_t>(1, (uint64_t{1} << 20) / extent.columns);
    std::vector<float> out(extent.experts * extent.rows * extent.columns);
    std::vector<uint64_t> rows;
    Tile tile;
    float* to = out.data();
    for (uint64_t expert = 0; expert < extent.experts; ++expert) {
        for (uint64_t row = 0; row < extent.rows; row += step) {
            rows.clear();
            for (uint64_t r = row; r < std::min(extent.rows, row + step); ++r) rows.push_back(r);
            MORTISE_CHECK(
                reader.read({.rows = rows, .expert = expert, .tile_expert = expert, .tile_row = row}, tile));
            decode_tile(tile.view(), to);
            to += rows.size() * extent.columns;
        }
    }
    return out;
}

}  // namespace mortise::quant
