#include "checkpoint/folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/text.h"

namespace mortise::checkpoint {
namespace {

bool has_extension(std::string_view name, std::span<const std::string_view> extensions) {
    size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) return false;
    return std::find(extensions.begin(), extensions.end(), name.substr(dot)) != extensions.end();
}

constexpr std::array<std::string_view, 8> pickles = {".bin", ".pt",     ".pth",    ".ckpt",
                                                     ".pkl", ".pickle", ".joblib", ".mar"};
constexpr std::array<std::string_view, 2> code = {".py", ".pyc"};
constexpr std::array<std::string_view, 5> others = {".h5", ".msgpack", ".onnx", ".npz", ".tflite"};
constexpr std::array<std::string_view, 16> texts = {".json", ".jsonl", ".txt",   ".md",     ".yaml", ".yml",
                                                    ".toml", ".jinja", ".model", ".png",    ".jpg",  ".jpeg",
                                                    ".gif",  ".pdf",   ".html",  ".imatrix"};

}  // namespace

Result<std::string> real_path(const std::string& path) {
    if (path.find('\0') != std::string::npos) return fail(Code::file_open, "path contains a zero byte");
    char* raw = ::realpath(path.c_str(), nullptr);
    if (!raw) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        return fail(Problem{.code = missing ? Code::file_missing : Code::file_open,
                            .what = "cannot open: " + std::generic_category().message(errno),
                            .file = path});
    }
    std::string real = raw;
    std::free(raw);
    return real;
}

Result<std::vector<std::string>> list_files(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator at(folder, error), end;
    while (!error && at != end) {
        struct stat info{};
        bool known = ::stat(at->path().c_str(), &info) == 0;
        if (!known || !S_ISDIR(info.st_mode)) names.push_back(at->path().filename().string());
        at.increment(error);
    }
    if (error) {
        return fail(
            Problem{.code = Code::file_open, .what = "cannot list: " + error.message(), .file = folder});
    }
    std::sort(names.begin(), names.end());
    return names;
}

Result<std::string> resolve_inside(const std::string& folder, std::string_view name) {
    std::string path = folder + '/' + std::string(name);
    bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
                 name.find('\0') == std::string_view::npos;
    if (!plain) {
        return fail(Problem{.code = Code::folder_escape, .what = "not a plain file name", .file = folder});
    }
    MORTISE_TRY(std::string real, real_path(path));
    if (starts(real, folder == "/" ? folder : folder + '/')) return real;
    std::filesystem::path snapshots = std::filesystem::path(folder).parent_path();
    if (snapshots.filename() == "snapshots") {
        std::string blobs = (snapshots.parent_path() / "blobs").string() + '/';
        if (starts(real, blobs) && real.find('/', blobs.size()) == std::string::npos) return real;
    }
    return fail(Problem{.code = Code::folder_escape,
                        .what = "link leads out of the checkpoint folder",
                        .file = path,
                        .found = real,
                        .fix = "copy the file into the folder"});
}

bool may_hold_tensors(std::string_view name) {
    return !starts(name, ".") && reason_to_ignore(name).empty() && !has_extension(name, texts);
}

std::string_view reason_to_ignore(std::string_view name) {
    if (has_extension(name, pickles)) return "pickle, never opened";
    if (has_extension(name, code)) return "program, never opened";
    if (has_extension(name, others)) return "another format";
    return {};
}

}  // namespace mortise::checkpoint
