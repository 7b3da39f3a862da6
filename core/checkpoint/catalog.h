// What a checkpoint holds: names, element types, shapes and byte ranges of its tensors. No data.
//
// A Catalog is immutable once built and then thread-safe; so is TensorReader.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/result.h"

namespace mortise::checkpoint {

struct TensorEntry {
    std::string name;
    DType dtype = DType::u8;
    Shape shape;          // outermost first
    uint32_t file = 0;    // of Catalog::files()
    uint64_t offset = 0;  // absolute in the file, bytes
    uint64_t bytes = 0;
    std::string encoding;  // block encoding named by a container; empty = dtype says all
};

// A file that holds tensors, open since the catalog was made.
struct DataFile {
    std::string name;  // as users write it: relative to the checkpoint
    File file;
};

class Catalog {
  public:
    // In byte order of the names of files.
    const std::vector<DataFile>& files() const { return *files_; }
    // In byte order of the names of tensors; names are unique.
    const std::vector<TensorEntry>& tensors() const { return *tensors_; }
    size_t size() const { return tensors_->size(); }

    // Effect: the tensor of exactly that name; null when there is none.
    const TensorEntry* find(std::string_view name) const;
    // Effect: all tensors whose name begins with `prefix`, in order. "model.layers.1." is one layer.
    std::span<const TensorEntry> with_prefix(std::string_view prefix) const;
    const std::string& file_name(const TensorEntry& entry) const { return (*files_)[entry.file].name; }
    uint64_t total_bytes() const;  // of tensor data

  private:
    friend class CatalogBuilder;
    // Shared, so that copies are cheap and entries stay where they are.
    std::shared_ptr<const std::vector<DataFile>> files_ = std::make_shared<std::vector<DataFile>>();
    std::shared_ptr<const std::vector<TensorEntry>> tensors_ = std::make_shared<std::vector<TensorEntry>>();
};

// Puts a Catalog together; used by the native reader and by whoever hosts a container.
class CatalogBuilder {
  public:
    // Effect: the number to use as TensorEntry::file.
    uint32_t add_file(std::string name, File file);
    const File& file(uint32_t index) const { return files_[index].file; }
    // Effect: takes the entry; problems show in finish().
    void add(TensorEntry entry) { tensors_.push_back(std::move(entry)); }
    // Effect: sorts and checks. Errors: duplicate_tensor (naming both files), header_offsets (range outside
    // the file), header_overflow (negative extent or too many elements), header_tensor_bytes (bytes do not
    // fit dtype and shape, for entries without an encoding).
    Result<Catalog> finish() &&;

  private:
    std::vector<DataFile> files_;
    std::vector<TensorEntry> tensors_;
};

// Reads bytes of tensors and counts them.
class TensorReader {
  public:
    explicit TensorReader(Catalog catalog) : catalog_(std::move(catalog)) {}

    // Effect: fills `out` from byte `begin` of the tensor.
    // Requires: begin + out.size() <= entry.bytes; entry belongs to this catalog.
    // Errors: file_short, file_read.
    Status read(const TensorEntry& entry, uint64_t begin, std::span<std::byte> out) const;
    Result<std::vector<std::byte>> read_all(const TensorEntry& entry) const;

    uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
    // Effect: success iff no file has changed (size, time, inode) since it was opened. Errors: value_changed.
    Status unchanged() const;
    const Catalog& catalog() const { return catalog_; }

  private:
    Catalog catalog_;
    mutable std::atomic<uint64_t> bytes_read_{0};
};

}  // namespace mortise::checkpoint
