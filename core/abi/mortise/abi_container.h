/* Interface "container": a file format that holds tensors. The host reads bytes; the plugin reads structure. */
#ifndef MORTISE_ABI_CONTAINER_H
#define MORTISE_ABI_CONTAINER_H

#include "mortise/abi_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bounded reading of the one file; every range is checked against the real size. */
typedef struct mortise_source {
    mortise_head head;
    void* context;
    uint64_t size;       /* bytes */
    mortise_str name;    /* file name, for messages */
    /* [R] Reads exactly `bytes` at `offset`. Errors: range outside the file, I/O. */
    mortise_status (*read)(void* context, uint64_t offset, uint64_t bytes, void* out);
} mortise_source;

typedef struct mortise_container_tensor {
    mortise_head head;
    mortise_str name;
    uint32_t dtype;       /* MORTISE_DTYPE_*; block encodings are U8 */
    uint32_t rank;
    const int64_t* shape; /* [rank], slowest axis first; block encodings: [rows][bytes per row] */
    mortise_str encoding; /* "" or the name of the block encoding */
    uint64_t offset;      /* absolute, bytes */
    uint64_t bytes;
} mortise_container_tensor;

/* Where a container puts what it finds. All calls copy. */
typedef struct mortise_container_sink {
    mortise_head head;
    void* context;
    void (*tensor)(void* context, const mortise_container_tensor* tensor);         /* [R] */
    /* [R] A file that the container carries inside ("config.json", "tokenizer.json"); `origin` says where
     * its facts come from, for messages. */
    void (*file)(void* context, mortise_str name, mortise_str bytes, mortise_str origin);
    void (*metadata)(void* context, mortise_str key, mortise_str value);           /* [R] */
} mortise_container_sink;

typedef struct mortise_container_v1 {
    mortise_head head;
    mortise_str name_space; /* of the tensor names */
    /* [R] 1 iff the file is this container's, from its first bytes (up to 64) and its name. */
    uint8_t (*probe)(mortise_str file_name, const void* first, uint64_t bytes);
    /* [R] Emits every tensor and file, or fails. */
    mortise_status (*open)(const mortise_source* source, const mortise_container_sink* sink);
} mortise_container_v1;

#ifdef __cplusplus
}
#endif
#endif
