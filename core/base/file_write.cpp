#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file.h"

namespace mortise {
namespace {

std::unexpected<Error> write_failed(const std::string& what, const std::string& path, int error) {
    Code code = error == ENOSPC || error == EDQUOT ? Code::disk_full : Code::file_write;
    return fail(
        Problem{.code = code, .what = what + ": " + std::generic_category().message(error), .file = path});
}

Status write_all(int descriptor, uint64_t offset, std::span<const std::byte> bytes, const std::string& path) {
    while (!bytes.empty()) {
        ssize_t put = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return write_failed("cannot write", path, errno);
        bytes = bytes.subspan(static_cast<size_t>(put));
        offset += static_cast<uint64_t>(put);
    }
    return {};
}

std::string parent_of(const std::string& path) {
    std::string parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

// A rename is on disk only when its folder is.
void sync_folder(const std::string& path) {
    int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
}

}  // namespace

OutputFile::OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }
OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(size_, other.size_);
    return *this;
}
OutputFile::~OutputFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(path_.c_str());
}

Result<OutputFile> OutputFile::create(const std::string& path) {
    int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) return write_failed("cannot create", path, errno);
    OutputFile file;
    file.path_ = path;
    file.descriptor_ = descriptor;
    return file;
}

Status OutputFile::append(std::span<const std::byte> bytes) { return write_at(size_, bytes); }

Status OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
    MORTISE_CHECK(write_all(descriptor_, offset, bytes, path_));
    size_ = std::max<uint64_t>(size_, offset + bytes.size());
    return {};
}

Status OutputFile::close() {
    int descriptor = descriptor_;
    int error = ::fsync(descriptor) == 0 ? 0 : errno;
    descriptor_ = -1;
    if (::close(descriptor) != 0 && error == 0) error = errno;
    if (error == 0) return {};
    ::unlink(path_.c_str());
    return write_failed("cannot finish", path_, error);
}

Status write_atomically(const std::string& path, std::string_view bytes) {
    std::string beside = path + ".XXXXXX";
    int descriptor = ::mkostemp(beside.data(), O_CLOEXEC);
    if (descriptor < 0) return write_failed("cannot create a file beside", path, errno);
    Status status = write_all(descriptor, 0, std::as_bytes(std::span(bytes.data(), bytes.size())), path);
    int error = 0;
    if (status) {
        mode_t mask = ::umask(0);
        ::umask(mask);
        if (::fchmod(descriptor, 0666 & ~mask) != 0 || ::fsync(descriptor) != 0) error = errno;
    }
    if (::close(descriptor) != 0 && error == 0) error = errno;
    if (status && error == 0 && ::rename(beside.c_str(), path.c_str()) != 0) error = errno;
    if (!status || error != 0) {
        ::unlink(beside.c_str());
        return status ? Status(write_failed("cannot write", path, error)) : status;
    }
    sync_folder(parent_of(path));
    return {};
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : final_(std::move(other.final_)), temporary_(std::move(other.temporary_)), live_(other.live_) {
    other.live_ = false;
}

AtomicFolder::~AtomicFolder() {
    if (!live_) return;
    std::error_code ignored;
    std::filesystem::remove_all(temporary_, ignored);
}

Result<AtomicFolder> AtomicFolder::create(const std::string& path) {
    std::string final_path = path;
    while (final_path.size() > 1 && final_path.back() == '/') final_path.pop_back();
    struct stat info{};
    if (::lstat(final_path.c_str(), &info) == 0) {
        return fail(Problem{.code = Code::file_write,
                            .what = "output folder exists already",
                            .file = final_path,
                            .fix = "name another folder, or remove this one"});
    }
    std::string temporary = final_path + ".partial.XXXXXX";
    if (!::mkdtemp(temporary.data())) return write_failed("cannot create a folder", final_path, errno);
    ::chmod(temporary.c_str(), 0755);
    return AtomicFolder(std::move(final_path), std::move(temporary));
}

Status AtomicFolder::commit() {
    // RENAME_NOREPLACE: an empty folder of that name made meanwhile is not replaced silently.
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_NOREPLACE) != 0 &&
        (errno != EINVAL || ::rename(temporary_.c_str(), final_.c_str()) != 0)) {
        return write_failed("cannot rename the finished folder", final_, errno);
    }
    live_ = false;
    sync_folder(parent_of(final_));
    return {};
}

}  // namespace mortise
