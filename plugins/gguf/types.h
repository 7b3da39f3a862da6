// Element types of GGUF tensors. Source: enum ggml_type of ggml.h and the block structs of ggml-common.h.
#pragma once

#include <cstdint>
#include <string_view>

namespace gguf {

struct TensorType {
    uint32_t id;
    std::string_view name;  // encoding, lower case; "" where `dtype` says all
    uint32_t dtype;         // MORTISE_DTYPE_*; U8 for blocks
    uint32_t block;         // elements of one block; 0 = a type that later versions of the format removed
    uint32_t bytes;         // of one block
};

// Effect: the type with this number, or null. Thread-safe.
const TensorType* find_type(uint32_t id);

}  // namespace gguf
