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

void to_cache(uint32_t encoding, uint64_t count, const float* x, void* cache, uint64_t index) {
    if (encoding == MORTISE_ENCODING_F32) {
        std::memcpy(static_cast<float*>(cache) + index, x, count * sizeof(float));
        return;
    }
    uint16_t* out = static_cast<uint16_t*>(cache) + index;
    each(count, [&](uint64_t i, uint64_t left) {
        uint16_t halves[16];
        const F value = load_some(x + i, left);
        encoding == MORTISE_ENCODING_BF16 ? store_bf16(halves, value) : store_f16(halves, value);
        std::memcpy(out + i, halves, least(left, 16) * sizeof(uint16_t));
    });
}

// Sixteen elements of a cache; at least 16 exist from `index` on.
inline F from_cache(const void* cache, uint64_t index, uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_F32: return load(static_cast<const float*>(cache) + index);
        case MORTISE_ENCODING_BF16: return load_bf16(static_cast<const uint16_t*>(cache) + index);
        default: return load_f16(static_cast<const uint16_t*>(cache) + index);
    }
}

// Effect: out[n] in f32, reading nothing behind them.
inline void copy_from_cache(const void* cache, uint64_t index, uint32_t encoding, uint64_t n, float* out) {
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16) store(out + i, from_cache(cache, index + i, encoding));
    if (i == n) return;
    const uint64_t element = encoding == MORTISE_ENCODING_F32 ? 4 : 2;
    alignas(64) uint8_t rest[64] = {};
    std::memcpy(rest, static_cast<const uint8_t*>(cache) + (index + i) * element, (n - i) * element);
    store_n(out + i, from_cache(rest, 0, encoding), n - i);
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
inline float to_weights(const AttentionTask& task, uint64_t base, Range range, float* scores, Softmax& state) {
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
    for (uint64_t i = 0; i < task.head_dim; i += 16) store(q + i, load(task.q + i) * set(task.scale));
    for (uint64_t i = 0; i < task.v_head_dim; i += 16) store(out + i, zero());
    Softmax state = softmax_of(task, 0);
    for (uint64_t base = range.begin / key_chunk * key_chunk; base < range.end; base += key_chunk) {
        const uint64_t first = base < range.begin ? range.begin : base, last = least(base + key_chunk, range.end);
        for (uint64_t j = 0; j < key_chunk; j++) scores[j] = 0;
        for (uint64_t p = first; p < last; p++) {
            const uint64_t at = place_of(task, p) * task.head_dim;
            F dot = zero();
            for (uint64_t i = 0; i < task.head_dim; i += 16) {
                dot = fma(load(q + i), from_cache(task.keys, at + i, task.encoding), dot);
            }
            scores[p - base] = sum(dot);
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
                    acc[v] = fma(w, from_cache(task.values, at + v * 16, task.encoding), acc[v]);
                }
            }
            for (uint64_t v = 0; v < vectors; v++) store(out + i + v * 16, acc[v]);
        }
    }
    const F share = set(1 / state.total);
    for (uint64_t i = 0; i < task.v_head_dim; i += 16) store(task.out + i, load(out + i) * share);
}

// The arrays of a block of queries in scratch; query n is row n / heads, head n % heads.
struct Block {
    uint64_t queries, v_width;
    float *keys;    // [head_dim][key_chunk]
    float *values;  // [key_chunk][v_width]
    float *q;       // [queries][head_dim]
    float *scores;  // [queries][key_chunk]
    float *out;     // [queries][v_width]
    Softmax state[query_rows];
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
        copy_from_cache(task.keys, at * task.head_dim, task.encoding, task.head_dim, key);
        for (uint64_t i = 0; i < task.head_dim; i++) block.keys[i * key_chunk + j] = key[i];
        for (uint64_t i = task.v_head_dim; i < block.v_width; i++) value[i] = 0;
        copy_from_cache(task.values, at * task.v_head_dim, task.encoding, task.v_head_dim, value);
    }
}

// out[r][v] += sum over i < count of a[r][i] * b[i][v], Rows rows, Vectors * 16 columns.
template <int Rows, int Vectors>
inline void small_product(const float* a, uint64_t a_stride, const float* b, uint64_t b_stride, uint64_t count,
                          float* out, uint64_t out_stride) {
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
inline void product(uint64_t rows, uint64_t width, const float* a, uint64_t a_stride, const float* b, uint64_t b_stride,
                    uint64_t count, float* out, uint64_t out_stride) {
    for (uint64_t r = 0; r < rows;) {
        const bool many = rows - r >= score_rows;
        uint64_t v = 0;
        for (; v + score_vectors * 16 <= width; v += score_vectors * 16) {
            float* to = out + r * out_stride + v;
            if (many) {
                small_product<score_rows, score_vectors>(a + r * a_stride, a_stride, b + v, b_stride, count, to, out_stride);
            } else {
                small_product<1, score_vectors>(a + r * a_stride, a_stride, b + v, b_stride, count, to, out_stride);
            }
        }
        for (; v < width; v += 16) {
            float* to = out + r * out_stride + v;
            for (uint64_t i = 0; i < (many ? score_rows : 1); i++) {
                small_product<1, 1>(a + (r + i) * a_stride, a_stride, b + v, b_stride, count, to + i * out_stride, out_stride);
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
        for (uint64_t i = 0; i < task.head_dim; i++) block.q[n * task.head_dim + i] = q[i] * task.scale;
        for (uint64_t i = 0; i < block.v_width; i++) block.out[n * block.v_width + i] = 0;
    }
    return block;
}

inline void attend_block(const AttentionTask& task) {
    Block block = block_of(task);
    const uint64_t last = visible(task, task.rows - 1).end;
    for (uint64_t base = visible(task, 0).begin / key_chunk * key_chunk; base < last; base += key_chunk) {
        load_chunk(task, block, base, last);
        for (uint64_t n = 0; n < block.queries * key_chunk; n += 16) store(block.scores + n, zero());
        product(block.queries, key_chunk, block.q, task.head_dim, block.keys, key_chunk, task.head_dim, block.scores,
                key_chunk);
        for (uint64_t n = 0; n < block.queries; n++) {
            float* scores = block.scores + n * key_chunk;
            const F shrink = set(to_weights(task, base, visible(task, n / task.heads), scores, block.state[n]));
            float* out = block.out + n * block.v_width;
            for (uint64_t i = 0; i < block.v_width; i += 16) store(out + i, load(out + i) * shrink);
        }
        product(block.queries, block.v_width, block.scores, key_chunk, block.values, block.v_width,
                least(key_chunk, last - base), block.out, block.v_width);
    }
    for (uint64_t n = 0; n < block.queries; n++) {
        const F share = set(1 / block.state[n].total);
        float* out = task.out + n / task.heads * task.out_stride + n % task.heads * task.v_head_dim;
        each(task.v_head_dim, [&](uint64_t i, uint64_t left) {
            store_some(out + i, load(block.out + n * block.v_width + i) * share, left);
        });
    }
}

void attend(const AttentionTask& task) {
    const bool direct = task.rows * task.heads == 1 && task.head_dim % 16 == 0 && task.v_head_dim % 16 == 0;
    direct ? attend_one(task) : attend_block(task);
}

}  // namespace
}  // namespace mortise::cpu
