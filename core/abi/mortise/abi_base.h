/* Basics of the plugin border: heads, strings, errors, config and checkpoint views, the host, the plugin. */
#ifndef MORTISE_ABI_BASE_H
#define MORTISE_ABI_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_ABI_MAJOR 1u
#define MORTISE_ABI_MINOR 0u

typedef struct mortise_head {
    uint32_t size;    /* sizeof of the struct as its writer knew it, in bytes */
    uint32_t version; /* minor version of the writer; informative */
} mortise_head;

/* True iff FIELD of the struct at POINTER was written by the other side. */
#define MORTISE_HAS(pointer, type, field) \
    ((pointer)->head.size >= offsetof(type, field) + sizeof((pointer)->field))

typedef struct mortise_str {
    const char* data; /* UTF-8, not NUL-terminated, borrowed */
    uint64_t size;    /* bytes */
} mortise_str;

/* Element types as stored; the values are fixed for ever. 0 = none. Names as in safetensors. */
enum {
    MORTISE_DTYPE_NONE = 0,
    MORTISE_DTYPE_BOOL, MORTISE_DTYPE_U8, MORTISE_DTYPE_I8, MORTISE_DTYPE_U16, MORTISE_DTYPE_I16,
    MORTISE_DTYPE_F16, MORTISE_DTYPE_BF16, MORTISE_DTYPE_U32, MORTISE_DTYPE_I32, MORTISE_DTYPE_F32,
    MORTISE_DTYPE_U64, MORTISE_DTYPE_I64, MORTISE_DTYPE_F64, MORTISE_DTYPE_C64,
    MORTISE_DTYPE_F8_E4M3, MORTISE_DTYPE_F8_E5M2, MORTISE_DTYPE_F8_E4M3FNUZ, MORTISE_DTYPE_F8_E5M2FNUZ,
    MORTISE_DTYPE_F8_E8M0, MORTISE_DTYPE_F4_E2M1, MORTISE_DTYPE_F6_E2M3, MORTISE_DTYPE_F6_E3M2
};

/* Status of a call. Anything but MORTISE_OK must be preceded by mortise_host.set_error on the same thread. */
typedef uint32_t mortise_status;
enum {
    MORTISE_OK = 0,
    MORTISE_REFUSED = 1,     /* the checkpoint is wrong: missing, contradictory, out of range */
    MORTISE_UNSUPPORTED = 2, /* the checkpoint is sound, this plugin cannot do it */
    MORTISE_NO_MEMORY = 3,
    MORTISE_INTERNAL = 4     /* the plugin itself failed */
};

/* A node of a strict JSON document (config.json and its side files). Opaque, valid as long as the model. */
typedef struct mortise_node mortise_node;
enum {
    MORTISE_NODE_NULL = 0, MORTISE_NODE_BOOLEAN, MORTISE_NODE_INTEGER, MORTISE_NODE_REAL,
    MORTISE_NODE_STRING, MORTISE_NODE_ARRAY, MORTISE_NODE_OBJECT
};

/* Reading a config. What is read is recorded: a key that nobody read is an error of the plan. */
typedef struct mortise_config_api {
    mortise_head head;
    uint32_t (*kind)(const mortise_node* node);                                    /* [R] */
    const mortise_node* (*member)(const mortise_node* object, mortise_str key);    /* [R] marks read; null = absent */
    uint64_t (*count)(const mortise_node* node);                                   /* [R] items or members */
    const mortise_node* (*item)(const mortise_node* node, uint64_t index);         /* [R] marks read; file order */
    mortise_str (*key)(const mortise_node* object, uint64_t index);                /* [R] name of item(index) */
    /* [R] Exact conversions. On another kind: set_error with file:line:column is done, MORTISE_REFUSED. */
    mortise_status (*as_bool)(const mortise_node* node, uint8_t* out);
    mortise_status (*as_int)(const mortise_node* node, int64_t* out);
    mortise_status (*as_real)(const mortise_node* node, double* out);
    mortise_status (*as_string)(const mortise_node* node, mortise_str* out);
    void (*mark_read)(const mortise_node* node, uint8_t deep);                     /* [R] "known, means nothing here" */
    uint64_t (*line)(const mortise_node* node);                                    /* [R] 1-based; 0 for null */
} mortise_config_api;

/* A tensor as the catalog knows it: header facts, no data. */
typedef struct mortise_tensor {
    mortise_head head;
    mortise_str name;
    uint32_t dtype;       /* MORTISE_DTYPE_* */
    uint32_t rank;
    const int64_t* shape; /* [rank], borrowed */
    uint64_t bytes;       /* stored bytes */
    mortise_str encoding; /* block encoding named by a container; empty = dtype says all */
    mortise_str file;
} mortise_tensor;

typedef struct mortise_checkpoint mortise_checkpoint;
typedef void (*mortise_tensor_visitor)(void* context, const mortise_tensor* tensor);

/* What a plugin may know of a checkpoint. Reading bytes is the host's; probe() is for small tensors whose
 * contents decide structure, and is listed and counted in the plan. */
