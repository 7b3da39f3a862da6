/* Interface "architecture": writes a model down once: names, shapes, partitions, ties and graph together. */
#ifndef MORTISE_ABI_ARCHITECTURE_H
#define MORTISE_ABI_ARCHITECTURE_H

#include "mortise/abi_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a weight is divided among the ranks of a tensor-parallel group. */
enum {
    MORTISE_PARTITION_REPLICATED = 0,
    MORTISE_PARTITION_COLUMN = 1, /* by output rows, in whole units; unit counts smaller than size replicate */
    MORTISE_PARTITION_ROW = 2     /* by input columns */
};

/* Row map of a part inside the module that holds it on disk:
 * disk row = offset + sum over digits of ((row / div) mod m) * stride; mod 0 = none. */
typedef struct mortise_digit {
    uint64_t div, mod, stride;
} mortise_digit;
typedef struct mortise_row_map {
    uint64_t offset;
    uint32_t n_digits;      /* 0 = identity plus offset */
    uint32_t reserved;
    mortise_digit digits[4];
} mortise_row_map;

/* One logical linear. Names are canonical Hugging Face names without ".weight". */
typedef struct mortise_part {
    mortise_head head;
    mortise_str name;       /* "model.layers.0.self_attn.q_proj" */
    uint64_t rows;
    uint64_t units;         /* shard units in the rows: heads; 0 = rows. rows % units == 0 */
    uint32_t bias;          /* 0 none, 1 required */
    uint32_t reserved;
} mortise_part;

/* The same rows fused in one tensor on disk. */
typedef struct mortise_fusion {
    mortise_str name;              /* "model.layers.0.self_attn.qkv_proj" */
    uint64_t rows;                 /* of the fused module */
    const mortise_row_map* maps;   /* [n_parts] */
    uint32_t transposed;           /* 1: kept as [columns][rows] */
    uint32_t reserved;
} mortise_fusion;

/* A linear: one to n parts that read one input. The loader takes the parts or one of the fusions,
 * whichever exists; both is an error. */
typedef struct mortise_linear {
    mortise_head head;
    uint32_t n_parts;
    uint32_t partition;            /* MORTISE_PARTITION_* */
    const mortise_part* parts;
    uint64_t columns;
    uint64_t column_units;         /* for ROW: shard units in the columns; 0 = columns */
    uint64_t experts;              /* 1, or E: names hold "{e}" where the expert index stands */
    uint32_t n_fusions;
    uint32_t head_of_model;        /* 1: the output head */
    const mortise_fusion* fusions;
} mortise_linear;

typedef struct mortise_embedding {
    mortise_head head;
    mortise_str name;              /* "model.embed_tokens" */
    uint64_t rows, columns;        /* vocabulary, width */
} mortise_embedding;

/* A small float parameter: norm weight, sinks, router bias. */
typedef struct mortise_vector {
    mortise_head head;
    mortise_str name;              /* full tensor name: "model.norm.weight" */
    uint64_t rows, columns;        /* 1 x columns for a vector */
    uint32_t partition;
    uint32_t reserved;
    uint64_t units;                /* shard units in the columns */
} mortise_vector;

/* A row map that a name space applies to a part: the container keeps the rows in another order. */
typedef struct mortise_alias {
    mortise_head head;
    mortise_str name_space;        /* of a container; empty = native */
    mortise_str canonical;         /* may hold {i}: "model.layers.{i}.self_attn.q_proj" */
    mortise_str theirs;            /* "blk.{i}.attn_q" */
    const mortise_row_map* rows;   /* null = same order */
} mortise_alias;

/* Operators: a closed, append-only list. Values are [T][width] in f32 or the device's activation type;
 * T ragged rows of one or more sequences. */
enum {
    MORTISE_OP_EMBED = 1,     /* () -> (H): row of an embedding for each token id */
    MORTISE_OP_LINEAR = 2,    /* (K) -> (N_0, ..., N_n-1): one output per part */
    MORTISE_OP_NORM = 3,      /* (W) -> (W): STYLE, EPS, WEIGHT_OFFSET, WIDTH (0 = W; else per block of WIDTH) */
    MORTISE_OP_ROPE = 4,      /* (h*d) -> (h*d): HEAD_DIM, STYLE, FREQUENCIES, AMPLITUDE and what follows them */
    MORTISE_OP_ATTENTION = 5, /* (h*d, g*d, g*dv) -> (h*dv): HEADS, KV_HEADS, HEAD_DIM, V_HEAD_DIM, SCALE, WINDOW, LAYER, SOFTCAP */
    MORTISE_OP_ACT_MUL = 6,   /* (I, I) -> (I): act(first) * second: STYLE */
    MORTISE_OP_ACT = 7,       /* (I) -> (I): STYLE */
    MORTISE_OP_ADD = 8,       /* (W, W) -> (W) */
    MORTISE_OP_SCALE = 9,     /* (W) -> (W): FACTOR */
    MORTISE_OP_SOFTCAP = 10,  /* (W) -> (W): FACTOR * tanh(x / FACTOR) */
    MORTISE_OP_MOE = 11       /* (H, E) -> (H): x and router logits; weights gate-up bank, down bank; TOP_K, STYLE, ROUTING */
};

