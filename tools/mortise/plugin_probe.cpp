#include "mortise/plugin_probe.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/codes.h"
#include "plan/plan.h"
#include "registry/registry.h"

namespace mortise::tool {

namespace {

namespace fs = std::filesystem;

// Runs in the child.
Status open_alone(const registry::Manifest& manifest) {
    registry::Options options;
    options.search.directories = {fs::path(manifest.path).parent_path().string()};
    options.allow = {manifest.id};
    MORTISE_TRY(auto plugins, registry::Registry::discover(options));
    for (size_t i = 0; i < plugins.candidates().size(); ++i) {
        const registry::Candidate& each = plugins.candidates()[i];
        if (each.manifest.id != manifest.id || each.state == registry::State::shadowed) continue;
        return plugins.open(i, plan::host());
    }
    return fail(Code::internal, "the plugin was not found again");
}

[[noreturn]] void child(const registry::Manifest& manifest, int out) {
    alarm(60);  // a plugin that hangs is a finding too
    Status status = open_alone(manifest);
    std::string text = status ? "" : to_string(status.error());
    ssize_t written = write(out, text.data(), text.size());
    _exit(status && written >= 0 ? 0 : 1);
}

std::string read_all(int descriptor) {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(descriptor, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(n));
    return text;
}

Status open_in_child(const registry::Manifest& manifest) {
    int ends[2];
    if (pipe(ends) != 0) return fail(Code::internal, "no pipe for the child process");
    std::fflush(nullptr);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child(manifest, ends[1]);
    }
    close(ends[1]);
    std::string text = pid > 0 ? read_all(ends[0]) : "no child process could be started";
    close(ends[0]);
    int status = 0;
    if (pid > 0) waitpid(pid, &status, 0);
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    Problem problem{
        .code = Code::plugin_failed, .what = "the plugin cannot be opened", .file = manifest.library};
    problem.found = text;
    if (pid > 0 && WIFSIGNALED(status)) {
        problem.what = "the plugin killed the process that opened it";
        problem.found = WTERMSIG(status) == SIGALRM ? "no answer within 60 s" : strsignal(WTERMSIG(status));
    }
    return fail(std::move(problem));
}

}  // namespace

Result<Probe> probe_plugin(const std::string& manifest_path) {
    Probe out;
    std::error_code error;
    MORTISE_TRY(out.manifest, registry::read_manifest(fs::absolute(manifest_path, error).string()));
    MORTISE_TRY(out.library, registry::examine(out.manifest.library));
    if (out.library.id != out.manifest.id || out.library.version != out.manifest.version) {
        return fail(
            Problem{.code = Code::plugin_mismatch,
                    .what = "manifest and library name different plugins",
                    .file = out.manifest.path,
                    .expected = fmt::format("{} {} (the library)", out.library.id, out.library.version),
                    .found = fmt::format("{} {}", out.manifest.id, out.manifest.version)});
    }
    MORTISE_CHECK(open_in_child(out.manifest));
    return out;
}

}  // namespace mortise::tool
