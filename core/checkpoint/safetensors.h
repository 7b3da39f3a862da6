// Internal to core/checkpoint: the header of one safetensors file. Thread-safe: no state.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/catalog.h"

namespace mortise::checkpoint {

struct SafetensorsHeader {
    std::vector<TensorEntry> tensors;  // in order of their data; `file` is not set
    std::map<std::string, std::string, std::less<>> metadata;
};

inline constexpr uint64_t max_safetensors_header = 100'000'000;  // limit of the reference reader

// Effect: reads and checks the header; offsets of the entries are absolute.
// Errors: header_*, duplicate_tensor, dtype_unsupported, file_*.
Result<SafetensorsHeader> read_safetensors_header(const File& file, const std::string& name);

// Effect: the entries of a header text, offsets still relative to the data, unchecked against each other.
// Errors: header_json, duplicate_tensor, dtype_unsupported, header_overflow.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view text, const std::string& name);

}  // namespace mortise::checkpoint
