/* A quantized linear as data: ten attributes that hold every known checkpoint format.
 *
 * Axes: row = output feature n, column = input feature k, expert = e (a stack; 1 for a plain linear).
 *   w[n][k] = f32( (code[n][k] - zero[r(n)][c(k)]) * S[n][k] )      integer or no offset
 *   w[n][k] = f32( f32(code[n][k] * S[n][k]) + addend[r(n)][c(k)] ) float offset
 *   S = levels folded, each step one f32 rounding: first those that multiply, then those that divide, each in
 *       the order given; then scale_addend is added, if it is not 0.
 *   y = act(transform(x)) . w^T (+ low-rank) + bias
 */
#ifndef MORTISE_ABI_QUANT_H
#define MORTISE_ABI_QUANT_H

#include "mortise/abi_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a tensor is to its part. */
enum {
    MORTISE_ROLE_NONE = 0,
    MORTISE_ROLE_CODES = 1,        /* the weight codes, or the plain weight */
    MORTISE_ROLE_SCALE = 2,        /* first scale level */
    MORTISE_ROLE_SCALE2 = 3,       /* second scale level */
    MORTISE_ROLE_ZERO_POINT = 4,   /* integer offset */
    MORTISE_ROLE_ADDEND = 5,       /* float offset, added after scaling */
    MORTISE_ROLE_ADDEND_SCALE = 6, /* second level of the float offset */
    MORTISE_ROLE_G_IDX = 7,        /* column -> column group */
    MORTISE_ROLE_PRE_SCALE = 8,    /* [columns], multiplies the input */
    MORTISE_ROLE_ROTATION = 9,     /* [b][b], block-diagonal on the input */
    MORTISE_ROLE_INPUT_SCALE = 10, /* static activation scale */
    MORTISE_ROLE_INPUT_ZERO_POINT = 11,
    MORTISE_ROLE_INPUT_SCALE2 = 12, /* second-level (global) activation scale */
    MORTISE_ROLE_BIAS = 13,
    MORTISE_ROLE_LOW_RANK_A = 14,  /* [r][columns] */
    MORTISE_ROLE_LOW_RANK_B = 15,  /* [rows][r] */
    MORTISE_ROLE_TABLE = 16,       /* lookup table of code values */
    MORTISE_ROLE_SHAPE = 17,       /* the logical shape, stored as a tensor; checked, then dropped */
    MORTISE_ROLE_UNUSED = 18,      /* belongs to the part and is dropped by a named rule */
    MORTISE_ROLE_CAST_SCALE = 19,  /* scale of the weight execution cast */
    MORTISE_ROLE_SCALE_TABLE = 20  /* lookup table of SCALE elements whose encoding is LOOKUP */
};

/* How one element is encoded in its bits. */
enum {
    MORTISE_ENCODING_AS_DTYPE = 0, /* a float or integer of the tensor's own dtype */
    MORTISE_ENCODING_UNSIGNED = 1, /* unsigned field of `bits` bits */
    MORTISE_ENCODING_OFFSET = 2,   /* field - 2^(bits-1) */
    MORTISE_ENCODING_TWOS = 3,     /* two's complement field */
    MORTISE_ENCODING_E2M1 = 4, MORTISE_ENCODING_E4M3 = 5, MORTISE_ENCODING_E5M2 = 6,
    MORTISE_ENCODING_E4M3FNUZ = 7, MORTISE_ENCODING_E5M2FNUZ = 8, MORTISE_ENCODING_E8M0 = 9,
    MORTISE_ENCODING_F16 = 10, MORTISE_ENCODING_BF16 = 11, MORTISE_ENCODING_F32 = 12,
    MORTISE_ENCODING_LOOKUP = 13   /* index into the table; of SCALE: into SCALE_TABLE */
};

/* Layout: where bit b of element (expert, row, column) lies, as
 *   bit address = plane.offset + sum over terms of ((source / div) mod m) * stride
 * within the tensor's bytes read as one little-endian bit string. mod 0 = no modulus. A layout has one to
 * three planes; plane p holds the next `bits` low-to-high bits of the element. The core proves from the
 * terms that the map is one-to-one and stays inside the tensor. */
