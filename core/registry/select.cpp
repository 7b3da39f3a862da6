// Selection: manifests first, libraries only when an entry is needed; every step recorded.

#include <algorithm>

#include "base/file.h"
#include "base/sha256.h"
#include "registry/library_file.h"
#include "registry/loaded_library.h"
#include "registry/plugin_call.h"
#include "registry/registry.h"

namespace mortise::registry {
namespace {

bool has(const std::vector<std::string>& list, std::string_view word) { return std::find(list.begin(), list.end(), word) != list.end(); }

std::string copy(mortise_str text) { return text.data ? std::string(text.data, text.size) : std::string(); }

// Required functions of each interface must be there; what lies beyond a table's size is absent.
Status check_table(const Provides& provides, const void* table, const std::string& file) {
    const auto missing = [&](const char* function) -> Status {
        return fail(Problem{.code = Code::plugin_contract, .what = "entry '" + provides.id + "' lacks a required function", .file = file,
                            .expected = function, .found = "null, or a table of an older size"});
    };
#define MORTISE_NEEDS(type, function) \
    if (const auto* t = static_cast<const type*>(table); !MORTISE_HAS(t, type, function) || !t->function) return missing(#function)
    switch (provides.kind) {
        case Interface::scheme:
            MORTISE_NEEDS(mortise_scheme_v1, match);
            MORTISE_NEEDS(mortise_scheme_v1, open);
            MORTISE_NEEDS(mortise_scheme_v1, close);
            MORTISE_NEEDS(mortise_scheme_v1, module);
            break;
        case Interface::architecture: MORTISE_NEEDS(mortise_architecture_v1, build); break;
        case Interface::container:
            MORTISE_NEEDS(mortise_container_v1, probe);
            MORTISE_NEEDS(mortise_container_v1, open);
            break;
        case Interface::kernels:
            MORTISE_NEEDS(mortise_kernels_v1, alloc);
            MORTISE_NEEDS(mortise_kernels_v1, free);
            MORTISE_NEEDS(mortise_kernels_v1, bid);
            MORTISE_NEEDS(mortise_kernels_v1, packed_bytes);
            MORTISE_NEEDS(mortise_kernels_v1, create);
            MORTISE_NEEDS(mortise_kernels_v1, destroy);
            MORTISE_NEEDS(mortise_kernels_v1, pack);
            MORTISE_NEEDS(mortise_kernels_v1, seal);
            MORTISE_NEEDS(mortise_kernels_v1, run);
            break;
    }
#undef MORTISE_NEEDS
    return {};
}

Status check_hash(const std::string& path, const std::string& wanted) {
    if (wanted.empty()) return {};
    MORTISE_TRY(const File file, File::open(path));
    MORTISE_TRY(const auto bytes, file.read_all(uint64_t{1} << 32));
    Sha256 hash;
    hash.update(std::as_bytes(std::span(bytes)));
    const std::string found = hash.hex();
    if (found == wanted) return {};
    return fail(Problem{.code = Code::plugin_hash, .what = "the plugin's library is not the pinned one", .file = path, .expected = wanted,
                        .found = found, .fix = "install the pinned build, or pin the new one"});
}

std::string listed(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& each : names) out += (out.empty() ? "" : ", ") + each;
    return out.empty() ? "none" : out;
}

}  // namespace

std::vector<Registry::Entry> Registry::entries(Interface kind) const {
    std::vector<Entry> out;
    for (size_t c = 0; c < candidates_.size(); ++c)
        for (const Provides& provides : candidates_[c].manifest.provides)
            if (provides.kind == kind) out.push_back({c, &provides});
    return out;
}

void Registry::record(const std::string& subject, const Entry& entry, std::string stage, bool accepted, uint32_t score, std::string reason) {
    decisions_.push_back({subject, candidates_[entry.candidate].manifest.id, entry.provides->id, std::move(stage), accepted, score, std::move(reason)});
}

Result<const void*> Registry::table(const Entry& entry, const mortise_host& host) {
    Candidate& candidate = candidates_[entry.candidate];
    const Manifest& manifest = candidate.manifest;
    const auto failed = [&](Error error) {
        candidate.state = State::failed;
        candidate.reason = error.first().what;
        return std::unexpected(std::move(error));
    };
    auto known = opened_.find(manifest.library);
    if (known == opened_.end()) {
        const auto facts = examine(manifest.library);
        if (!facts) return failed(facts.error());
        if (facts->id != manifest.id || facts->version != manifest.version)
            return failed(Error(Problem{.code = Code::plugin_mismatch, .what = "manifest and library name different plugins", .file = manifest.path,
                                        .expected = manifest.id + " " + manifest.version, .found = facts->id + " " + facts->version}));
        const auto pin = options_.pin_sha256.find(manifest.id);
        if (const auto ok = check_hash(manifest.library, pin != options_.pin_sha256.end() ? pin->second : manifest.sha256); !ok)
            return failed(ok.error());
        auto plugin = open_library(manifest.library, manifest.id, manifest.version, host);
        if (!plugin) return failed(plugin.error());
        known = opened_.emplace(manifest.library, *plugin).first;
        candidate.state = State::ready;
    }
    for (uint64_t e = 0; e < known->second.n_entries; ++e) {
        const mortise_entry& offered = known->second.entries[e];
        if (offered.interface_kind != static_cast<uint32_t>(entry.provides->kind) || copy(offered.id) != entry.provides->id) continue;
        if (const auto ok = check_table(*entry.provides, offered.table, manifest.library); !ok) return failed(ok.error());
        return offered.table;
    }
    return failed(Error(Problem{.code = Code::plugin_mismatch, .what = "the manifest promises an entry that the library does not have",
                                .file = manifest.path, .line = entry.provides->line,
                                .expected = std::string(name(entry.provides->kind)) + " '" + entry.provides->id + "'", .found = "no such entry"}));
}

Status Registry::open(size_t candidate, const mortise_host& host) {
    for (const Provides& provides : candidates_[candidate].manifest.provides)
        if (const auto opened = table({candidate, &provides}, host); !opened) return std::unexpected(opened.error());
    return {};
}

Result<Chosen<mortise_architecture_v1>> Registry::architecture(const std::string& name, const std::string& model_type, const mortise_host& host) {
    const std::string wanted = name.empty() ? "model_type " + model_type : name, subject = "architecture " + wanted;
    std::vector<Entry> fits;
    std::vector<std::string> installed;
    for (const Entry& entry : entries(Interface::architecture)) {
        const Candidate& candidate = candidates_[entry.candidate];
        const bool fit = name.empty() ? has(entry.provides->model_types, model_type) : has(entry.provides->architectures, name);
        installed.insert(installed.end(), entry.provides->architectures.begin(), entry.provides->architectures.end());
        if (fit && candidate.state >= State::disabled) record(subject, entry, "filter", false, 0, candidate.reason);
        else record(subject, entry, "filter", fit, 0, fit ? "names it" : "does not name it");
        if (fit && candidate.state < State::disabled) fits.push_back(entry);
    }
    if (fits.empty())
        return fail(Problem{.code = Code::unsupported_architecture, .what = "no plugin builds " + wanted, .expected = "one of " + listed(installed),
                            .found = wanted, .fix = "install a plugin for this architecture"});
    std::stable_sort(fits.begin(), fits.end(), [](const Entry& a, const Entry& b) { return a.provides->priority > b.provides->priority; });
    if (fits.size() > 1 && fits[0].provides->priority == fits[1].provides->priority) {
        const std::string a = candidates_[fits[0].candidate].manifest.id, b = candidates_[fits[1].candidate].manifest.id;
        return fail(Problem{.code = Code::plugin_ambiguous, .what = "two plugins build " + wanted, .expected = "one",
                            .found = candidates_[fits[0].candidate].manifest.path + " and " + candidates_[fits[1].candidate].manifest.path,
                            .fix = "in the deployment: plugins.disable: [\"" + b + "\"] (keeps " + a + ")"});
    }
    MORTISE_TRY(const void* found, table(fits[0], host));
    record(subject, fits[0], "chosen", true, 0, "names it");
    return Chosen<mortise_architecture_v1>{fits[0].provides->id, static_cast<const mortise_architecture_v1*>(found)};
}

Result<Chosen<mortise_container_v1>> Registry::container(const std::string& file_name, const std::string& first_bytes, const mortise_host& host) {
    for (const Entry& entry : entries(Interface::container)) {
        if (candidates_[entry.candidate].state >= State::disabled) continue;
        const auto& suffixes = entry.provides->suffixes;
        if (!suffixes.empty() && std::none_of(suffixes.begin(), suffixes.end(), [&](const std::string& s) { return file_name.ends_with(s); })) continue;
        MORTISE_TRY(const void* found, table(entry, host));
        const auto* container = static_cast<const mortise_container_v1*>(found);
        const bool mine = PluginCall::call([&] {
            return container->probe({file_name.data(), file_name.size()}, first_bytes.data(), first_bytes.size());
        });
        record("container of " + file_name, entry, "match", mine, 0, mine ? "first bytes" : "not its first bytes");
        if (mine) return Chosen<mortise_container_v1>{entry.provides->id, container};
    }
    return Chosen<mortise_container_v1>{};
}

Result<std::vector<Chosen<mortise_kernels_v1>>> Registry::kernels(const std::string& device, const std::vector<std::string>& forbid,
                                                                  const mortise_host& host) {
    std::vector<Chosen<mortise_kernels_v1>> out;
    for (const Entry& entry : entries(Interface::kernels)) {
        const Candidate& candidate = candidates_[entry.candidate];
        if (candidate.state >= State::disabled || entry.provides->device != device || has(forbid, entry.provides->id)) continue;
        const auto found = table(entry, host);
        record("kernels for " + device, entry, "open", found.has_value(), 0, found ? "usable" : found.error().first().what);
        if (found) out.push_back({entry.provides->id, static_cast<const mortise_kernels_v1*>(*found)});
    }
    if (out.empty())
        return fail(Problem{.code = Code::unsupported_kernel, .what = "no kernel provider for device " + device, .expected = "an installed provider",
                            .found = "none on the search path", .fix = "see `mortise plugins doctor`"});
    return out;
}

}  // namespace mortise::registry
