#include "registry/filters.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "registry/open_plugin.h"
#include "registry/search_path.h"

namespace mortise::registry {

namespace {

const std::string* first_match(const std::vector<std::string>& patterns, const std::string& id) {
    const auto at = std::ranges::find_if(patterns, [&](const std::string& p) { return matches(p, id); });
    return at == patterns.end() ? nullptr : &*at;
}

bool usable(const Candidate& candidate) { return candidate.state == State::discovered; }

void turn_off(Candidate& candidate, std::string reason) {
    candidate.state = State::disabled;
    candidate.reason = std::move(reason);
}

// 1, true and yes switch off; 0, false, no and nothing do not: a child process can take a switch back.
bool switched_off(const Options& options, const std::string& variable) {
    if (variable.empty()) return false;
    const auto value = environment(options.search, variable);
    return value && (*value == "1" || *value == "true" || *value == "yes");
}

std::string from(const Options& options, const std::string& what) {
    return options.file.empty() ? what : what + " of " + options.file;
}

const std::string* find(const std::map<std::string, std::string>& map, const std::string& key) {
    const auto at = map.find(key);
    return at == map.end() ? nullptr : &at->second;
}

bool is_pinned(const Options& options, const std::string& id) {
    return find(options.pin_version, id) || find(options.pin_sha256, id);
}

void filter(const Options& options, Candidate& candidate) {
    const std::string& id = candidate.manifest.id;
    if (const std::string* pattern = first_match(options.deny, id))
        return turn_off(candidate, "denied by '" + *pattern + "' in " + from(options, "plugins.deny"));
    const std::string* pin = find(options.pin_version, id);
    if (pin && (pin->starts_with('=') ? pin->substr(1) : *pin) != candidate.manifest.version)
        return turn_off(candidate, "version " + candidate.manifest.version + " is not the pinned " + *pin);
    if (is_pinned(options, id)) return;
    if (const std::string* pattern = first_match(options.disable, id))
        return turn_off(candidate, "disabled by '" + *pattern + "' in " + from(options, "plugins.disable"));
    if (switched_off(options, candidate.manifest.disable_env))
        return turn_off(candidate, "disabled by the environment variable " + candidate.manifest.disable_env);
    if (options.allow && !first_match(*options.allow, id))
        turn_off(candidate, "not named by " + from(options, "plugins.allow"));
}

void warn_of_unmatched(const std::vector<std::string>& patterns, const std::string& key,
                       const Options& options, const std::vector<std::string>& ids,
                       std::vector<std::string>& warnings) {
    for (const std::string& pattern : patterns) {
        if (std::ranges::any_of(ids, [&](const std::string& id) { return matches(pattern, id); })) continue;
        const std::string hint = did_you_mean(pattern, ids);
        warnings.push_back("'" + pattern + "' in " + from(options, key) + " matches no plugin" +
                           (hint.empty() ? "" : "; " + hint));
    }
}

// True when both are the same plugin in two places: nothing depends on which one is taken.
bool twins(const Candidate& a, const Candidate& b) {
    if (a.manifest.version != b.manifest.version) return false;
    if (a.manifest.library == b.manifest.library) return true;
    const auto digest = [](const Candidate& c) -> Result<std::string> {
        MORTISE_TRY(const File file, File::open(c.manifest.library));
        return digest_of(file);
    };
    const auto first = digest(a), second = digest(b);
    return first && second && *first == *second;
}

Error duplicate_error(const Options& options, const Candidate& a, const Candidate& b) {
    const std::string& id = a.manifest.id;
    const bool by_version = a.manifest.version != b.manifest.version;
    const std::string line = by_version
                                 ? "plugins.pin: {" + id + ": {version: \"" + a.manifest.version + "\"}}"
                                 : "plugins.pin: {" + id + ": {sha256: <of the right library>}}";
    return Error(Problem{.code = Code::plugin_duplicate,
                         .what = "two different plugins have the id " + id,
                         .file = a.manifest.path,
                         .expected = "one",
                         .found = a.manifest.version + " in " + a.manifest.path + " and " +
                                  b.manifest.version + " in " + b.manifest.path,
                         .fix = "remove one, or write into " +
                                (options.file.empty() ? std::string("the deployment file") : options.file) +
                                ": " + line});
}

// A pin by digest keeps the copy that has it.
void keep_pinned(const std::string& pinned, std::vector<Candidate*>& group) {
    std::vector<Candidate*> kept;
    for (Candidate* candidate : group) {
        const auto file = File::open(candidate->manifest.library);
        const auto digest = file ? digest_of(*file) : Result<std::string>(std::unexpected(file.error()));
        if (digest && *digest == pinned) kept.push_back(candidate);
    }
    if (kept.empty()) return;  // opening will say what differs
    for (Candidate* candidate : group)
        if (std::ranges::find(kept, candidate) == kept.end())
            turn_off(*candidate, "its SHA-256 is not the pinned one");
    group = std::move(kept);
}

}  // namespace

bool matches(const std::string& pattern, const std::string& id) {
    return fnmatch(pattern.c_str(), id.c_str(), 0) == 0;
}

void apply_filters(const Options& options, std::vector<Candidate>& candidates,
                   std::vector<std::string>& warnings) {
    std::vector<std::string> ids;
    for (Candidate& candidate : candidates) {
        if (!usable(candidate)) continue;
        ids.push_back(candidate.manifest.id);
        filter(options, candidate);
    }
    warn_of_unmatched(options.deny, "plugins.deny", options, ids, warnings);
    warn_of_unmatched(options.disable, "plugins.disable", options, ids, warnings);
    if (options.allow) warn_of_unmatched(*options.allow, "plugins.allow", options, ids, warnings);
    std::vector<std::string> pinned, selected;
    for (const auto& [id, version] : options.pin_version) pinned.push_back(id);
    for (const auto& [id, digest] : options.pin_sha256)
        if (!options.pin_version.contains(id)) pinned.push_back(id);
    for (const auto& [tie, id] : options.prefer) selected.push_back(id);
    warn_of_unmatched(pinned, "plugins.pin", options, ids, warnings);
    warn_of_unmatched(selected, "plugins.select", options, ids, warnings);
}

void settle_duplicates(const Options& options, std::vector<Candidate>& candidates) {
    std::map<std::string, std::vector<Candidate*>> by_id;
    for (Candidate& candidate : candidates)
        if (usable(candidate)) by_id[candidate.manifest.id].push_back(&candidate);
    for (auto& [id, group] : by_id) {
        if (group.size() == 1) continue;
        if (const std::string* digest = find(options.pin_sha256, id)) keep_pinned(*digest, group);
        Candidate& first = *group.front();
        for (Candidate* other : group) {
            if (other == &first || first.state != State::discovered) continue;
            if (twins(first, *other)) {
                other->state = State::shadowed;
                other->reason = "the same plugin as " + first.manifest.path;
                continue;
            }
            const Error error = duplicate_error(options, first, *other);
            for (Candidate* each : group) {
                if (each->state != State::discovered) continue;
                each->state = State::duplicate;
                each->reason = "same id as " + (each == &first ? other : &first)->manifest.path;
                each->error = error;
            }
        }
    }
}

void settle_relations(const Options& options, std::vector<Candidate>& candidates) {
    const auto usable_one = [&](const std::string& id) -> Candidate* {
        const auto at = std::ranges::find_if(
            candidates, [&](const Candidate& c) { return usable(c) && c.manifest.id == id; });
        return at == candidates.end() ? nullptr : &*at;
    };
    std::vector<std::pair<Candidate*, std::string>> off;
    for (Candidate& candidate : candidates) {
        if (!usable(candidate)) continue;
        for (const std::string& id : candidate.manifest.conflicts) {
            Candidate* other = usable_one(id);
            if (!other || other == &candidate) continue;
            const bool mine = is_pinned(options, candidate.manifest.id), theirs = is_pinned(options, id);
            if (!mine || theirs)
                off.emplace_back(&candidate, "it conflicts with " + id + "; pin one of them");
            if (!theirs || mine)
                off.emplace_back(other, "it conflicts with " + candidate.manifest.id + "; pin one of them");
        }
    }
    for (auto& [candidate, reason] : off) turn_off(*candidate, reason);
    for (bool changed = true; changed;) {
        changed = false;
        for (Candidate& candidate : candidates)
            for (const std::string& id : candidate.manifest.needs)
                if (usable(candidate) && !usable_one(id)) {
                    turn_off(candidate, "it requires " + id + ", which is not available");
                    changed = true;
                }
    }
}

}  // namespace mortise::registry
