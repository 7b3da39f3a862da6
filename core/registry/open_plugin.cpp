#include "registry/open_plugin.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/sha256.h"
#include "base/text.h"
#include "registry/loaded_library.h"
#include "registry/plugin_call.h"
#include "registry/trust.h"

namespace mortise::registry {

namespace {

constexpr uint64_t max_library_bytes = uint64_t{4} << 30;

std::string abi_text(uint32_t major, uint32_t minor) {
    return std::to_string(major) + "." + std::to_string(minor);
}

Status check_trusted(const Candidate& candidate, const Options& options, CheckedFile& out) {
    std::error_code error;
    const std::string manifest = std::filesystem::canonical(candidate.manifest.path, error).string();
    Problems problems;
    for (const std::string& path : {candidate.manifest.library, error ? candidate.manifest.path : manifest}) {
        auto warnings = check_trust(path, options, candidate.installed);
        if (!warnings)
            problems.add(warnings.error());
        else
            out.warnings.insert(out.warnings.end(), warnings->begin(), warnings->end());
    }
    return std::move(problems).status();
}

Status check_digest(const Candidate& candidate, const Options& options, CheckedFile& out) {
    const Manifest& manifest = candidate.manifest;
    const auto pin = options.pin_sha256.find(manifest.id);
    const bool by_pin = pin != options.pin_sha256.end();
    if (options.require_hash && !by_pin)
        return fail(Problem{.code = Code::plugin_hash,
                            .what = "plugin " + manifest.id + " has no pinned SHA-256, and one is required",
                            .file = manifest.library,
                            .fix = "add plugins.pin." + manifest.id + ".sha256"});
    if (!by_pin && manifest.sha256.empty()) return {};
    MORTISE_TRY(const std::string digest, digest_of(out.file));
    const auto compare = [&](const std::string& expected, const std::string& who) -> Status {
        if (expected.empty() || expected == digest) return {};
        return fail(Problem{.code = Code::plugin_hash,
                            .what = "the library's SHA-256 is not the one of " + who,
                            .file = manifest.library,
                            .expected = expected,
                            .found = digest,
                            .fix = "find out who changed the file before you change the digest"});
    };
    MORTISE_CHECK(compare(manifest.sha256, manifest.path));
    if (by_pin) MORTISE_CHECK(compare(pin->second, "plugins.pin"));
    out.pinned = true;
    return {};
}

Status check_note(const Candidate& candidate, CheckedFile& out) {
    const Manifest& manifest = candidate.manifest;
    Problem problem{
        .code = Code::plugin_abi, .what = "plugin " + manifest.id + ": ", .file = candidate.manifest.library};
    const LibraryFacts& note = out.facts;
    if (note.abi_major != MORTISE_ABI_MAJOR || note.abi_minor > MORTISE_ABI_MINOR) {
        problem.what += "built for another plugin ABI";
        problem.expected =
            abi_text(MORTISE_ABI_MAJOR, 0) + " to " + abi_text(MORTISE_ABI_MAJOR, MORTISE_ABI_MINOR);
        problem.found = abi_text(note.abi_major, note.abi_minor);
        problem.fix = note.abi_major > MORTISE_ABI_MAJOR || (note.abi_major == MORTISE_ABI_MAJOR)
                          ? "install a newer Mortise, or an older release of the plugin"
                          : "install a newer release of the plugin";
        return fail(std::move(problem));
    }
    Problems problems;
    const auto agree = [&](const char* what, const std::string& in_manifest, const std::string& in_note) {
        if (in_manifest == in_note) return;
        problems.add({.code = Code::plugin_mismatch,
                      .what = std::string("manifest and library disagree about the plugin's ") + what,
                      .file = manifest.path,
                      .expected = "'" + in_note + "' as in " + candidate.manifest.library,
                      .found = "'" + in_manifest + "'",
                      .fix = "install manifest and library of the same build"});
    };
    agree("id", manifest.id, note.id);
    agree("version", manifest.version, note.version);
    agree("ABI", abi_text(manifest.abi_major, manifest.abi_minor), abi_text(note.abi_major, note.abi_minor));
    return std::move(problems).status();
}

void warn_of_symbols(const Candidate& candidate, CheckedFile& out) {
    const std::string& library = candidate.manifest.library;
    if (out.facts.exports.size() > 1)
        out.warnings.push_back(library + " exports " + std::to_string(out.facts.exports.size()) +
                               " symbols instead of one: others may collide with them");
    if (const auto calls = forbidden_imports(out.facts); !calls.empty())
        out.warnings.push_back(library + " calls what no plugin may: " + join(calls, ", "));
}

std::string text(const mortise_str& string) {
    return string.data ? std::string(string.data, string.size) : std::string();
}

}  // namespace

Result<std::string> digest_of(const File& file) {
    Sha256 sha;
    std::vector<std::byte> buffer(std::min<uint64_t>(file.size(), 1u << 20));
    for (uint64_t at = 0; at < file.size(); at += buffer.size()) {
        const std::span<std::byte> piece(buffer.data(), std::min<uint64_t>(buffer.size(), file.size() - at));
        MORTISE_CHECK(file.read(at, piece));
        sha.update(piece);
    }
    return sha.hex();
}

Result<CheckedFile> check_file(const Candidate& candidate, const Options& options) {
    CheckedFile out;
    MORTISE_TRY(out.file, File::open(candidate.manifest.library));
    if (out.file.size() > max_library_bytes)
        return fail(Problem{.code = Code::plugin_not_elf,
                            .what = "the library is too large",
                            .file = candidate.manifest.library});
    MORTISE_CHECK(check_trusted(candidate, options, out));
    MORTISE_CHECK(check_digest(candidate, options, out));
    MORTISE_TRY(out.facts, examine(out.file));
    MORTISE_CHECK(check_note(candidate, out));
    warn_of_symbols(candidate, out);
    return out;
}

Result<std::vector<Entry>> open_plugin(const Candidate& candidate, CheckedFile checked,
                                       const Options& options, const mortise_host& host) {
    const std::string& id = candidate.manifest.id;
    MORTISE_TRY(const LoadedLibrary library, LoadedLibrary::open(std::move(checked.file), checked.pinned));
    mortise_plugin plugin{};
    plugin.head = {sizeof plugin, MORTISE_ABI_MINOR};
    const mortise_status status = PluginCall::call([&] { return library.entry()(&host, &plugin); });
    if (status != MORTISE_OK) {
        if (options.take_error) return std::unexpected(options.take_error(status, id, MORTISE_PLUGIN_SYMBOL));
        return fail(Problem{.code = Code::plugin_failed,
                            .what = "plugin " + id + " refused to start: status " + std::to_string(status),
                            .file = candidate.manifest.library});
    }
    if (text(plugin.id) != id || text(plugin.version) != candidate.manifest.version)
        return fail(Problem{.code = Code::plugin_mismatch,
                            .what = "the plugin's entry point disagrees with its manifest",
                            .file = candidate.manifest.library,
                            .expected = id + " " + candidate.manifest.version,
                            .found = text(plugin.id) + " " + text(plugin.version)});
    return check_tables(plugin, candidate.manifest);
}

}  // namespace mortise::registry
