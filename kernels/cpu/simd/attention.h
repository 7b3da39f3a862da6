// Attention of some query rows against one key/value head, key_chunk keys at a time, softmax in one pass.
// Chunks start at multiples of key_chunk, so a row's arithmetic never depends on what is computed with it.
// Textual part of a backend.
#pragma once

#include "../backend.h"
#include "decode.h"
#include "elementwise.h"
#include "mortise/abi_quant.h"

namespace mortise::cpu {
namespace {

constexpr float lowest = -3.0e38f;

inline void store_bf16(uint16_t* p, F x) {
    const I bits = as_bits(x), odd = shift_right<16>(bits) & set_bits(1);
    const I rounded = bits + odd + set_bits(0x7fff);
    const F safe = keep_nan(x + x, as_float(rounded));  // a NaN made quiet, not rounded into infinity
    store_halves(p, shift_right<16>(as_bits(safe)));
}

// Codes of an 8-bit float type, nearest even, saturating. Mantissa: bits below the leading one; Lowest:
// exponent of the least normal value. The type: OCP "8-bit Floating Point" 1.0.
template <int Mantissa, int Lowest>
inline I small_codes(F x, float most) {
    const I sign = as_bits(x) & set_bits(INT32_MIN);
    const F a = min(as_float(as_bits(x) ^ sign), set(most));
    const I odd = shift_right<23 - Mantissa>(as_bits(a)) & set_bits(1);
    const I rounded = as_bits(a) + odd + set_bits((1 << (22 - Mantissa)) - 1);
    const I normal = shift_right<23 - Mantissa>(rounded) + set_bits(-((126 + Lowest) << Mantissa));
    // Subnormals: the sum rounds at their unit.
    const int32_t unit = (127 + 23 + Lowest - Mantissa) << 23;
    const I tiny = as_bits(a + as_float(set_bits(unit))) + set_bits(-unit);
    const F normals = as_float(set_bits((127 + Lowest) << 23));
    const I code = as_bits(where_less(a, normals, as_float(tiny), as_float(normal)));
    return code | shift_right<24>(sign);
}

inline I byte_codes(uint32_t encoding, F x, float zero_point) {
    if (encoding == MORTISE_ENCODING_E4M3) return small_codes<3, -6>(x, 448);
    if (encoding == MORTISE_ENCODING_E5M2) return small_codes<2, -14>(x, 57344);
    return to_nearest(max(set(-128), min(x + set(zero_point), set(127))));
}

inline uint64_t element_bytes(uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_F32: return 4;
        case MORTISE_ENCODING_BF16:
        case MORTISE_ENCODING_F16: return 2;
        default: return 1;
    }
}

void to_cache(const CacheCoding& coding, uint64_t count, const float* x, void* cache, uint64_t index) {
    const uint64_t bytes = element_bytes(coding.encoding);
    uint8_t* out = static_cast<uint8_t*>(cache) + index * bytes;
    if (coding.encoding == MORTISE_ENCODING_F32) {
        std::memcpy(out, x, count * sizeof(float));
        return;
    }
    each(count, [&](uint64_t i, uint64_t left) {
        uint8_t codes[32];
        F value = load_some(x + i, left);
        if (coding.encoding == MORTISE_ENCODING_BF16) {
            store_bf16(reinterpret_cast<uint16_t*>(codes), value);
        } else if (coding.encoding == MORTISE_ENCODING_F16) {
            store_f16(reinterpret_cast<uint16_t*>(codes), value);
        } else {
            if (coding.bias) value = value - load_some(coding.bias + i, left);
            store_bytes(codes, byte_codes(coding.encoding, value / set(coding.scale), coding.zero));
        }
        std::memcpy(out + i * bytes, codes, least(left, 16) * bytes);
    });
}

// Sixteen elements of a cache as stored, over stored_unit(); at least 16 exist from `index` on.
inline F from_cache(const void* cache, uint64_t index, uint32_t encoding) {
    const uint8_t* bytes = static_cast<const uint8_t*>(cache) + index;
    switch (encoding) {
        case MORTISE_ENCODING_F32: return load(static_cast<const float*>(cache) + index);
        case MORTISE_ENCODING_BF16: return load_bf16(static_cast<const uint16_t*>(cache) + index);
        case MORTISE_ENCODING_F16: return load_f16(static_cast<const uint16_t*>(cache) + index);
        case MORTISE_ENCODING_E4M3: return load_e4m3(bytes);
        case MORTISE_ENCODING_E5M2: return load_e5m2(bytes);
        default: return load_int8(bytes);
    }
}
inline float stored_unit(const CacheCoding& coding) {
    return coding.encoding == MORTISE_ENCODING_E4M3 ? coding.scale * 256 : coding.scale;
}

// Effect: out[n], reading nothing behind them.
inline void copy_from_cache(const void* cache, uint64_t index, uint32_t encoding, uint64_t n, float* out) {
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16) store(out + i, from_cache(cache, index + i, encoding));
    if (i == n) return;
    const uint64_t element = element_bytes(encoding);
    alignas(64) uint8_t rest[64] = {};
    std::memcpy(rest, static_cast<const uint8_t*>(cache) + (index + i) * element, (n - i) * element);
    store_n(out + i, from_cache(rest, 0, encoding), n - i);
}

