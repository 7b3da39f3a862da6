#include "registry/trust.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "registry/search_path.h"

namespace mortise::registry {

namespace {

// A group that bears the owner's number is the owner's private group (as adduser makes them): no others.
bool writable_by_others(const struct stat& facts, bool folder) {
    if (folder && (facts.st_mode & S_ISVTX)) return false;  // others cannot replace what is not theirs
    if (facts.st_mode & S_IWOTH) return true;
    return (facts.st_mode & S_IWGRP) && facts.st_gid != 0 && facts.st_gid != facts.st_uid;
}

std::string mode_of(const struct stat& facts) {
    char text[16];
    std::snprintf(text, sizeof text, "%04o", facts.st_mode & 07777u);
    return text;
}

}  // namespace

Result<std::vector<std::string>> check_trust(const std::string& path, const Options& options,
                                             bool installed) {
    std::vector<std::string> warnings;
    Problems problems;
    const bool strict = is_secure(options.search) || (options.trust == Policy::deny && !installed);
    const auto found = [&](Problem problem) {
        if (strict)
            problems.add(std::move(problem));
        else
            warnings.push_back(to_string(problem));
    };
    const std::filesystem::path whole(path);
    for (std::filesystem::path at = whole;; at = at.parent_path()) {
        const bool folder = at != whole;
        struct stat facts{};
        if (stat(at.c_str(), &facts) != 0)
            return fail(Problem{.code = Code::file_open, .what = std::strerror(errno), .file = at.string()});
        if (writable_by_others(facts, folder))
            found({.code = Code::plugin_trust,
                   .what = folder ? "a folder above the plugin is writable by others"
                                  : "the file is writable by others",
                   .file = at.string(),
                   .expected = "writable by its owner alone",
                   .found = "mode " + mode_of(facts),
                   .fix = "chmod go-w " + at.string()});
        const bool ours = facts.st_uid == 0 || (facts.st_uid == geteuid() && !is_secure(options.search));
        if (!folder && !ours)
            found({.code = Code::plugin_trust,
                   .what = "the file belongs to another user",
                   .file = at.string(),
                   .expected = "root or the user of this process",
                   .found = "user " + std::to_string(facts.st_uid),
                   .fix = "chown root " + at.string()});
        if (at == at.root_path() || at.empty()) break;
    }
    MORTISE_CHECK(std::move(problems).status());
    return warnings;
}

}  // namespace mortise::registry
