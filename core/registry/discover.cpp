// Discovery: manifests, filters, duplicates. No library is touched here.

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "registry/registry.h"

namespace mortise::registry {
namespace {

namespace fs = std::filesystem;

bool matches(const std::vector<std::string>& globs, const std::string& id, std::set<std::string>* used = nullptr) {
    bool any = false;
    for (const std::string& glob : globs)
        if (::fnmatch(glob.c_str(), id.c_str(), 0) == 0) {
            any = true;
            if (used) used->insert(glob);
        }
    return any;
}

std::vector<std::string> manifests_in(const std::string& directory) {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error))
        if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
    std::sort(files.begin(), files.end());
    return files;
}

bool switched_off(const Manifest& manifest) {
    if (manifest.disable_env.empty()) return false;
    const char* value = std::getenv(manifest.disable_env.c_str());
    const std::string_view text = value ? value : "";
    return text == "1" || text == "true" || text == "yes";
}

}  // namespace

std::string_view name(State state) {
    switch (state) {
        case State::discovered: return "discovered";
        case State::ready: return "ready";
        case State::disabled: return "disabled";
        case State::failed: return "failed";
        case State::shadowed: return "shadowed";
    }
    return "?";
}

void Registry::apply_filters(const Options& options) {
    std::set<std::string> used;
    for (Candidate& candidate : candidates_) {
        const std::string& id = candidate.manifest.id;
        const auto off = [&](std::string why) {
            candidate.state = State::disabled;
            candidate.reason = std::move(why);
        };
        const bool denied = matches(options.deny, id, &used), disabled = matches(options.disable, id, &used);
        const bool allowed = matches(options.allow, id, &used);
        if (denied) off("denied by the deployment");
        else if (disabled) off("disabled by the deployment");
        else if (!options.allow.empty() && !allowed) off("not in the deployment's allow list");
        else if (switched_off(candidate.manifest)) off("switched off by " + candidate.manifest.disable_env);
        if (const auto pin = options.pin_version.find(id); pin != options.pin_version.end() && pin->second != candidate.manifest.version)
            off("pinned to version " + pin->second);
    }
    for (const auto* list : {&options.deny, &options.disable, &options.allow})
        for (const std::string& glob : *list)
            if (!used.contains(glob)) warnings_.push_back("plugin filter '" + glob + "' matches no installed plugin");
}

Status Registry::settle_duplicates(const Options&) {
    Problems problems;
    std::map<std::string, size_t> first;
    for (size_t c = 0; c < candidates_.size(); ++c) {
        if (candidates_[c].state == State::disabled) continue;
        const auto [known, fresh] = first.emplace(candidates_[c].manifest.id, c);
        if (fresh) continue;
        Candidate &a = candidates_[known->second], &b = candidates_[c];
        std::error_code error;
        if (fs::equivalent(a.manifest.library, b.manifest.library, error)) {
            b.state = State::shadowed;
            b.reason = "the same library as " + a.manifest.path;
            continue;
        }
        problems.add(Problem{.code = Code::plugin_duplicate,
                             .what = "two plugins have the id '" + a.manifest.id + "'",
                             .file = b.manifest.path,
                             .expected = "one plugin of that id",
                             .found = a.manifest.path + " (" + a.manifest.version + ") and " + b.manifest.path + " (" + b.manifest.version + ")",
                             .fix = "in the deployment: plugins.pin." + a.manifest.id + ".version: \"" + a.manifest.version +
                                    "\", or remove one of the files"});
    }
    return std::move(problems).status();
}

Result<Registry> Registry::discover(const Options& options) {
    Registry registry;
    registry.options_ = options;
    registry.places_ = search_path(options.search);
    std::set<std::pair<dev_t, ino_t>> seen;
    for (const Place& place : registry.places_) {
        if (!place.used) continue;
        for (const std::string& file : manifests_in(place.path)) {
            struct stat info {};
            if (::stat(file.c_str(), &info) != 0 || !seen.insert({info.st_dev, info.st_ino}).second) continue;
            auto manifest = read_manifest(fs::canonical(file).string());
            if (manifest) registry.candidates_.push_back({std::move(*manifest), State::discovered, {}});
            else registry.broken_.push_back(manifest.error());
        }
    }
    registry.apply_filters(options);
    MORTISE_CHECK(registry.settle_duplicates(options));
    return registry;
}

}  // namespace mortise::registry