enum {
    MORTISE_SOURCE_ROW = 1,
    MORTISE_SOURCE_COLUMN = 2,
    MORTISE_SOURCE_BIT = 3,           /* bit within the plane */
    MORTISE_SOURCE_EXPERT = 4,
    MORTISE_SOURCE_ROW_STREAM = 5,    /* row * plane.bits + bit: dense packing along rows */
    MORTISE_SOURCE_COLUMN_STREAM = 6, /* column * plane.bits + bit: dense packing along columns */
    MORTISE_SOURCE_FLAT = 7           /* row * columns + column: runs that ignore row ends */
};
typedef struct mortise_term {
    uint32_t source; /* MORTISE_SOURCE_* */
    uint32_t reserved;
    uint64_t div, mod, stride;
} mortise_term;
#define MORTISE_MAX_TERMS 10
typedef struct mortise_plane {
    uint32_t bits;
    uint32_t n_terms;
    uint64_t offset; /* bits */
    mortise_term terms[MORTISE_MAX_TERMS];
} mortise_plane;
#define MORTISE_MAX_PLANES 3
typedef struct mortise_layout {
    uint32_t n_planes; /* 0 = dense row-major [expert][row][column] of `bits` each */
    uint32_t reserved;
    mortise_plane planes[MORTISE_MAX_PLANES];
} mortise_layout;

#define MORTISE_MAX_RANK 6
typedef struct mortise_shape {
    uint32_t rank;
    uint32_t reserved;
    int64_t dims[MORTISE_MAX_RANK];
} mortise_shape;

enum {
    MORTISE_FIELD_OPTIONAL = 1u,       /* absent means default_value everywhere */
    MORTISE_FIELD_DROP_IF_ZERO = 2u,   /* dropped, with the obligation that every element is zero */
    MORTISE_FIELD_PROBE = 4u,          /* contents decide structure: read before the proof */
    MORTISE_FIELD_POSITIVE = 8u,       /* obligation: every element > 0 */
    MORTISE_FIELD_FINITE = 16u,        /* obligation: no NaN, no infinity (also e8m0 255, e4m3 NaN) */
    MORTISE_FIELD_CONSTANT = 32u,      /* obligation: every element decodes to default_value */
    MORTISE_FIELD_BELOW_GROUPS = 64u,  /* obligation: 0 <= element < column groups of the first level */
    MORTISE_FIELD_POWER_OF_TWO = 128u  /* obligation: every element is a power of two */
};

/* One role of one part: which tensor, in which shapes and dtypes, and how its elements are packed.
 * Vectors over columns have rows = 1; vectors over rows have columns = 1; scalars are 1 x 1. */
typedef struct mortise_field {
    mortise_head head;
    uint32_t role;      /* MORTISE_ROLE_* */
    uint32_t encoding;  /* MORTISE_ENCODING_* */
    uint32_t bits;      /* of one element; 0 = as the dtype */
    uint32_t flags;     /* MORTISE_FIELD_* */
    uint64_t experts, rows, columns; /* logical extents */
    mortise_str tensor; /* full name in the checkpoint */
    mortise_str drop_rule; /* for UNUSED and DROP_IF_ZERO: the named rule */
    uint32_t n_dtypes;
    uint32_t dtypes[7]; /* accepted as stored */
    uint32_t n_shapes;
    uint32_t reserved;
    mortise_shape shapes[4]; /* accepted as stored: all equal in row-major order of elements */
    mortise_layout layout;
    double default_value;
    int64_t stored_bias;      /* added to the stored field: element = field + stored_bias ... */
    uint32_t stored_bias_word; /* ... per field (0, modulo 2^bits) or on whole words of this many bits */
    uint32_t reserved2;
} mortise_field;

/* One level of the scale chain, or a zero point / addend map. Element for (row, column):
 * field[row / row_group][group(column)], group(column) = g_idx[column] if the spec has one, else
 * column / column_group. row_group 0 = one for all rows, column_group 0 = one for all columns. */
typedef struct mortise_level {
    uint32_t role;       /* field that holds it; NONE = constant */
    uint32_t divide;     /* 1: divides */
    uint64_t row_group, column_group;
    double constant;     /* used when role is NONE */
    uint32_t flat;       /* 1: element index = (row * columns + column) / column_group */
    uint32_t n_row_splits; /* > 0: rows are cut at row_splits, element r belongs to the r-th piece */
    const uint64_t* row_splits; /* [n_row_splits] end row of each piece */
} mortise_level;

