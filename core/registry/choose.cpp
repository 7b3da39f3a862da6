// The four questions: which architecture, scheme, container, kernels.
#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "registry/filters.h"
#include "registry/plugin_call.h"
#include "registry/selection.h"

namespace mortise::registry {

namespace {

bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::ranges::find(list, text) != list.end();
}

std::string quoted_list(const std::vector<std::string>& list) {
    return list.empty() ? "none" : join(list, ", ");
}

template <class Table>
Chosen<Table> chosen(const Fit& fit) {
    return {fit.provided->id, static_cast<const Table*>(fit.table), fit.candidate->manifest.id};
}

mortise_str borrow(const std::string& text) { return {text.data(), text.size()}; }

std::string scheme_against(const Provides& provided, const std::string& method,
                           const std::string& name_space) {
    const std::vector<std::string>& spaces = provided.name_spaces;
    if (!contains(spaces, name_space) && !(spaces.empty() && name_space.empty()))
        return "reads other containers";
    if (!name_space.empty()) return {};  // a container's own encodings say more than a config
    if (contains(provided.quant_methods, method)) return {};
    return method.empty() ? "is for quantized checkpoints" : "reads " + quoted_list(provided.quant_methods);
}

// The plugin's own list must hold what its manifest was chosen for.
bool lists(const mortise_architecture_v1& table, const std::string& architecture, const std::string& type) {
    const auto holds = [](uint64_t n, const mortise_str* list, const std::string& text) {
        for (uint64_t i = 0; i < n; ++i)
            if (std::string_view(list[i].data, list[i].size) == text) return true;
        return false;
    };
    return architecture.empty() ? holds(table.n_types, table.types, type)
                                : holds(table.n_names, table.names, architecture);
}

Problem no_scheme(const Registry::Rep& rep, const Question& question, const std::string& method) {
    const std::vector<std::string> installed = rep.installed(Interface::scheme);
    std::string considered = rep.considered(question);
    return {.code = Code::unsupported_scheme,
            .what = method.empty() ? "no plugin reads this checkpoint's weights"
                                   : "no plugin reads " + question.subject,
            .expected = "one of the installed schemes: " + quoted_list(installed),
            .found = considered.empty() ? "none whose manifest names it" : "considered " + considered,
            .fix =
                "install a plugin for it, or name its folder with --plugin-dir; `mortise plugins why` tells "
                "more"};
}

}  // namespace

Result<Chosen<mortise_architecture_v1>> Registry::architecture(const std::string& architecture,
                                                               const std::string& model_type,
                                                               const mortise_host& host) {
    const bool by_type = architecture.empty();
    const std::string& wanted = by_type ? model_type : architecture;
    const Question question{Interface::architecture,
                            (by_type ? "model_type '" : "architecture '") + wanted + "'",
                            "architecture." + wanted};
    MORTISE_TRY(std::vector<Fit> fits, rep_->fitting(question, [&](const Provides& provided) -> std::string {
        const std::vector<std::string>& list = by_type ? provided.model_types : provided.architectures;
        return contains(list, wanted) ? "" : "is for " + quoted_list(list);
    }));
    if (fits.empty()) {
        std::vector<std::string> known;
        for (const Candidate& candidate : rep_->candidates)
            for (const Provides& provided : candidate.manifest.provides)
                known.insert(known.end(), provided.architectures.begin(), provided.architectures.end());
        const std::string considered = rep_->considered(question);
        const std::string hint = did_you_mean(wanted, known);
        return fail(Problem{
            .code = Code::unsupported_architecture,
            .what = wanted.empty() ? "the config names no architecture and no model_type"
                                   : "no plugin builds " + question.subject,
            .expected = "one of the installed architectures: " +
                        quoted_list(rep_->installed(Interface::architecture)),
            .found = considered.empty() ? "none whose manifest names it" : "considered " + considered,
            .fix = hint.empty() ? "install a plugin for it, or name its folder with --plugin-dir" : hint});
    }
    MORTISE_TRY(Fit fit, rep_->best(question, fits));
    MORTISE_CHECK(rep_->open(fit, host));
    auto out = chosen<mortise_architecture_v1>(fit);
    if (!lists(*out.table, architecture, model_type))
        return fail(Problem{.code = Code::plugin_mismatch,
                            .what = "plugin " + out.plugin + " does not build what its manifest names",
                            .file = fit.candidate->manifest.path,
                            .line = fit.provided->line,
                            .expected = "'" + wanted + "' among the names of its table",
                            .found = "other names"});
    return out;
}

