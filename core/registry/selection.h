// The state behind a Registry, and the steps that all choices share: which entries fit, opening one, ties,
// and the record of it all.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "registry/registry.h"
#include "registry/tables.h"

namespace mortise::registry {

// What is asked for, in words and as the key that settles a tie: "scheme.abc".
struct Question {
    Interface kind{};
    std::string subject;
    std::string key;
};

// An entry whose manifest fits the question.
struct Fit {
    Candidate* candidate = nullptr;
    const Provides* provided = nullptr;
    const void* table = nullptr;  // after open()
    uint32_t score = 0;
};

struct Registry::Rep {
    Options options;
    std::vector<Candidate> candidates;
    std::vector<Place> places;
    std::vector<Decision> decisions;
    std::vector<std::string> warnings;
    std::map<const Candidate*, std::vector<Entry>> opened;

    void record(const Question& question, const Fit& fit, std::string stage, bool yes, std::string reason);

    // Effect: entries of usable plugins that `fits` accepts; all others are recorded. `fits` gives a reason
    // against, or "". Errors: plugin_duplicate when such an entry belongs to a doubled id.
    using Filter = std::function<std::string(const Provides& provided)>;
    Result<std::vector<Fit>> fitting(const Question& question, const Filter& fits);

    // Effect: fit.table is set; the plugin is opened unless it is open. Errors: plugin_*, file_*.
    Status open(Fit& fit, const mortise_host& host);
    Status open(Candidate& candidate, const mortise_host& host);

    // Effect: the best by (operator's choice, score, priority). Requires: not empty.
    // Errors: plugin_ambiguous with the line that settles it.
    Result<Fit> best(const Question& question, const std::vector<Fit>& fits);

    // Effect: what was considered, from the record of `question`, for messages.
    std::string considered(const Question& question) const;
    // Effect: ids of the usable entries of an interface, sorted.
    std::vector<std::string> installed(Interface kind) const;
};

}  // namespace mortise::registry
