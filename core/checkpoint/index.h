// Internal to core/checkpoint: the index file of a sharded checkpoint. Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/catalog.h"

namespace mortise::checkpoint {

struct Index {
    struct Line {
        std::string tensor;
        uint32_t file;  // of `files`
    };
    std::vector<std::string> files;  // in byte order, each a plain safetensors file name
    std::vector<Line> lines;         // in byte order of tensors
};

// Effect: true iff `name` is a plain file name "[A-Za-z0-9._-]+.safetensors" that does not begin with a dot.
bool plain_shard_name(std::string_view name);

// Effect: weight_map of the text of an index file. Errors: index_invalid, index_file_name (each bad name
// once).
Result<Index> parse_index(std::string_view text, const std::string& name);

// Effect: success iff index and headers say the same. Errors: index_tensor_missing, index_tensor_extra, at
// most 20 of them listed.
Status compare(const Index& index, const Catalog& catalog, const std::string& index_name);

}  // namespace mortise::checkpoint
