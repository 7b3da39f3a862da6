/* Interface "kernels": a provider of operators on a device. The core binds each operator of a graph to the
 * best provider at plan time, owns all memory (obtained through the provider's alloc) and all threads. */
#ifndef MORTISE_ABI_KERNELS_H
#define MORTISE_ABI_KERNELS_H

#include "mortise/abi_architecture.h"
#include "mortise/abi_quant.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MORTISE_DEVICE_CPU = 1, MORTISE_DEVICE_CUDA = 2 };
enum {
    MORTISE_ACTIVATIONS_EXACT = 0,        /* inputs are never quantized */
    MORTISE_ACTIVATIONS_AS_SPECIFIED = 1, /* what the spec says */
    MORTISE_ACTIVATIONS_FAST = 2          /* weight-only parts may use int8 inputs per group */
};

typedef struct mortise_device {
    mortise_head head;
    uint32_t kind;     /* MORTISE_DEVICE_* */
    uint32_t index;
    uint64_t memory;   /* bytes, 0 unknown */
    mortise_str name;
} mortise_device;

/* An address on a device. base is what alloc returned; on the CPU a pointer. */
typedef struct mortise_address {
    uint64_t base;
    uint64_t offset;
} mortise_address;

/* One part as a kernel sees it: this rank's rows and columns. */
typedef struct mortise_kernel_part {
    mortise_head head;
    const mortise_spec* spec;  /* attributes; extents of the whole part */
    uint64_t experts, rows, columns; /* of this rank */
    uint64_t first_row, first_column; /* where this rank starts in the part: group phase = first_column % group */
    uint64_t column_group;     /* finest column group of scales, zeros and addends; columns if one group */
    uint32_t indexed;          /* 1: columns map to groups through a table (act-order) */
    uint32_t has_bias;
    uint32_t row_scales_vary;  /* 0: one scale serves all rows of a group column */
    uint32_t reserved;
} mortise_kernel_part;

/* What a quantized KV cache has beside one scale for k and one for v. */
enum {
    MORTISE_CACHE_PER_HEAD = 1u,    /* one scale per head */
    MORTISE_CACHE_BIASES = 2u,      /* k_bias, v_bias */
    MORTISE_CACHE_ZERO_POINTS = 4u, /* k_zero, v_zero */
    MORTISE_CACHE_QUERIES = 8u      /* q_scale: queries are quantized too */
};

/* An operator to be bound. LINEAR with several parts is a group with one input; a provider that cannot take
 * the group whole answers score 0 and the core splits it. */
typedef struct mortise_problem {
    mortise_head head;
    uint32_t kind;             /* MORTISE_OP_* */
    uint32_t gather;           /* LINEAR: 1 = the same packed rows must also serve EMBED */
    uint32_t activations;      /* MORTISE_ACTIVATIONS_* */
    uint32_t cache_encoding;   /* ATTENTION: MORTISE_ENCODING_* of the KV cache */
    uint32_t n_attrs, n_inputs, n_outputs, n_parts;
    const mortise_attr* attrs;
    const uint64_t* input_widths;  /* [n_inputs] */
    const uint64_t* output_widths; /* [n_outputs] */
    const mortise_kernel_part* const* parts; /* [n_parts]; norm weights are not parts: see arguments.weights */
    uint64_t max_rows;         /* T never exceeds this */
    uint32_t threads;          /* of the team */
    uint32_t device_kind;
    uint32_t cache_flags;      /* ATTENTION: MORTISE_CACHE_*; 0 unless the encoding is quantized */
    uint32_t accumulate;       /* MOE: 1 = adds to the output, where another bank of the layer has written */
    const uint32_t* members;   /* MOE: [experts of a part] number of each in the layer, ascending; null = all of them */
} mortise_problem;

typedef struct mortise_bid {
    mortise_head head;
    uint32_t score;            /* 0 = cannot; 1 reference; 100 and above: optimized */
    uint32_t row_tile;         /* pack() gets tiles that start at multiples of this; 0 = any */
    uint64_t workspace;        /* bytes needed at run, shared by all operators */
    uint64_t alignment;        /* of packed data, bytes */
    char name[64];             /* of the kernel, NUL-terminated: shown by plan */
    char reason[160];          /* why not, or what was chosen */
} mortise_bid;