// Effect: out = the query over what the codes of keys stand for; returns what the keys' bias and zero point
// add to each of its scores. Linear in the key, so that keys are never decoded further than to their codes.
inline float take_query(const AttentionTask& task, const float* q, float* out) {
    const float factor = task.scale * stored_unit(task.key);
    F total = zero();
    each(task.head_dim, [&](uint64_t i, uint64_t left) {
        const F x = load_some(q + i, left);
        store_some(out + i, x * set(factor), left);
        if (task.key.bias) total = fma(x, load_some(task.key.bias + i, left), total);
        if (task.key.zero != 0) total = fma(x, set(-task.key.zero * task.key.scale), total);
    });
    return sum(total) * task.scale;
}
// Effect: sixteen outputs from the weighted sum of codes. The weights sum to 1, so the bias stands as it is.
inline F give_value(const AttentionTask& task, uint64_t i, uint64_t left, F sum_of_codes, float share) {
    const F value = sum_of_codes * set(share * stored_unit(task.value));
    if (!task.value.bias && task.value.zero == 0) return value;
    const F bias = task.value.bias ? load_some(task.value.bias + i, left) : zero();
    return value + bias - set(task.value.zero * task.value.scale);
}

// Place of a key in units of heads' vectors.
inline uint64_t place_of(const AttentionTask& task, uint64_t position) {
    const uint64_t block = task.table[position / task.block_slots];
    return (block * task.kv_heads + task.kv_head) * task.block_slots + position % task.block_slots;
}

// Keys [begin, end) visible to row t.
struct Range {
    uint64_t begin, end;
};
inline Range visible(const AttentionTask& task, uint64_t t) {
    const uint64_t position = task.first_position + t;
    const uint64_t begin = task.window && position + 1 > task.window ? position + 1 - task.window : 0;
    return {begin, position + 1};
}

// Running softmax of one query: largest score so far, sum of weights.
struct Softmax {
    float top = lowest, total = 0;
};
inline Softmax softmax_of(const AttentionTask& task, uint64_t head) {
    return task.sinks ? Softmax{task.sinks[head], 1} : Softmax{};
}

// Effect: scores[key_chunk] of keys from `base` on become weights, 0 outside the range; returns the factor by
// which what was summed before shrinks.
inline float to_weights(const AttentionTask& task, uint64_t base, Range range, float* scores,
                        Softmax& state) {
    const F begin = set(static_cast<float>(static_cast<int64_t>(range.begin) - static_cast<int64_t>(base)));
    const F end = set(static_cast<float>(static_cast<int64_t>(range.end) - static_cast<int64_t>(base)));
    F top = set(lowest);
    for (uint64_t j = 0; j < key_chunk; j += 16) {
        const F lane = lane_numbers() + set(static_cast<float>(j));
        F s = load(scores + j);
        if (task.softcap > 0) s = tanh_of(s * set(1 / task.softcap)) * set(task.softcap);
        s = where_less(lane, begin, set(lowest), where_less(lane, end, s, set(lowest)));
        store(scores + j, s);
        top = max(s, top);
    }
    const float highest = largest(top), before = state.top;
    state.top = highest > before ? highest : before;
    F total = zero();
    for (uint64_t j = 0; j < key_chunk; j += 16) {
        const F lane = lane_numbers() + set(static_cast<float>(j));
        F w = exp_of(load(scores + j) - set(state.top));
        w = where_less(lane, begin, zero(), where_less(lane, end, w, zero()));
        store(scores + j, w);
        total = total + w;
    }
    const float shrink = before == state.top ? 1 : sum(exp_of(set(before - state.top))) / 16;
    state.total = state.total * shrink + sum(total);
    return shrink;
}