enum { MORTISE_ACTIVATION_NONE = 0, MORTISE_ACTIVATION_TENSOR = 1, MORTISE_ACTIVATION_TOKEN = 2, MORTISE_ACTIVATION_GROUP = 3 };
enum { /* how a scale is rounded to a power of two */
    MORTISE_EXPONENT_NONE = 0,
    MORTISE_EXPONENT_FLOOR = 1,   /* 2^(floor(log2 amax) - emax) */
    MORTISE_EXPONENT_CEIL = 2,    /* 2^ceil(log2(amax / divisor)) */
    MORTISE_EXPONENT_ROUND = 3,   /* 2^round(log2(amax / divisor)) */
    MORTISE_EXPONENT_BUMP = 4     /* FLOOR after amax with mantissa >= 1.75 is moved to the next binade */
};
/* Activation quantization: the producer's own rule, as data. All arithmetic in f32, one rounding per step.
 * dynamic: amax over the row (token), group or whole input, raised to amax_floor, then lowered to
 *     activation_amax_ceiling of the spec, if it has one;
 *     t = amax / divisor, or amax / (divisor * INPUT_SCALE2) if it multiplies, or (amax / divisor) *
 *     INPUT_SCALE2 if it divides; with an exponent rule t is the power of two that the rule names;
 *     amax 0 gives zero_scale; t is raised to scale_floor, rounded to scale_encoding, and 0 becomes zero_scale.
 *     scale = t, or t * INPUT_SCALE2, or t / INPUT_SCALE2.
 *     asymmetric: t = (max - min) / divisor with min <= 0 <= max, zero = clamp(RNE(code_min - min / scale)).
 * static: scale (and zero) from INPUT_SCALE (INPUT_ZERO_POINT).
 * q = clamp(RNE(x / scale + zero)) in `encoding`; the kernel sees (q - zero) * scale. */
typedef struct mortise_activation {
    uint32_t granularity;    /* MORTISE_ACTIVATION_* */
    uint32_t encoding;       /* TWOS (bits) | E4M3 | E2M1 | ... */
    uint32_t bits;
    uint32_t dynamic;        /* 1: scale from the data */
    uint32_t asymmetric;     /* 1: zero point */
    uint32_t exponent_rule;  /* MORTISE_EXPONENT_* */
    uint32_t scale_encoding; /* F32 | BF16 | F16 | E4M3 | E8M0: how the dynamic scale is rounded */
    uint32_t second_level;   /* 0 none, 1 INPUT_SCALE2 multiplies, 2 INPUT_SCALE2 divides */
    uint64_t group;          /* columns per group */
    double divisor;          /* 448, 127, 127.5, 6, ... */
    double amax_floor;       /* amax is raised to this */
    double scale_floor;      /* scale is raised to this */
    double zero_scale;       /* scale used when amax is 0; 0 = keep what the floors give */
} mortise_activation;

typedef struct mortise_spec {
    mortise_head head;
    uint64_t experts, rows, columns;         /* extent */
    uint32_t encoding;                       /* of the codes; F32/F16/BF16 = plain */
    uint32_t bits;
    uint32_t n_fields;
    uint32_t n_levels;                       /* 0 to 3 */
    const mortise_field* fields;             /* [n_fields], each role at most once */
    mortise_level levels[3];                 /* scale chain, outermost (coarsest) first */
    uint32_t offset_kind;                    /* 0 none, 1 constant, 2 ZERO_POINT field, 3 ADDEND field */
    uint32_t has_cast;                       /* 1: weights are cast to cast_encoding before use */
    double offset_constant;                  /* in code units */
    mortise_level zero_map;                  /* index map of ZERO_POINT or ADDEND */
    mortise_level addend_scale;              /* second level of ADDEND; role NONE = none */
    double addend_sign;                      /* +1 or -1, applied to the folded addend */
    mortise_activation activation;
    uint32_t cast_encoding;                  /* execution cast: w' = cast(w / s) * s, s = CAST_SCALE field */
    uint32_t rotation_block;                 /* > 0: ROTATION or Hadamard of this size on the input */
    double rotation_factor;                  /* multiplies x H */
    double scale_addend;                     /* added to the folded S, one rounding; 0 = nothing is added */
    uint32_t activation_ties;                /* of input codes: 0 to even, 1 toward zero */
    uint32_t reserved;
    double activation_amax_ceiling;          /* of dynamic input scales: amax is lowered to this; 0 = no ceiling */
    uint64_t n_table;                        /* 0, or 2^bits: values of LOOKUP codes that no TABLE field holds */
    const float* table;                      /* [n_table] */
} mortise_spec;

#ifdef __cplusplus
}
#endif
#endif