/* Canonical rows of one part, ready to pack. */
typedef struct mortise_tile {
    mortise_head head;
    const mortise_spec* spec;
    uint64_t expert, row, rows;    /* first row on this rank, and how many */
    uint64_t columns;
    const uint8_t* codes;          /* [rows][columns]: integer field with `zero` in the same origin, or float bits; null if plain */
    const void* plain;             /* [rows][columns] of plain_encoding, or null */
    uint32_t plain_encoding;       /* MORTISE_ENCODING_F32 | F16 | BF16 */
    uint32_t groups;               /* column groups covered */
    uint64_t group_size;           /* columns per group ... */
    uint64_t phase;                /* ... the first one shortened by this */
    const uint32_t* group_of_column; /* [columns] or null: (column + phase) / group_size */
    const float* scale;            /* [rows][groups], all levels folded; null = 1 */
    const float* zero;             /* [rows][groups] in the origin of codes; null = zero_constant */
    float zero_constant;           /* subtracted from integer codes */
    uint32_t reserved;
    const float* addend;           /* [rows][groups] or null */
    const float* table;            /* [2^bits] values of LOOKUP codes, or null */
    const float* cast_scale;       /* [1]: weights are executed as cast(w / s) * s; null = as they are */
} mortise_tile;

/* What belongs to a part besides its rows. Arrays live as long as the kernel. Null = none. For a bank of
 * experts each array holds one block per expert, in their order; the rotation is common to all. */
typedef struct mortise_extras {
    mortise_head head;
    const float* bias;             /* [rows] */
    const float* pre_scale;        /* [columns] */
    const float* rotation;         /* [block][block] or null */
    const float* input_scale;      /* [1] or [groups] */
    const float* input_zero_point;
    const float* input_scale2;     /* [1] */
    const float* low_rank_a;       /* [rank][columns] */
    const float* low_rank_b;       /* [rows][rank] */
    uint64_t low_rank;
    const float* cast_scale;       /* [1] */
} mortise_extras;

enum {
    MORTISE_PROBE_READ = 1,  /* bytes read from memory */
    MORTISE_PROBE_MATRIX = 2 /* floating-point operations of the best matrix unit, operands in the private cache */
};

/* Keys and values of all sequences, in blocks. A row is one head's vector of one position; row (block, head,
 * slot) of the layer's K starts at ((block * kv_heads + head) * block_slots + slot) * row bytes, V likewise.
 * Row bytes of `width` elements: width * size of the element; E2M1 (width a multiple of 16): width / 2 bytes of
 * codes, the even element in the low half, then width / 16 bytes of e4m3 scales, one for each 16 elements.
 *   F32 BF16 F16   x, rounded to nearest even
 *   E4M3 E5M2      code = nearest even of (x - bias) / scale, saturating
 *   TWOS           code = nearest even of (x - bias) / scale + zero, clamped to -128..127
 *   E2M1           block = e4m3 of (amax16 / (6 * scale)) clamped to 2^-9..448, 1 where amax16 is 0;
 *                  code = nearest even of (x - bias) / (block * scale), saturating
 * and back: (code - zero) * scale + bias; E2M1: code * (block * scale) + bias. f32, one rounding per step. */
typedef struct mortise_cache {
    mortise_head head;
    mortise_address k, v;
    uint32_t encoding;             /* MORTISE_ENCODING_F32 | BF16 | F16 | E4M3 | E5M2 | TWOS (8 bits) | E2M1 */
    uint32_t block_slots;
    const float* k_scale;          /* [1] or [kv_heads]; null = 1 */
    const float* v_scale;
    uint32_t scales_per_head;
    uint32_t reserved;
    const float* k_bias;           /* [kv_heads][head_dim]; null = 0 */
    const float* v_bias;           /* [kv_heads][v_head_dim] */
    const float* k_zero;           /* like k_scale; null = 0 */
    const float* v_zero;
    const float* q_scale;          /* [1] or [heads]; null = queries as they are; else as a row of K without bias
                                    * and zero point, and back */
} mortise_cache;

