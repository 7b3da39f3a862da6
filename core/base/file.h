// Files: bounded reading, and writing that leaves nothing half done under the final name.
//
// Reading never maps: a file that shrinks is an error, not a signal. File::read is thread-safe; writers
// belong to one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mortise {

// An open regular file, read-only.
class File {
  public:
    File() = default;
    File(File&& other) noexcept;
    File& operator=(File&& other) noexcept;
    ~File();

    // Effect: opens without waiting on pipes and devices.
    // Errors: file_missing, file_open (also for anything that is no regular file).
    static Result<File> open(const std::string& path);

    const std::string& path() const { return path_; }
    uint64_t size() const { return size_; }
    int descriptor() const { return descriptor_; }  // stays ours

    // Effect: fills `out` from `offset` on. Errors: file_short, file_read.
    Status read(uint64_t offset, std::span<std::byte> out) const;
    // Effect: the whole content. Errors: file_read when larger than `limit`; as read().
    Result<std::string> read_all(uint64_t limit) const;
    // Errors: value_changed when size, modification time or inode differ from those at open().
    Status unchanged() const;

  private:
    std::string path_;
    int descriptor_ = -1;
    uint64_t size_ = 0, inode_ = 0;
    int64_t modified_ns_ = 0;
};

// Effect: content of the regular file `path`. Errors: as File::open and File::read_all.
Result<std::string> read_file(const std::string& path, uint64_t limit = 256u << 20);

// A new file, written piece by piece. Removed unless close() succeeded.
class OutputFile {
  public:
    OutputFile() = default;
    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&& other) noexcept;
    ~OutputFile();

    // Errors: file_write when it exists already or cannot be created.
    static Result<OutputFile> create(const std::string& path);
    uint64_t size() const { return size_; }
    // Effect: appends. Errors: disk_full, file_write.
    Status append(std::span<const std::byte> bytes);
    Status append(std::string_view text) {
        return append(std::as_bytes(std::span(text.data(), text.size())));
    }
    // Effect: overwrites at `offset`; the size grows when needed.
    Status write_at(uint64_t offset, std::span<const std::byte> bytes);
    // Effect: everything is on disk.
    Status close();

  private:
    std::string path_;
    int descriptor_ = -1;
    uint64_t size_ = 0;
};

// Effect: `path` holds exactly `bytes`, or is as before: written beside, synced, renamed.
// Errors: disk_full, file_write.
Status write_atomically(const std::string& path, std::string_view bytes);

// A folder that appears whole or not at all.
class AtomicFolder {
  public:
    AtomicFolder(AtomicFolder&& other) noexcept;
    AtomicFolder& operator=(AtomicFolder&& other) = delete;
    ~AtomicFolder();  // removes the temporary folder unless committed

    // Errors: file_write when `path` exists already or its parent is missing.
    static Result<AtomicFolder> create(const std::string& path);
    const std::string& path() const { return temporary_; }  // write here
    // Effect: the folder has its final name. Errors: file_write; also when the name was taken meanwhile.
    Status commit();

  private:
    AtomicFolder(std::string final_path, std::string temporary)
        : final_(std::move(final_path)), temporary_(std::move(temporary)) {}
    std::string final_, temporary_;
    bool live_ = true;
};

}  // namespace mortise
