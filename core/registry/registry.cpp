#include "registry/registry.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "registry/filters.h"
#include "registry/search_path.h"
#include "registry/selection.h"

namespace mortise::registry {

namespace {

// Files met before, by device and inode: a link to a manifest is no second plugin.
using Seen = std::map<std::pair<uint64_t, uint64_t>, std::string>;

Candidate refused(Candidate candidate, Error error) {
    candidate.state = State::invalid;
    candidate.reason = to_string(error.first());
    candidate.error = std::move(error);
    return candidate;
}

Candidate read_candidate(const std::string& file, const Place& place, Seen& seen) {
    Candidate out;
    out.manifest.path = file;
    out.installed = place.installed;
    struct stat facts{};
    if (stat(file.c_str(), &facts) != 0)
        return refused(std::move(out),
                       Error(Problem{.code = Code::file_open, .what = std::strerror(errno), .file = file}));
    if (!S_ISREG(facts.st_mode))
        return refused(std::move(out),
                       Error(Problem{.code = Code::manifest_invalid,
                                     .what = "the manifest is no regular file",
                                     .file = file,
                                     .expected = "a YAML file",
                                     .found = S_ISDIR(facts.st_mode) ? "a folder" : "a special file"}));
    const auto [at, is_new] = seen.try_emplace({facts.st_dev, facts.st_ino}, file);
    auto manifest = read_manifest(file);
    if (!manifest) return refused(std::move(out), std::move(manifest).error());
    out.manifest = std::move(*manifest);
    if (!is_new) {
        out.state = State::shadowed;
        out.reason = "the same file as " + at->second;
    }
    return out;
}

void warn_of_path(Registry::Rep& rep) {
    for (const Place& place : rep.places) {
        const bool named = place.origin == "--plugin-dir" || place.origin == "plugins.search_path" ||
                           place.origin.starts_with("MORTISE_");
        if (named && !place.used && place.note != "named above already")
            rep.warnings.push_back("plugin folder " + place.path + " (" + place.origin + "): " + place.note);
    }
    for (const Candidate& candidate : rep.candidates)
        if (candidate.state == State::invalid || candidate.state == State::duplicate)
            for (const Problem& problem : candidate.error->problems()) {
                std::string text = to_string(problem);
                if (rep.warnings.empty() || rep.warnings.back() != text)
                    rep.warnings.push_back(std::move(text));
            }
}

}  // namespace

std::string_view name(State state) {
    switch (state) {
        case State::invalid: return "invalid";
        case State::disabled: return "off";
        case State::duplicate: return "duplicate";
        case State::shadowed: return "shadowed";
        case State::discovered: return "available";
        case State::ready: return "ready";
        case State::failed: return "failed";
    }
    return "unknown";
}

Registry::Registry(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Registry::Registry(Registry&&) noexcept = default;
Registry& Registry::operator=(Registry&&) noexcept = default;
Registry::~Registry() = default;

Result<Registry> Registry::discover(const Options& options) {
    auto rep = std::make_unique<Rep>();
    rep->options = options;
    MORTISE_TRY(rep->places, search_path(options.search));
    Seen seen;
    for (Place& place : rep->places) {
        if (!place.used) continue;
        for (const std::string& file : manifests_in(place))
            rep->candidates.push_back(read_candidate(file, place, seen));
    }
    apply_filters(options, rep->candidates, rep->warnings);
    settle_duplicates(options, rep->candidates);
    settle_relations(options, rep->candidates);
    warn_of_path(*rep);
    return Registry(std::move(rep));
}

const std::vector<Candidate>& Registry::candidates() const { return rep_->candidates; }
std::vector<Error> Registry::broken_manifests() const {
    std::vector<Error> out;
    for (const Candidate& candidate : rep_->candidates)
        if (candidate.state == State::invalid) out.push_back(*candidate.error);
    return out;
}
const std::vector<Place>& Registry::places() const { return rep_->places; }
const std::vector<Decision>& Registry::decisions() const { return rep_->decisions; }
const std::vector<std::string>& Registry::warnings() const { return rep_->warnings; }

Status Registry::open(size_t index, const mortise_host& host) {
    return rep_->open(rep_->candidates.at(index), host);
}

}  // namespace mortise::registry
