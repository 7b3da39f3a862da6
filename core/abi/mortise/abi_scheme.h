/* Interface "scheme": what one checkpoint dialect means. */
#ifndef MORTISE_ABI_SCHEME_H
#define MORTISE_ABI_SCHEME_H

#include "mortise/abi_quant.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MORTISE_VERDICT_NO = 0, MORTISE_VERDICT_YES = 1 };
typedef struct mortise_match {
    mortise_head head;
    uint32_t verdict;  /* MORTISE_VERDICT_* */
    uint32_t score;    /* 0 to 1000 */
    char reason[240];  /* one line, NUL-terminated: what decided */
} mortise_match;

enum { MORTISE_MODULE_LINEAR = 1, MORTISE_MODULE_EMBEDDING = 2, MORTISE_MODULE_HEAD = 3 };

/* A module as it lies on disk. A matrix that is fused on disk is one module with several parts. */
typedef struct mortise_module {
    mortise_head head;
    mortise_str name;        /* in checkpoint naming: "model.layers.0.self_attn.qkv_proj" */
    mortise_str canonical;   /* in Hugging Face naming; differs from name in other name spaces only */
    uint32_t kind;           /* MORTISE_MODULE_* */
    uint32_t class_count;
    const mortise_str* classes; /* class names that target rules may use: "Linear" */
    uint64_t experts, rows, columns;
    uint64_t n_parts;        /* 1 unless fused */
    const mortise_str* part_names; /* canonical names of the parts, in row order */
    const uint64_t* part_rows;     /* rows of each */
    mortise_str suffix;      /* "" or, for stacks kept without ".weight", what follows the name: see container of experts */
    uint32_t has_bias;       /* 1: the architecture expects a bias */
    uint32_t transposed;     /* 1: the file keeps [columns][rows] for this module (stacked experts) */
    /* Writing, of experts only: the name that the architecture gives the stack of this projection, empty if none, and
     * the number of the expert in it; `experts` above 1: all of them, and the number is 0. */
    mortise_str stack;
    uint64_t expert;
} mortise_module;

/* Answer to "what is this module?". Pointers are borrowed until the next call with the same model. */
typedef struct mortise_answer {
    mortise_head head;
    uint32_t plain;           /* 1: not quantized; spec describes the float weight all the same */
    uint32_t reserved;
    mortise_str rule;         /* what decided, in words: "config_groups.group_0.targets[0] = Linear" */
    const mortise_node* node; /* the deciding place in a config, or null */
    mortise_str note;         /* a contradiction or choice worth reporting, or empty */
    const mortise_spec* spec;
} mortise_answer;

/* The KV cache of one attention; scales belong to it, never to a linear. Numbers that lie in the checkpoint are
 * listed whether or not the config says that the cache is coded. */
typedef struct mortise_cache_answer {
    mortise_head head;
    uint32_t encoding;        /* AS_DTYPE = the model's dtype; E4M3, TWOS, E2M1 ... */
    uint32_t bits;
    uint32_t per_head;        /* 1: one scale per head */
    uint32_t affine;          /* 1: biases beside the scales */
    uint32_t n_fields;        /* 0 to 9 */
    uint32_t reserved;
    const mortise_field* fields; /* SCALE, ZERO_POINT, ADDEND (a bias [kv_heads][head_dim]) or UNUSED */
    const char* letters;      /* [n_fields] whose: 'k' 'v' 'q' scale or zero point, 'K' 'V' bias, 'p' probabilities */
    mortise_str rule;
    double scale_divisor;     /* the scale that takes effect is the stored one over this; 0 = 1 */
} mortise_cache_answer;

/* One ignore or target rule of the config, and how many modules it decided. */
typedef struct mortise_rule {
    mortise_head head;
    uint32_t pattern_kind; /* MORTISE_PATTERN_* */
    uint32_t optional;     /* 1: no match is no finding (the producer always writes it) */
    mortise_str pattern;
    uint64_t matches;
    const mortise_node* node;
} mortise_rule;
typedef void (*mortise_rule_visitor)(void* context, const mortise_rule* rule);

/* How codes and scales are computed when a float weight is quantized by this scheme's own recipe. */
enum {
    MORTISE_METHOD_AMAX = 1,   /* symmetric: scale = amax / divisor */
    MORTISE_METHOD_MINMAX = 2, /* scale = (max - min) / (code_max - code_min), and a zero point or an addend */
    MORTISE_METHOD_EDGE = 3    /* as MINMAX with an addend: the end of larger magnitude is met exactly, by a
                                  scale that is negative when that is the maximum */
};
typedef struct mortise_quantizer {
    mortise_head head;
    uint32_t method;         /* MORTISE_METHOD_* */
    uint32_t compute;        /* MORTISE_ENCODING_F32 | BF16 | F16: dtype of every intermediate */
    double divisor;          /* symmetric: scale = amax / divisor */
    double zero_scale;       /* scale of an all-zero group; 0 = machine epsilon of `compute` */
    double code_min, code_max;
    uint32_t clamp;          /* 1: the quotient is clamped before the cast */
    uint32_t exponent_rule;  /* MORTISE_EXPONENT_*: how a scale becomes a power of two */
} mortise_quantizer;

