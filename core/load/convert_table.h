// What converts to what without changing a weight, found by doing it: one matrix of random weights is
// quantized by each dialect's own recipe, and rewritten in every other. The same code as a conversion; no
// list of dialects.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "registry/registry.h"

namespace mortise::load {

struct TableCell {
    bool lossless = false;
    uint64_t changed = 0;  // weights
    std::string reason;    // why it cannot be written at all, else empty
};

struct ConvertTable {
    uint64_t rows = 0, columns = 0;     // of the matrix
    std::vector<std::string> dialects;  // ids, with the options they were given: "some:g64"
    std::vector<std::string> specs;     // [dialects] what each writes: "int4 g128 asymmetric, f16 scales"
    std::vector<std::vector<TableCell>> cells;  // [from][to]
};

// Effect: the table over every scheme that writes, found through the manifests, and over `more` dialects with
// options. Errors: plugin_* of those named in `more`; a scheme of the manifests that cannot be opened is left
// out.
Result<ConvertTable> convert_table(registry::Registry& registry, const std::vector<std::string>& more);

}  // namespace mortise::load
