// Selection of the scheme: the manifests' pre-filter, then every remaining plugin's own verdict.

#include <algorithm>

#include "registry/registry.h"

namespace mortise::registry {
namespace {

bool has(const std::vector<std::string>& list, std::string_view word) { return std::find(list.begin(), list.end(), word) != list.end(); }

bool admits(const Provides& provides, const std::string& method, const std::string& name_space) {
    if (name_space.empty() ? !provides.name_spaces.empty() && !has(provides.name_spaces, "") : !has(provides.name_spaces, name_space)) return false;
    return !name_space.empty() || has(provides.quant_methods, method);
}

}  // namespace

Result<Chosen<mortise_scheme_v1>> Registry::scheme_by_id(const std::string& id, const mortise_host& host) {
    std::string installed;
    for (const Entry& entry : entries(Interface::scheme)) {
        installed += (installed.empty() ? "" : ", ") + entry.provides->id;
        if (entry.provides->id != id || candidates_[entry.candidate].state >= State::disabled) continue;
        MORTISE_TRY(const void* found, table(entry, host));
        return Chosen<mortise_scheme_v1>{id, static_cast<const mortise_scheme_v1*>(found)};
    }
    return fail(Problem{.code = Code::unsupported_scheme, .what = "no scheme is called '" + id + "'", .expected = "one of " + installed, .found = id});
}

Result<Chosen<mortise_scheme_v1>> Registry::scheme(const std::string& method, const std::string& name_space, const std::string& forced,
                                                   const mortise_host& host, const Match& match) {
    const std::string subject = "scheme for " + (method.empty() ? "an unquantized config" : "'" + method + "'");
    struct Bid {
        Entry entry;
        const mortise_scheme_v1* table;
        Verdict verdict;
    };
    std::vector<Bid> bids;
    std::string reasons;
    for (const Entry& entry : entries(Interface::scheme)) {
        const Candidate& candidate = candidates_[entry.candidate];
        const bool wanted = forced.empty() ? admits(*entry.provides, method, name_space) : entry.provides->id == forced;
        if (!wanted || candidate.state >= State::disabled) {
            record(subject, entry, "filter", false, 0, candidate.state >= State::disabled ? candidate.reason : "manifest does not list it");
            if (wanted) reasons += "; " + entry.provides->id + " is " + std::string(name(candidate.state)) + ": " + candidate.reason;
            continue;
        }
        MORTISE_TRY(const void* found, table(entry, host));
        const auto* scheme = static_cast<const mortise_scheme_v1*>(found);
        MORTISE_TRY(const Verdict verdict, match(*scheme, entry.provides->id));
        record(subject, entry, "match", verdict.yes, verdict.score, verdict.reason);
        if (verdict.yes) bids.push_back({entry, scheme, verdict});
        else reasons += "; " + entry.provides->id + ": " + verdict.reason;
    }
    if (bids.empty())
        return fail(Problem{.code = Code::unsupported_scheme, .what = "no plugin reads this quantization",
                            .expected = "a scheme for " + (method.empty() ? std::string("float weights") : "'" + method + "'"),
                            .found = reasons.empty() ? "no installed scheme lists it" : reasons.substr(2),
                            .fix = "see `mortise plugins why` and install a plugin for this format"});
    std::stable_sort(bids.begin(), bids.end(), [](const Bid& a, const Bid& b) {
        return std::pair(a.verdict.score, a.entry.provides->priority) > std::pair(b.verdict.score, b.entry.provides->priority);
    });
    if (bids.size() > 1 && bids[0].verdict.score == bids[1].verdict.score && bids[0].entry.provides->priority == bids[1].entry.provides->priority)
        return fail(Problem{.code = Code::plugin_ambiguous, .what = "two schemes claim this checkpoint with the same score", .expected = "one",
                            .found = bids[0].entry.provides->id + " and " + bids[1].entry.provides->id,
                            .fix = "choose one with --scheme " + bids[0].entry.provides->id + " or disable the other plugin"});
    record(subject, bids[0].entry, "chosen", true, bids[0].verdict.score, bids[0].verdict.reason);
    return Chosen<mortise_scheme_v1>{bids[0].entry.provides->id, bids[0].table};
}

}  // namespace mortise::registry