// One query: keys and values straight from the cache. Requires: both head sizes are multiples of 16.
inline void attend_one(const AttentionTask& task) {
    const Range range = visible(task, 0);
    float* q = task.scratch;
    float* out = q + task.head_dim;
    alignas(64) float scores[key_chunk];
    const float added = take_query(task, task.q, q);
    for (uint64_t i = 0; i < task.v_head_dim; i += 16) store(out + i, zero());
    Softmax state = softmax_of(task, 0);
    for (uint64_t base = range.begin / key_chunk * key_chunk; base < range.end; base += key_chunk) {
        const uint64_t first = base < range.begin ? range.begin : base,
                       last = least(base + key_chunk, range.end);
        for (uint64_t j = 0; j < key_chunk; j++) scores[j] = 0;
        for (uint64_t p = first; p < last; p++) {
            const uint64_t at = place_of(task, p) * task.head_dim;
            F dot = zero();
            for (uint64_t i = 0; i < task.head_dim; i += 16) {
                dot = fma(load(q + i), from_cache(task.keys, at + i, task.key.encoding), dot);
            }
            scores[p - base] = sum(dot) + added;
        }
        const float shrink = to_weights(task, base, range, scores, state);
        for (uint64_t i = 0; i < task.v_head_dim; i += 64) {
            const uint64_t vectors = least((task.v_head_dim - i) / 16, 4);
            F acc[4];
            for (uint64_t v = 0; v < vectors; v++) acc[v] = load(out + i + v * 16) * set(shrink);
            for (uint64_t p = first; p < last; p++) {
                const uint64_t at = place_of(task, p) * task.v_head_dim + i;
                const F w = set(scores[p - base]);
                for (uint64_t v = 0; v < vectors; v++) {
                    acc[v] = fma(w, from_cache(task.values, at + v * 16, task.value.encoding), acc[v]);
                }
            }
            for (uint64_t v = 0; v < vectors; v++) store(out + i + v * 16, acc[v]);
        }
    }
    for (uint64_t i = 0; i < task.v_head_dim; i += 16) {
        store(task.out + i, give_value(task, i, 16, load(out + i), 1 / state.total));
    }
}

// The arrays of a block of queries in scratch; query n is row n / heads, head n % heads.
struct Block {
    uint64_t queries, v_width;
    float* keys;    // [head_dim][key_chunk]
    float* values;  // [key_chunk][v_width]
    float* q;       // [queries][head_dim]
    float* scores;  // [queries][key_chunk]
    float* out;     // [queries][v_width]
    Softmax state[query_rows];
    float added[query_rows];  // to each score of the query
};

inline void load_chunk(const AttentionTask& task, const Block& block, uint64_t base, uint64_t last) {
    for (uint64_t j = 0; j < key_chunk; j++) {
        float* value = block.values + j * block.v_width;
        if (base + j >= last) {
            for (uint64_t i = 0; i < task.head_dim; i++) block.keys[i * key_chunk + j] = 0;
            for (uint64_t i = 0; i < block.v_width; i++) value[i] = 0;
            continue;
        }
        const uint64_t at = place_of(task, base + j);
        alignas(64) float key[1024];
        copy_from_cache(task.keys, at * task.head_dim, task.key.encoding, task.head_dim, key);
        for (uint64_t i = 0; i < task.head_dim; i++) block.keys[i * key_chunk + j] = key[i];
        for (uint64_t i = task.v_head_dim; i < block.v_width; i++) value[i] = 0;
        copy_from_cache(task.values, at * task.v_head_dim, task.value.encoding, task.v_head_dim, value);
    }
}

// out[r][v] += sum over i < count of a[r][i] * b[i][v], Rows rows, Vectors * 16 columns.
template <int Rows, int Vectors>
inline void small_product(const float* a, uint64_t a_stride, const float* b, uint64_t b_stride,
                          uint64_t count, float* out, uint64_t out_stride) {
    F acc[Rows][Vectors];
    for (int r = 0; r < Rows; r++) {
        for (int v = 0; v < Vectors; v++) acc[r][v] = load(out + r * out_stride + v * 16);
    }
    for (uint64_t i = 0; i < count; i++) {
        F line[Vectors];
        for (int v = 0; v < Vectors; v++) line[v] = load(b + i * b_stride + v * 16);
        for (int r = 0; r < Rows; r++) {
            const F x = set(a[r * a_stride + i]);
            for (int v = 0; v < Vectors; v++) acc[r][v] = fma(x, line[v], acc[r][v]);
        }
    }
    for (int r = 0; r < Rows; r++) {
        for (int v = 0; v < Vectors; v++) store(out + r * out_stride + v * 16, acc[r][v]);
    }
}