enum { /* attribute keys; the type is fixed per key */
    MORTISE_ATTR_STYLE = 1,         /* int: MORTISE_STYLE_* */
    MORTISE_ATTR_EPS = 2,           /* real */
    MORTISE_ATTR_WEIGHT_OFFSET = 3, /* real: weight used is (offset + w) */
    MORTISE_ATTR_WIDTH = 4,         /* int */
    MORTISE_ATTR_HEADS = 5, MORTISE_ATTR_KV_HEADS = 6, MORTISE_ATTR_HEAD_DIM = 7, MORTISE_ATTR_V_HEAD_DIM = 8, /* int */
    MORTISE_ATTR_SCALE = 9,         /* real: of q.k */
    MORTISE_ATTR_WINDOW = 10,       /* int: 0 none; W keys with itself */
    MORTISE_ATTR_LAYER = 11,        /* int: index of the cache */
    MORTISE_ATTR_SOFTCAP = 12,      /* real: 0 none */
    MORTISE_ATTR_FACTOR = 13,       /* real */
    MORTISE_ATTR_FREQUENCIES = 14,  /* array: inverse frequencies, [rotary_dim / 2] */
    MORTISE_ATTR_AMPLITUDE = 15,    /* real: multiplies cos and sin */
    /* Rope whose base grows with length: n = max(length so far, MAX_POSITIONS);
     * base' = BASE * (FACTOR * n / MAX_POSITIONS - (FACTOR - 1))^(r / (r - 2)). Absent = fixed. */
    MORTISE_ATTR_ROPE_BASE = 16,     /* real */
    MORTISE_ATTR_MAX_POSITIONS = 17, /* int */
    MORTISE_ATTR_TOP_K = 18,         /* int */
    MORTISE_ATTR_ROUTING = 19,       /* int: MORTISE_ROUTING_* */
    MORTISE_ATTR_LONG_FREQUENCIES = 20, /* array: used when the length so far exceeds LONG_FROM */
    MORTISE_ATTR_LONG_FROM = 21,     /* int */
    MORTISE_ATTR_LIMIT = 22,         /* real: clamp of a gated activation */
    MORTISE_ATTR_SINKS = 23          /* int: 1 = a weight [heads], one more score of each head's softmax, without a value */
};
enum {
    MORTISE_STYLE_RMS = 1, MORTISE_STYLE_LAYER = 2,                  /* norm */
    MORTISE_STYLE_HALF = 3, MORTISE_STYLE_INTERLEAVED = 4,           /* rope: pair (i, i + r/2) or (2i, 2i + 1) */
    MORTISE_STYLE_SILU = 5, MORTISE_STYLE_GELU = 6, MORTISE_STYLE_GELU_TANH = 7, MORTISE_STYLE_RELU = 8,
    MORTISE_STYLE_RELU2 = 9, MORTISE_STYLE_SWIGLU_CLAMPED = 10       /* act */
};
enum { MORTISE_ROUTING_SOFTMAX_TOPK = 1, MORTISE_ROUTING_SOFTMAX_TOPK_NORM = 2, MORTISE_ROUTING_TOPK_SOFTMAX = 3 };

typedef struct mortise_attr {
    uint32_t key;        /* MORTISE_ATTR_* */
    uint32_t n;          /* length of array, else 0 */
    int64_t integer;
    double real;
    const float* array;
} mortise_attr;

#define MORTISE_NONE 0xffffffffu
typedef struct mortise_op {
    mortise_head head;
    uint32_t kind;                 /* MORTISE_OP_* */
    uint32_t n_attrs, n_inputs, n_weights, n_outputs;
    const mortise_attr* attrs;
    const uint32_t* inputs;        /* value ids */
    const uint32_t* weights;       /* ids from linear(), embedding(), vector() */
    mortise_str name;              /* module path that owns the op: "model.layers.0.self_attn" */
} mortise_op;

typedef struct mortise_builder mortise_builder;
typedef struct mortise_builder_api {
    mortise_head head;
    /* Each returns an id, or MORTISE_NONE after set_error. Config comes through mortise_host.config. */
    const mortise_node* (*config)(mortise_builder* builder);                       /* [R] the governing config object */
    uint32_t (*linear)(mortise_builder* builder, const mortise_linear* linear);    /* [R] weight id */
    uint32_t (*embedding)(mortise_builder* builder, const mortise_embedding* embedding); /* [R] weight id */
    uint32_t (*vector)(mortise_builder* builder, const mortise_vector* vector);    /* [R] weight id */
    /* [R] Appends an op; outputs[n_outputs] receives value ids. */
    mortise_status (*op)(mortise_builder* builder, const mortise_op* op, uint32_t* outputs);
    /* [R] The value that holds the logits. Exactly once, last. */
    void (*logits)(mortise_builder* builder, uint32_t value);
    /* [R] `head` shares the table of `embedding` when the checkpoint has no head of its own; tied: what the
     * config (or the family's default) says. */
    void (*tie)(mortise_builder* builder, uint32_t head, uint32_t embedding, uint8_t tied);
    void (*alias)(mortise_builder* builder, const mortise_alias* alias);           /* [R] */
    /* [R] Prefix that stands for `canonical` in some checkpoints: root("model.", "language_model.model."). */
    void (*root)(mortise_builder* builder, mortise_str canonical, mortise_str theirs);
    /* [R] Tensors that may be present and are not used, with the reason. pattern_kind: MORTISE_PATTERN_*. */
    void (*drop)(mortise_builder* builder, uint32_t pattern_kind, mortise_str pattern, mortise_str rule, mortise_str reason);
    /* [R] Facts of the whole model that others need. */
    void (*limits)(mortise_builder* builder, uint64_t vocabulary, uint64_t max_positions, uint32_t dtype);
} mortise_builder_api;

typedef struct mortise_architecture_v1 {
    mortise_head head;
    uint64_t n_names;
    const mortise_str* names;      /* values of config.architectures[0], exact */
    uint64_t n_types;
    const mortise_str* types;      /* values of config.model_type, for files without architectures */
    mortise_status (*build)(mortise_builder* builder, const mortise_builder_api* api); /* [R] */
} mortise_architecture_v1;

#ifdef __cplusplus
}
#endif
#endif
