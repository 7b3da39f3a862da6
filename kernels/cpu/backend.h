// What an instruction set provides: plain functions over plain data, so that the code that calls them is
// compiled for the lowest level. Every function is pure but for its outputs and keeps no state.
#pragma once

#include <cstdint>

#include "packing.h"

namespace mortise::cpu {

// Input rows in f32: row t at x + t * stride, `padded` columns readable.
struct Inputs {
    const float* x;
    uint64_t stride, rows;
};

// Panels [first, last) of one part, all input rows. y: row t at y + t * stride.
struct Product {
    const Packing* packing;
    const uint8_t* packed;
    uint64_t first, last;
    const float* bias;  // [rows] or null
    float* y;
    uint64_t stride;
    uint64_t block;     // columns of one pass of the matrix product: a multiple of 32
    void* scratch;      // of this thread, aligned to 64
    bool adds = false;  // gemm_f32 adds to what y holds
};

// Rows of one head of a cache: code = (x - bias) / scale + zero, rounded, in whole bytes.
struct CacheCoding {
    uint32_t encoding;  // MORTISE_ENCODING_F32 | BF16 | F16, then the rest is 1 and 0; or E4M3 | E5M2 | TWOS
    float scale, zero;
    const float* bias;  // [width] or null
};

// Query rows of one sequence against one key/value head.
struct AttentionTask {
    const float* q;  // row t, head h at q + t * q_stride + h * head_dim
    float* out;      // likewise with v_head_dim
    uint64_t q_stride, out_stride;
    uint64_t rows, heads;  // query heads of this key/value head
    uint64_t head_dim, v_head_dim;
    uint64_t first_position;  // of row 0; row t stands at first_position + t
    uint64_t window;
    float scale, softcap;
    const float* sinks;         // [heads] or null: a score without a value
    const void *keys, *values;  // bases of the cache
    CacheCoding key, value;     // of one encoding
    uint32_t block_slots;
    const uint32_t* table;  // of this sequence
    uint64_t kv_heads, kv_head;
    float* scratch;  // attention_scratch() floats of this thread
};

inline constexpr uint64_t gemv_rows = 4;    // most input rows of gemv
inline constexpr uint64_t key_chunk = 64;   // keys that attention takes at a time
inline constexpr uint64_t query_rows = 32;  // most rows * heads of one attention task
constexpr uint64_t attention_scratch(uint64_t head_dim, uint64_t v_head_dim) {
    const uint64_t v = (v_head_dim + 15) / 16 * 16;
    return key_chunk * (head_dim + v) + query_rows * (key_chunk + v + head_dim + 32);
}

struct Backend {
    const char* name;
    // True: gemm reads inputs as bf16 in tiles [row / 16][column / 32][16][32], made by to_tiles.
    bool bf16_inputs;
    // Panels that gemm takes at once; shares of threads are multiples of it.
    uint64_t gemm_panels;
    // Bytes of the private cache that the inputs of one block of columns may take, and columns of a block at
    // most.
    uint64_t cache_share, most_block;
    // Thread scratch of gemm, bytes, for a block of that many columns.
    uint64_t (*gemm_scratch)(uint64_t block);

    // sums[t][g] = sum of x over the columns of group g.
    void (*group_sums)(const Packing& packing, const Inputs& inputs, float* sums);
    void (*gemv)(const Product& product, const Inputs& inputs, const float* sums);
    void (*gemm)(const Product& product, const Inputs& inputs, const uint16_t* tiles);
    // The same in f32, for any number of rows, with a scratch of its own size.
    void (*gemm_f32)(const Product& product, const Inputs& inputs, const uint16_t* none);
    uint64_t (*gemm_f32_scratch)(uint64_t block);
    // Rows [first, last) of tiles, first a multiple of 16; rows past inputs.rows become zero.
    void (*to_tiles)(const Inputs& inputs, uint64_t padded, uint64_t first, uint64_t last, uint16_t* tiles);
    void (*row)(const Packing& packing, const uint8_t* packed, uint64_t row, float* out);

    void (*norm)(uint32_t style, uint64_t width, float eps, float weight_offset, const float* x,
                 const float* weight, const float* bias, float* y);
    void (*turn)(uint32_t style, uint64_t pairs, uint64_t heads, uint64_t head_dim, const float* cosine,
                 const float* sine, const float* x, float* y);
    // Null: no faster than the library's functions.
    void (*cos_sin)(uint64_t count, const float* angles, float amplitude, float* cosine, float* sine);
    void (*act)(uint32_t style, float limit, uint64_t count, const float* a, const float* b, float* y);
    void (*add)(uint64_t count, const float* a, const float* b, float* y);
    void (*scale)(uint64_t count, float factor, const float* x, float* y);
    void (*softcap)(uint64_t count, float factor, const float* x, float* y);
    // Elements [index, index + count) of a cache. NaN becomes the largest code of an encoding in bytes.
    void (*to_cache)(const CacheCoding& coding, uint64_t count, const float* x, void* cache, uint64_t index);
    void (*attend)(const AttentionTask& task);

    // Bytes read of `bytes` at `data`, and a value that depends on all of them.
    uint64_t (*read)(const void* data, uint64_t bytes);
    // Floating-point operations of `rounds` of the best matrix unit over operands in the private cache.
    double (*matrix)(uint64_t rounds, void* scratch);
    const char* matrix_name;
    uint64_t matrix_scratch;
};

const Backend& generic_backend();
const Backend& avx2_backend();
const Backend& avx512_backend(bool bf16_dot);
const Backend& amx_backend(bool emulated);  // emulated: tiles in plain arithmetic, on any AVX-512 machine

}  // namespace mortise::cpu