// The same for any number of rows and any multiple of 16 columns.
inline void product(uint64_t rows, uint64_t width, const float* a, uint64_t a_stride, const float* b,
                    uint64_t b_stride, uint64_t count, float* out, uint64_t out_stride) {
    for (uint64_t r = 0; r < rows;) {
        const bool many = rows - r >= score_rows;
        uint64_t v = 0;
        for (; v + score_vectors * 16 <= width; v += score_vectors * 16) {
            float* to = out + r * out_stride + v;
            if (many) {
                small_product<score_rows, score_vectors>(a + r * a_stride, a_stride, b + v, b_stride, count,
                                                         to, out_stride);
            } else {
                small_product<1, score_vectors>(a + r * a_stride, a_stride, b + v, b_stride, count, to,
                                                out_stride);
            }
        }
        for (; v < width; v += 16) {
            float* to = out + r * out_stride + v;
            for (uint64_t i = 0; i < (many ? score_rows : 1); i++) {
                small_product<1, 1>(a + (r + i) * a_stride, a_stride, b + v, b_stride, count,
                                    to + i * out_stride, out_stride);
            }
        }
        r += many ? score_rows : 1;
    }
}

inline Block block_of(const AttentionTask& task) {
    Block block;
    block.queries = task.rows * task.heads;
    block.v_width = (task.v_head_dim + 15) / 16 * 16;
    block.keys = task.scratch;
    block.values = block.keys + task.head_dim * key_chunk;
    block.q = block.values + key_chunk * block.v_width;
    block.scores = block.q + query_rows * task.head_dim;
    block.out = block.scores + query_rows * key_chunk;
    for (uint64_t n = 0; n < block.queries; n++) {
        block.state[n] = softmax_of(task, n % task.heads);
        const float* q = task.q + n / task.heads * task.q_stride + n % task.heads * task.head_dim;
        block.added[n] = take_query(task, q, block.q + n * task.head_dim);
        for (uint64_t i = 0; i < block.v_width; i++) block.out[n * block.v_width + i] = 0;
    }
    return block;
}

inline void attend_block(const AttentionTask& task) {
    Block block = block_of(task);
    const uint64_t last = visible(task, task.rows - 1).end;
    for (uint64_t base = visible(task, 0).begin / key_chunk * key_chunk; base < last; base += key_chunk) {
        load_chunk(task, block, base, last);
        for (uint64_t n = 0; n < block.queries; n++) {
            for (uint64_t j = 0; j < key_chunk; j += 16)
                store(block.scores + n * key_chunk + j, set(block.added[n]));
        }
        product(block.queries, key_chunk, block.q, task.head_dim, block.keys, key_chunk, task.head_dim,
                block.scores, key_chunk);
        for (uint64_t n = 0; n < block.queries; n++) {
            float* scores = block.scores + n * key_chunk;
            const F shrink =
                set(to_weights(task, base, visible(task, n / task.heads), scores, block.state[n]));
            float* out = block.out + n * block.v_width;
            for (uint64_t i = 0; i < block.v_width; i += 16) store(out + i, load(out + i) * shrink);
        }
        product(block.queries, block.v_width, block.scores, key_chunk, block.values, block.v_width,
                least(key_chunk, last - base), block.out, block.v_width);
    }
    for (uint64_t n = 0; n < block.queries; n++) {
        float* out = task.out + n / task.heads * task.out_stride + n % task.heads * task.v_head_dim;
        each(task.v_head_dim, [&](uint64_t i, uint64_t left) {
            const F codes = load(block.out + n * block.v_width + i);
            store_some(out + i, give_value(task, i, left, codes, 1 / block.state[n].total), left);
        });
    }
}

void attend(const AttentionTask& task) {
    const bool direct = task.rows * task.heads == 1 && task.head_dim % 16 == 0 && task.v_head_dim % 16 == 0;
    direct ? attend_one(task) : attend_block(task);
}

}  // namespace
}  // namespace mortise::cpu