typedef struct mortise_checkpoint_api {
    mortise_head head;
    mortise_str (*name_space)(const mortise_checkpoint* checkpoint);               /* [R] empty = native */
    /* [R] Root of a side file ("config.json", "hf_quant_config.json"); null when there is none. */
    const mortise_node* (*document)(const mortise_checkpoint* checkpoint, mortise_str file_name);
    /* [R] 1 and *out filled when the tensor exists; out->head.size must be set by the caller. */
    uint8_t (*tensor)(const mortise_checkpoint* checkpoint, mortise_str name, mortise_tensor* out);
    /* [R] Visits tensors whose name is `module` + "." + anything, in byte order; empty = all. */
    void (*tensors_below)(const mortise_checkpoint* checkpoint, mortise_str module, mortise_tensor_visitor visit,
                          void* context);
    /* [R] Reads the whole tensor (at most 16 MiB) into `out`; Errors: not there, other size, unreadable. */
    mortise_status (*probe)(const mortise_checkpoint* checkpoint, mortise_str name, void* out, uint64_t bytes);
} mortise_checkpoint_api;

/* What went wrong. Empty strings are left out of the message. */
typedef struct mortise_error {
    mortise_head head;
    uint32_t code;            /* number of the core's table, or 0: chosen by the returned status */
    uint32_t reserved;
    mortise_str what;         /* one sentence, no full stop */
    mortise_str subject;      /* tensor, module or part */
    mortise_str expected;
    mortise_str found;
    mortise_str fix;
    const mortise_node* node; /* position in a config file, or null */
} mortise_error;

enum { MORTISE_LOG_DEBUG = 0, MORTISE_LOG_INFO = 1, MORTISE_LOG_WARN = 2, MORTISE_LOG_ERROR = 3 };

/* How a name is compared with a pattern. Names are dotted components, matched whole. */
enum {
    MORTISE_PATTERN_EXACT = 1,
    MORTISE_PATTERN_PREFIX = 2,    /* name equals the pattern or continues it after a dot */
    MORTISE_PATTERN_GLOB = 3,      /* shell wildcards; * crosses dots; whole name */
    MORTISE_PATTERN_REGEX = 4,     /* matched from the start of the name, not anchored at its end */
    MORTISE_PATTERN_COMPONENT = 5  /* the pattern's components occur consecutively anywhere in the name */
};

struct mortise_tile;
struct mortise_extras;
struct mortise_spec;

/* Services for plugins. One per process, valid until exit, callable from any thread unless said otherwise. */
typedef struct mortise_host {
    mortise_head head;
    void (*log)(uint32_t level, mortise_str component, mortise_str message);       /* [R] not from kernel run */
    void (*set_error)(const mortise_error* error);                                 /* [R] this thread's slot, copied */
    const mortise_config_api* config;                                              /* [R] */
    const mortise_checkpoint_api* checkpoint;                                      /* [R] */
    /* [R] 1 match, 0 no match, -1 the pattern is malformed (set_error is done). */
    int32_t (*pattern_matches)(uint32_t kind, mortise_str pattern, mortise_str name);
    /* [R] The one reference decode: out[r][c] = weight of row tile->row + r, column c, f32.
     * out holds tile->rows x tile->columns. */
    void (*decode_tile)(const struct mortise_tile* tile, float* out);
    /* [R] The one reference input preparation: input transform, then activation quantization and back to
     * f32 as the spec says (activations: MORTISE_ACTIVATIONS_*). x and out: [rows][columns], may be equal.
     * `extras` as given to mortise_kernels_v1.seal. */
    void (*prepare_input)(const struct mortise_spec* spec, const struct mortise_extras* extras, uint32_t activations,
                          uint64_t rows, uint64_t columns, const float* x, float* out);
} mortise_host;

enum {
    MORTISE_INTERFACE_SCHEME = 1,
    MORTISE_INTERFACE_ARCHITECTURE = 2,
    MORTISE_INTERFACE_KERNELS = 3,
    MORTISE_INTERFACE_CONTAINER = 4
};

typedef struct mortise_entry {
    mortise_head head;
    uint32_t interface_kind; /* MORTISE_INTERFACE_* */
    uint32_t minor;          /* lowest minor of that interface that the entry needs of the host */
    mortise_str id;          /* as in the manifest */
    const void* table;       /* const mortise_scheme_v1* etc., static storage */
} mortise_entry;

typedef struct mortise_plugin {
    mortise_head head;       /* size set by the host before the call */
    mortise_str id;          /* equals the manifest and the note */
    mortise_str version;     /* semver */
    uint64_t n_entries;
    const mortise_entry* entries; /* static storage */
} mortise_plugin;

/* The one exported symbol. Pure: no allocation that outlives it, no threads, no device calls.
 * `host` stays valid until exit. */
typedef mortise_status (*mortise_plugin_fn)(const mortise_host* host, mortise_plugin* out);
#define MORTISE_PLUGIN_SYMBOL "mortise_plugin_v1"

/* ELF note: section .note.mortise, name "Mortise", type 1, descriptor = mortise_note. */
#define MORTISE_NOTE_NAME "Mortise"
#define MORTISE_NOTE_TYPE 1u
typedef struct mortise_note {
    uint32_t abi_major;
    uint32_t abi_minor;  /* needed, not compiled with */
    char id[96];         /* NUL-padded */
    char version[32];    /* NUL-padded */
} mortise_note;

#ifdef __cplusplus
}
#endif
#endif
