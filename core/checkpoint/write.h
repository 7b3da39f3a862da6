// Writes a safetensors file: header first, then tensors in any order, each possibly in pieces.
//
// The header is laid out as the reference writer does: wider element types first, then by name, padded to 8
// bytes. The file appears under its final name only when close() succeeded. One thread; write() may be called
// from several when their ranges are disjoint.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/result.h"

namespace mortise::checkpoint {

struct NewTensor {
    std::string name;
    DType dtype{};
    Shape shape;
    bool operator==(const NewTensor&) const = default;
};

class SafetensorsWriter {
  public:
    // Effect: creates `path` with its header. Errors: duplicate_tensor, header_overflow, header_too_large,
    // file_write, disk_full.
    static Result<SafetensorsWriter> create(const std::string& path, std::vector<NewTensor> tensors,
                                            const std::map<std::string, std::string>& metadata = {});
    // Effect: bytes [begin, begin + size) of the tensor. Requires: the tensor was announced, the range fits.
    Status write(const std::string& tensor, uint64_t begin, std::span<const std::byte> bytes);
    uint64_t bytes_of(const std::string& tensor) const { return places_.at(tensor).bytes; }
    Status close();

  private:
    struct Place {
        uint64_t offset = 0, bytes = 0;
    };
    OutputFile file_;
    std::map<std::string, Place> places_;
};

}  // namespace mortise::checkpoint