/* The ragged batch: T rows of n_sequences sequences, rows of one sequence adjacent. */
typedef struct mortise_batch {
    mortise_head head;
    uint32_t rows;                 /* T */
    uint32_t n_sequences;
    const int32_t* tokens;         /* [T] ids, for EMBED */
    const int32_t* positions;      /* [T] from 0 */
    const uint32_t* first_row;     /* [n_sequences + 1] */
    const uint32_t* lengths;       /* [n_sequences] tokens in the cache after the call that this batch is a piece of */
    const uint32_t* block_tables;  /* [n_sequences][blocks_per_sequence] */
    uint32_t blocks_per_sequence;
    uint32_t reserved;
} mortise_batch;

typedef struct mortise_team {
    mortise_head head;
    uint32_t rank, size;
    void (*barrier)(void* context);  /* all `size` threads meet */
    void* context;
} mortise_team;

typedef struct mortise_arguments {
    mortise_head head;
    uint32_t op;                       /* MORTISE_OP_*: EMBED or LINEAR for a kernel bound to both */
    uint32_t rows;                     /* T of this call; LINEAR of the head may get fewer than batch->rows */
    const mortise_batch* batch;
    const mortise_address* inputs;     /* [n_inputs]: [T][width] f32; on the CPU host memory of the core */
    const mortise_address* outputs;    /* [n_outputs]: may equal an input where widths are equal, except LINEAR */
    const mortise_address* packed;     /* [n_parts] */
    const mortise_address* weights;    /* [n] f32 vectors: norm weight, then norm bias */
    const mortise_cache* cache;        /* ATTENTION: writes k and v of the batch, then attends */
    mortise_address workspace;
    void* stream;                      /* CUstream on CUDA, null on the CPU */
    uint32_t n_weights;                /* of weights: a norm without weight or bias has fewer */
    uint32_t reserved;
} mortise_arguments;

typedef struct mortise_kernel mortise_kernel; /* the provider's */

typedef struct mortise_kernels_v1 {
    mortise_head head;
    /* [R] Visits the devices of this machine that the provider can drive. */
    void (*devices)(void (*visit)(void* context, const mortise_device* device), void* context);
    mortise_status (*alloc)(const mortise_device* device, uint64_t bytes, uint64_t alignment, uint64_t* base); /* [R] */
    void (*free)(const mortise_device* device, uint64_t base);                     /* [R] */
    /* [R] Can the provider do it, how well, why not? Pure. */
    mortise_status (*bid)(const mortise_problem* problem, mortise_bid* out);
    /* [R] Packed bytes of part `part` (all experts of this rank). Pure. */
    uint64_t (*packed_bytes)(const mortise_problem* problem, uint32_t part);
    /* [R] The problem and all that it points to outlive the kernel. */
    mortise_status (*create)(const mortise_problem* problem, mortise_kernel** out);
    void (*destroy)(mortise_kernel* kernel);                                       /* [R] */
    /* [R] Writes the rows of `tile` into the packed data of part `part`. Concurrent on distinct tiles. */
    mortise_status (*pack)(mortise_kernel* kernel, uint32_t part, const mortise_tile* tile, mortise_address packed);
    /* [R] After the last pack of the part; nothing is written to it afterwards. */
    mortise_status (*seal)(mortise_kernel* kernel, uint32_t part, const mortise_extras* extras, mortise_address packed);
    /* [R] Called by every thread of the team; returns when this thread's share is done. The core puts a
     * barrier between operators. No allocation, no lock, no log, no error. */
    void (*run)(mortise_kernel* kernel, const mortise_arguments* arguments, const mortise_team* team);
    /* [O] 1: the file's own bytes of the part serve as packed data (row-major, this dtype). */
    uint8_t (*accepts_file_layout)(const mortise_problem* problem, uint32_t part);
    /* [O] Writes `value` to every byte of a range inside one allocation. Absent: memory of the CPU device is
     * written by the core itself, that of other devices is left as alloc gave it. A provider whose CPU memory the
     * host must not touch needs it. */
    mortise_status (*fill)(const mortise_device* device, uint64_t base, uint64_t bytes, uint8_t value);
    /* [O] Measures this device for about `seconds`: called by all `size` threads at once, each with its rank;
     * *per_second is this thread's rate, the rates of all threads add up. name: [64], what was measured.
     * MORTISE_UNSUPPORTED: no such probe. */
    mortise_status (*probe)(uint32_t kind, uint32_t rank, uint32_t size, double seconds, double* per_second,
                            char* name);
} mortise_kernels_v1;

#ifdef __cplusplus
}
#endif
#endif