/* The finer points of a recipe, where producers differ. All zero: none of them. */
enum {
    MORTISE_RECIPE_RECIPROCAL = 1u,    /* m = divisor / amax, code from weight * m, scale = 1 / m */
    MORTISE_RECIPE_UNROUNDED = 2u,     /* codes come from scale and addend before these are rounded to their dtype */
    MORTISE_RECIPE_LATE_ROUND = 4u,    /* code = round(weight / scale + zero), else round(weight / scale) + zero */
    MORTISE_RECIPE_ANY_RANGE = 8u,     /* MINMAX: the range need not hold 0 */
    MORTISE_RECIPE_KEEP_ZERO = 16u,    /* a scale that rounds to 0 stays 0, and so do the codes under it */
    MORTISE_RECIPE_TIES_TO_ZERO = 32u, /* float codes: ties toward zero, else to even */
    MORTISE_RECIPE_MINUS_ZERO = 64u,   /* float codes: a weight of 0 becomes the code of -0 */
    MORTISE_RECIPE_PLUS_ZERO = 128u    /* float codes: what rounds to -0 becomes the code of +0 */
};
typedef struct mortise_recipe {
    uint32_t flags;          /* MORTISE_RECIPE_* */
    uint32_t quotient;       /* dtype of weight / scale; 0 = `compute`, or F32 under a second level */
    double amax_floor;       /* amax, or max - min, is raised to this */
    double zero_amax;        /* stands for the amax of an all-zero group; 0 = zero_scale decides */
    double scale_floor;      /* the first level is raised to this before it is rounded */
    double second_divisor;   /* second level = amax of the module / this; 0 = divisor * the largest first level */
    mortise_str shared;      /* modules with the same words share the amax of the second level; empty = alone */
} mortise_recipe;

typedef struct mortise_target {
    mortise_head head;
    uint32_t plain;          /* 1: written as a float weight of `spec` */
    uint32_t reserved;
    const mortise_spec* spec;      /* names, dtypes, shapes and layouts to write; borrowed until the next call */
    mortise_quantizer quantizer;
    mortise_str reason;      /* why it is plain, or empty */
    mortise_recipe recipe;   /* beside `quantizer` */
    /* 0: the tensors of `spec` are the module's alone. n: they are slice n - 1 of tensors with one axis more in front,
     * which the modules that name the same tensors make together; slices count from 0, none is left out, and all have
     * the same dtypes and shapes. */
    uint64_t slice;
} mortise_target;

typedef struct mortise_option {
    mortise_str key, value;  /* "g64" arrives as {"g64", ""}; "compute=f32" as {"compute", "f32"} */
} mortise_option;
typedef void (*mortise_text_visitor)(void* context, mortise_str text);
typedef void (*mortise_file_visitor)(void* context, mortise_str name, mortise_str text);

typedef struct mortise_scheme_v1 {
    mortise_head head;
    /* [R] Is this checkpoint mine? From config and catalog, exact comparison, no device, no probe. */
    mortise_status (*match)(const mortise_checkpoint* checkpoint, mortise_match* out);
    /* [R] Reads the config once. Errors: anything in it that is unknown or contradictory. */
    mortise_status (*open)(const mortise_checkpoint* checkpoint, void** model);
    void (*close)(void* model);                                                    /* [R] */
    mortise_status (*module)(void* model, const mortise_module* module, mortise_answer* out); /* [R] */
    /* [O] `attention` is the module path that owns the cache: "model.layers.0.self_attn". */
    mortise_status (*cache)(void* model, mortise_str attention, uint64_t kv_heads, uint64_t head_dim,
                            mortise_cache_answer* out);
    void (*rules)(void* model, mortise_rule_visitor visit, void* context);         /* [O] after the last module() */

    /* Writing. [O] all or none. `source` is the checkpoint that is converted. */
    mortise_status (*open_writer)(const mortise_checkpoint* source, const mortise_option* options, uint64_t n_options,
                                  void** writer);
    void (*close_writer)(void* writer);
    /* `current` is what the module is in the source. */
    mortise_status (*target)(void* writer, const mortise_module* module, const mortise_spec* current, mortise_target* out);
    /* JSON text of the quantization_config member, after the last target(); empty text = none. */
    mortise_status (*write_config)(void* writer, mortise_text_visitor emit, void* context);
    /* Another member of config.json that repeats that text; empty = none. */
    mortise_str config_copy;
    /* [O] The numbers of one attention's KV cache; after the last target(), before write_config(). `current`: what the
     * source has, each field in the one dtype and shape it is stored in. `out`: the same letters and roles, each field
     * with the name, dtype and shape to write; the coding as in `current`, since values are kept as they are. A number
     * that is left out is reported as not written, and so is all of a cache whose coding `out` does not repeat; `rule`
     * says why. */
    mortise_status (*target_cache)(void* writer, mortise_str attention, const mortise_cache_answer* current,
                                   mortise_cache_answer* out);
    /* [O] JSON files beside config.json that repeat or complete it; after write_config(). */
    mortise_status (*write_files)(void* writer, mortise_file_visitor emit, void* context);
} mortise_scheme_v1;

#ifdef __cplusplus
}
#endif
#endif
