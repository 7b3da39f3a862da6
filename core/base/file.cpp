#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mortise {
namespace {

int64_t modified_ns(const struct stat& info) {
    return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

std::string reason(int error) { return std::generic_category().message(error); }

Problem io_problem(Code code, std::string what, const std::string& path) {
    return Problem{.code = code, .what = std::move(what), .file = path};
}

}  // namespace

File::File(File&& other) noexcept { *this = std::move(other); }
File& File::operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(size_, other.size_);
    std::swap(inode_, other.inode_);
    std::swap(modified_ns_, other.modified_ns_);
    return *this;
}
File::~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

Result<File> File::open(const std::string& path) {
    if (path.find('\0') != std::string::npos) {
        return fail(
            io_problem(Code::file_open, "path contains a zero byte", path.substr(0, path.find('\0'))));
    }
    File file;
    file.path_ = path;
    struct stat info{};
    // Asked before opening: opening a device or a pipe can have effects of its own.
    if (::stat(path.c_str(), &info) != 0) {
        Code code = errno == ENOENT || errno == ENOTDIR ? Code::file_missing : Code::file_open;
        return fail(io_problem(code, "cannot open: " + reason(errno), path));
    }
    if (!S_ISREG(info.st_mode)) return fail(io_problem(Code::file_open, "not a regular file", path));
    do {
        file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (file.descriptor_ < 0 && errno == EINTR);
    if (file.descriptor_ < 0) {
        Code code = errno == ENOENT ? Code::file_missing : Code::file_open;
        return fail(io_problem(code, "cannot open: " + reason(errno), path));
    }
    if (::fstat(file.descriptor_, &info) != 0) {
        return fail(io_problem(Code::file_open, "cannot stat: " + reason(errno), path));
    }
    if (!S_ISREG(info.st_mode)) return fail(io_problem(Code::file_open, "not a regular file", path));
    file.size_ = static_cast<uint64_t>(info.st_size);
    file.inode_ = info.st_ino;
    file.modified_ns_ = modified_ns(info);
    return file;
}

Status File::read(uint64_t offset, std::span<std::byte> out) const {
    size_t done = 0;
    while (done < out.size()) {
        ssize_t got =
            ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(io_problem(Code::file_read, "cannot read: " + reason(errno), path_));
        if (got == 0) {
            Problem problem = io_problem(Code::file_short, "file ended early", path_);
            problem.expected = std::to_string(out.size()) + " bytes at " + std::to_string(offset);
            problem.found = std::to_string(done);
            return fail(std::move(problem));
        }
        done += static_cast<size_t>(got);
    }
    return {};
}

Result<std::string> File::read_all(uint64_t limit) const {
    if (size_ > limit) {
        Problem problem = io_problem(Code::file_read, "file is too large", path_);
        problem.expected = "at most " + std::to_string(limit) + " bytes";
        problem.found = std::to_string(size_);
        return fail(std::move(problem));
    }
    std::string text(size_, '\0');
    MORTISE_CHECK(read(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
    return text;
}

Status File::unchanged() const {
    struct stat info{};
    if (::fstat(descriptor_, &info) != 0) {
        return fail(io_problem(Code::file_read, "cannot stat: " + reason(errno), path_));
    }
    bool same = static_cast<uint64_t>(info.st_size) == size_ && info.st_ino == inode_ &&
                modified_ns(info) == modified_ns_;
    if (same) return {};
    Problem problem = io_problem(Code::value_changed, "file changed while it was read", path_);
    problem.fix = "load again when nothing writes to it";
    return fail(std::move(problem));
}

Result<std::string> read_file(const std::string& path, uint64_t limit) {
    MORTISE_TRY(File file, File::open(path));
    return file.read_all(limit);
}

}  // namespace mortise
