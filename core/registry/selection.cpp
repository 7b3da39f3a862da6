#include "registry/selection.h"

#include <algorithm>
#include <tuple>

#include "base/log.h"
#include "base/text.h"
#include "registry/open_plugin.h"

namespace mortise::registry {

namespace {

bool usable(const Candidate& candidate) {
    return candidate.state == State::discovered || candidate.state == State::ready;
}

std::string place(const Fit& fit) {
    return fit.candidate->manifest.path + ":" + std::to_string(fit.provided->line);
}

}  // namespace

void Registry::Rep::record(const Question& question, const Fit& fit, std::string stage, bool yes,
                           std::string reason) {
    decisions.push_back({question.kind, question.subject, fit.candidate->manifest.id, fit.provided->id,
                         std::move(stage), yes, fit.score, fit.provided->priority, std::move(reason),
                         place(fit)});
}

Result<std::vector<Fit>> Registry::Rep::fitting(const Question& question, const Filter& fits) {
    std::vector<Fit> out;
    for (Candidate& candidate : candidates) {
        for (const Provides& provided : candidate.manifest.provides) {
            if (provided.kind != question.kind) continue;
            const Fit fit{&candidate, &provided};
            if (std::string against = fits(provided); !against.empty()) {
                record(question, fit, "manifest", false, std::move(against));
                continue;
            }
            if (candidate.state == State::duplicate) return std::unexpected(*candidate.error);
            if (!usable(candidate)) {
                record(question, fit, "state", false,
                       std::string(name(candidate.state)) + ": " + candidate.reason);
                continue;
            }
            out.push_back(fit);
        }
    }
    return out;
}

Status Registry::Rep::open(Candidate& candidate, const mortise_host& host) {
    if (opened.contains(&candidate)) return {};
    if (candidate.state == State::failed) return std::unexpected(*candidate.error);
    if (candidate.state != State::discovered)
        return fail(Problem{.code = Code::plugin_disabled,
                            .what = "plugin " + candidate.manifest.id + " is " +
                                    std::string(name(candidate.state)) + ": " + candidate.reason,
                            .file = candidate.manifest.path});
    auto entries = [&]() -> Result<std::vector<Entry>> {
        MORTISE_TRY(CheckedFile checked, check_file(candidate, options));
        candidate.warnings = checked.warnings;
        if (!candidate.installed)  // what is wrong with the installation itself is for `plugins doctor`
            for (const std::string& warning : checked.warnings)
                log::warn("plugin " + candidate.manifest.id + ": " + warning);
        return open_plugin(candidate, std::move(checked), options, host);
    }();
    if (!entries) {
        candidate.state = State::failed;
        candidate.error = entries.error();
        candidate.reason = to_string(entries.error().first());
        return std::unexpected(std::move(entries).error());
    }
    candidate.state = State::ready;
    candidate.reason = "opened";
    opened.emplace(&candidate, std::move(*entries));
    return {};
}

Status Registry::Rep::open(Fit& fit, const mortise_host& host) {
    MORTISE_CHECK(open(*fit.candidate, host));
    const std::vector<Entry>& entries = opened.at(fit.candidate);
    const auto at = std::ranges::find_if(entries, [&](const Entry& entry) {
        return entry.kind == fit.provided->kind && entry.id == fit.provided->id;
    });
    MORTISE_INVARIANT(at != entries.end());
    fit.table = at->table;
    return {};
}

Result<Fit> Registry::Rep::best(const Question& question, const std::vector<Fit>& fits) {
    std::string wanted;
    for (const std::string& key : {question.key, std::string(name(question.kind))})
        if (const auto at = options.prefer.find(key); wanted.empty() && at != options.prefer.end())
            wanted = at->second;
    const auto rank = [&](const Fit& fit) {
        return std::tuple(fit.candidate->manifest.id == wanted, fit.score, fit.provided->priority);
    };
    const auto top = std::ranges::max_element(fits, {}, rank);
    const auto tie =
        std::ranges::find_if(fits, [&](const Fit& fit) { return &fit != &*top && rank(fit) == rank(*top); });
    if (tie == fits.end()) {
        const bool by_operator = fits.size() > 1 && std::get<0>(rank(*top));
        record(question, *top, "chosen", true,
               fits.size() == 1 ? "the only one"
               : by_operator    ? "plugins.select"
                                : "best score, then priority");
        return *top;
    }
    for (const Fit& fit : {*top, *tie}) record(question, fit, "chosen", false, "ties with another plugin");
    const std::string file = options.file.empty() ? "the deployment file" : options.file;
    return fail(Problem{.code = Code::plugin_ambiguous,
                        .what = "two plugins tie for " + question.subject + " (score " +
                                std::to_string(top->score) + ", priority " +
                                std::to_string(top->provided->priority) + ")",
                        .expected = "one",
                        .found = top->candidate->manifest.id + " (" + place(*top) + ") and " +
                                 tie->candidate->manifest.id + " (" + place(*tie) + ")",
                        .fix = "write into " + file + ": plugins.select: {" + question.key + ": " +
                               top->candidate->manifest.id + "}"});
}

std::string Registry::Rep::considered(const Question& question) const {
    std::vector<std::string> texts;
    for (const Decision& decision : decisions) {
        if (decision.kind != question.kind || decision.subject != question.subject || decision.accepted)
            continue;
        if (decision.stage == "manifest") continue;  // all that is installed: too much to read
        const std::string text = decision.entry + " (" + decision.reason + ")";
        if (std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
    }
    for (const Candidate& candidate : candidates)
        if (candidate.state == State::invalid)
            texts.push_back(candidate.manifest.path + " (invalid manifest)");
    return join(texts, "; ");
}

std::vector<std::string> Registry::Rep::installed(Interface kind) const {
    std::vector<std::string> ids;
    for (const Candidate& candidate : candidates)
        for (const Provides& provided : candidate.manifest.provides)
            if (usable(candidate) && provided.kind == kind) ids.push_back(provided.id);
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

}  // namespace mortise::registry