Result<Chosen<mortise_scheme_v1>> Registry::scheme(const std::string& method, const std::string& name_space,
                                                   const std::string& forced, const mortise_host& host,
                                                   const Match& match) {
    const Question question{Interface::scheme,
                            method.empty()
                                ? (name_space.empty() ? "plain weights" : "weights in '" + name_space + "'")
                                : "quantization '" + method + "'",
                            method.empty() ? "scheme" : "scheme." + method};
    MORTISE_TRY(std::vector<Fit> fits, rep_->fitting(question, [&](const Provides& provided) -> std::string {
        if (!forced.empty()) return provided.id == forced ? "" : "not the scheme that was asked for";
        return scheme_against(provided, method, name_space);
    }));
    if (!forced.empty() && fits.empty()) {
        const std::vector<std::string> installed = rep_->installed(Interface::scheme);
        return fail(Problem{.code = Code::unsupported_scheme,
                            .what = "no scheme '" + forced + "' to use",
                            .expected = "one of " + quoted_list(installed),
                            .found = rep_->considered(question),
                            .fix = did_you_mean(forced, installed)});
    }
    std::vector<Fit> willing;
    Problems problems;
    for (Fit& fit : fits) {
        if (auto status = rep_->open(fit, host); !status) {
            rep_->record(question, fit, "open", false, to_string(status.error().first()));
            problems.add(status.error());
            continue;
        }
        auto verdict = match(*static_cast<const mortise_scheme_v1*>(fit.table), fit.provided->id);
        if (!verdict) {
            rep_->record(question, fit, "match", false, to_string(verdict.error().first()));
            problems.add(verdict.error());
            continue;
        }
        fit.score = verdict->score;
        rep_->record(question, fit, "match", verdict->yes, verdict->reason);
        if (verdict->yes) willing.push_back(fit);
    }
    if (willing.empty()) {
        MORTISE_CHECK(std::move(problems).status());  // a broken plugin may be the one that was meant
        return fail(no_scheme(*rep_, question, method));
    }
    if (auto broken = std::move(problems).status(); !broken)
        log::warn("another plugin for " + question.subject +
                  " is unusable: " + to_string(broken.error().first()));
    MORTISE_TRY(const Fit fit, rep_->best(question, willing));
    return chosen<mortise_scheme_v1>(fit);
}

Result<Chosen<mortise_scheme_v1>> Registry::scheme_by_id(const std::string& id, const mortise_host& host) {
    return scheme({}, {}, id, host, [](const mortise_scheme_v1&, std::string_view) {
        return Verdict{true, 0, "asked for by name"};
    });
}

Result<Chosen<mortise_container_v1>> Registry::container(const std::string& file_name,
                                                         const std::string& first_bytes,
                                                         const mortise_host& host) {
    const Question question{Interface::container, "file '" + file_name + "'", "container"};
    MORTISE_TRY(std::vector<Fit> fits, rep_->fitting(question, [&](const Provides& provided) -> std::string {
        const auto ends = [&](const std::string& suffix) { return file_name.ends_with(suffix); };
        const auto begins = [&](const std::string& bytes) {
            return !bytes.empty() && first_bytes.starts_with(bytes);
        };
        const bool fits_name = std::ranges::any_of(provided.suffixes, ends);
        return fits_name || std::ranges::any_of(provided.first_bytes, begins)
                   ? ""
                   : "other suffix and first bytes";
    }));
    std::vector<Fit> willing;
    for (Fit& fit : fits) {
        MORTISE_CHECK(rep_->open(fit, host));
        const auto& table = *static_cast<const mortise_container_v1*>(fit.table);
        const bool yes = PluginCall::call(
            [&] { return table.probe(borrow(file_name), first_bytes.data(), first_bytes.size()) != 0; });
        rep_->record(question, fit, "match", yes, yes ? "its probe says yes" : "its probe says no");
        if (yes) willing.push_back(fit);
    }
    if (willing.empty()) return Chosen<mortise_container_v1>{};
    MORTISE_TRY(const Fit fit, rep_->best(question, willing));
    return chosen<mortise_container_v1>(fit);
}

Result<std::vector<Chosen<mortise_kernels_v1>>> Registry::kernels(const std::string& device,
                                                                  const std::vector<std::string>& forbid,
                                                                  const mortise_host& host) {
    const Question question{Interface::kernels, "device '" + device + "'", "kernels"};
    MORTISE_TRY(std::vector<Fit> fits, rep_->fitting(question, [&](const Provides& provided) -> std::string {
        return provided.device == device ? "" : "is for " + provided.device;
    }));
    std::ranges::stable_sort(fits, std::greater{}, [](const Fit& fit) { return fit.provided->priority; });
    std::vector<Chosen<mortise_kernels_v1>> out;
    for (Fit& fit : fits) {
        const auto bars = [&](const std::string& pattern) {
            return matches(pattern, fit.provided->id) || matches(pattern, fit.candidate->manifest.id);
        };
        if (const auto bar = std::ranges::find_if(forbid, bars); bar != forbid.end()) {
            rep_->record(question, fit, "state", false, "forbidden by '" + *bar + "'");
            continue;
        }
        if (auto status = rep_->open(fit, host); !status) {
            rep_->record(question, fit, "open", false, to_string(status.error().first()));
            log::warn("kernel provider " + fit.provided->id +
                      " is unusable: " + to_string(status.error().first()));
            continue;
        }
        rep_->record(question, fit, "chosen", true, "offered to the plan");
        out.push_back(chosen<mortise_kernels_v1>(fit));
    }
    return out;
}

}  // namespace mortise::registry
