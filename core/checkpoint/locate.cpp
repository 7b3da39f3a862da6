// Folder layout: huggingface_hub, "Understand caching": models--ORG--NAME/{refs,snapshots,blobs}.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/folder.h"

namespace mortise::checkpoint {
namespace {

bool exists(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0;
}

bool plain_word(std::string_view word) {
    if (word.empty() || word[0] == '.') return false;
    return std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '_' || c == '-';
    });
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::string cache_root() {
    if (std::string hub = environment("HF_HUB_CACHE"); !hub.empty()) return hub;
    if (std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
    if (std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) return cache + "/huggingface/hub";
    return environment("HOME") + "/.cache/huggingface/hub";
}

struct RepoName {
    std::string_view organization, name, revision;
};

bool parse_repo(std::string_view text, RepoName& out) {
    size_t slash = text.find('/');
    if (slash == std::string_view::npos) return false;
    out.organization = text.substr(0, slash);
    out.name = text.substr(slash + 1);
    out.revision = "main";
    if (size_t at = out.name.find('@'); at != std::string_view::npos) {
        out.revision = out.name.substr(at + 1);
        out.name = out.name.substr(0, at);
    }
    return plain_word(out.organization) && plain_word(out.name) && plain_word(out.revision);
}

}  // namespace

Result<std::string> locate(const std::string& path) {
    if (exists(path)) return path;
    RepoName repo;
    Problem missing{.code = Code::file_missing, .what = "no such checkpoint", .file = path};
    if (!parse_repo(path, repo)) return fail(std::move(missing));
    std::string folder =
        cache_root() + "/models--" + std::string(repo.organization) + "--" + std::string(repo.name);
    std::string revision(repo.revision);
    if (auto reference = read_file(folder + "/refs/" + revision, 4096)) {
        std::string_view target = trim(*reference);
        if (plain_word(target)) revision = target;
    }
    std::string snapshot = folder + "/snapshots/" + revision;
    if (exists(snapshot)) return snapshot;
    missing.found = "neither a path nor in " + cache_root();
    missing.fix = "nothing is ever downloaded: fetch it first (hf download " +
                  std::string(repo.organization) + '/' + std::string(repo.name) + ")";
    return fail(std::move(missing));
}

}  // namespace mortise::checkpoint
