// Test vectors: one tiny layer each, in file bytes, with the floats it must decode to; and headers that must
// be refused. Turned into checkpoints of one module, so that schemes see what they see in a real folder.
#pragma once

#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/json.h"
#include "plan/scheme_model.h"

namespace mortise::tool {

struct VectorTensor {
    std::string name;  // full
    DType dtype{};
    Shape shape;
    std::string encoding;  // of a block format
    std::string bytes;     // zeros for a header-only case
};

struct VectorCase {
    std::string id;
    std::string config;     // JSON of config.json
    std::string side_file;  // name of a side file, or ""
    std::string side_bytes;
    std::string name_space;
    plan::ModuleQuery query;
    std::vector<VectorTensor> tensors;
    std::string expected;  // f32 little-endian, row-major; empty = must be refused
    std::string stated;    // why it must be refused
};

// Effect: all layers and rejections of a vectors file. Errors: json_*, with positions.
Result<std::vector<VectorCase>> read_vectors(const json::Document& document);

// Effect: a checkpoint of one data file at `path`, which is written. Errors: file_write, and of the catalog.
Result<checkpoint::Checkpoint> make_checkpoint(const VectorCase& vector, const std::string& path);

}  // namespace mortise::tool
