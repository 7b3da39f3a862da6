// plugins: which there are, where they come from, whether they are sound, and why one was chosen.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/codes.h"
#include "base/json.h"
#include "base/text.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/plugin_probe.h"
#include "mortise/session.h"

namespace mortise::tool {

namespace {

namespace fs = std::filesystem;

std::string provided(const registry::Manifest& manifest) {
    std::vector<std::string> out;
    for (const auto& each : manifest.provides) out.push_back(fmt::format("{}:{}", name(each.kind), each.id));
    return join(out, " ");
}

void write_candidate(json::Writer& out, const registry::Candidate& each) {
    out.begin_object().entry("id", each.manifest.id).entry("version", each.manifest.version);
    out.entry("state", name(each.state)).entry("reason", each.reason);
    out.entry("manifest", each.manifest.path).entry("library", each.manifest.library);
    out.key("provides").begin_array();
    for (const auto& entry : each.manifest.provides) {
        out.begin_object().entry("interface", name(entry.kind)).entry("id", entry.id);
        out.entry("priority", entry.priority).end_object();
    }
    out.end_array().end_object();
}

int list(const registry::Registry& plugins, bool as_json, bool all) {
    auto hidden = [all](const registry::Candidate& each) {
        return !all && each.state == registry::State::shadowed;
    };
    if (as_json) {
        json::Writer out(2);
        out.begin_object().entry("schema", "mortise.plugins/v1").key("plugins").begin_array();
        for (const auto& each : plugins.candidates()) {
            if (!hidden(each)) write_candidate(out, each);
        }
        out.end_array().end_object();
        line(out.take());
    } else {
        Table table("lllll");
        table.add({"id", "version", "state", "provides", "manifest"});
        for (const auto& each : plugins.candidates()) {
            if (hidden(each)) continue;
            std::string state(name(each.state));
            if (!each.reason.empty()) state += fmt::format(" ({})", each.reason);
            table.add({each.manifest.id, each.manifest.version, state, provided(each.manifest),
                       each.manifest.path});
        }
        print(table.text());
    }
    return plugins.broken_manifests().empty() ? 0 : 1;
}

void describe(const registry::Manifest& m) {
    auto row = [](std::string_view key, std::string_view value) {
        if (!value.empty()) line(fmt::format("{:14}{}", key, value));
    };
    row("id", m.id);
    row("version", m.version);
    row("vendor", m.vendor);
    row("license", m.license);
    row("description", m.description);
    row("manifest", m.path);
    row("library", m.library);
    row("sha256", m.sha256);
    row("switched off", m.disable_env.empty() ? "" : fmt::format("by {}=1", m.disable_env));
    for (const auto& each : m.provides) {
        row("provides",
            fmt::format("{} {} (priority {}, line {})", name(each.kind), each.id, each.priority, each.line));
        auto rule = [&row](std::string_view key, const std::vector<std::string>& values) {
            if (!values.empty()) row("", fmt::format("  {}: {}", key, join(values, ", ")));
        };
        rule("quantization methods", each.quant_methods);
        rule("name spaces", each.name_spaces);
        rule("architectures", each.architectures);
        rule("model types", each.model_types);
        rule("file names", each.suffixes);
        if (!each.device.empty()) row("", "  device: " + each.device);
    }
}

void describe(const registry::LibraryFacts& library) {
    line(fmt::format("{:14}{}.{}", "needs ABI", library.abi_major, library.abi_minor));
    if (!library.build_id.empty()) line(fmt::format("{:14}{}", "build id", library.build_id));
}

Result<int> show(const registry::Registry& plugins, const std::string& id, bool as_json) {
    std::vector<std::string> known;
    for (const auto& each : plugins.candidates()) {
        known.push_back(each.manifest.id);
        if (each.manifest.id != id) continue;
        if (as_json) {
            json::Writer out(2);
            write_candidate(out, each);
            line(out.take());
            return 0;
        }
        describe(each.manifest);
        line(fmt::format("{:14}{}{}", "state", name(each.state),
                         each.reason.empty() ? "" : ", " + each.reason));
        MORTISE_TRY(auto library, registry::examine(each.manifest.library));
        describe(library);
        return 0;
    }
    return fail(Problem{
        .code = Code::usage,
        .what = fmt::format("no plugin is called '{}'", id),
        .fix = known.empty() ? "none is installed: see mortise plugins doctor" : did_you_mean(id, known)});
}

// Manifests that PATH means: itself, the one beside a library, or those of a folder.
std::vector<std::string> manifests_of(const fs::path& path) {
    std::error_code error;
    if (path.extension() == ".so") return {fs::path(path).replace_extension(".yaml").string()};
    if (!fs::is_directory(path, error)) return {path.string()};
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path, error)) {
        if (entry.path().extension() == ".yaml") out.push_back(entry.path().string());
    }
    std::ranges::sort(out);
    return out;
}

Result<int> check(const std::string& path, bool color) {
    std::vector<std::string> manifests = manifests_of(path);
    if (manifests.empty()) {
        return fail(Problem{.code = Code::usage,
                            .what = "no manifest (.yaml) lies there",
                            .file = path,
                            .fix = "name a folder of plugins"});
    }
    Problems problems;
    for (const std::string& manifest : manifests) {
        auto probe = probe_plugin(manifest);
        line(fmt::format("{}  {}",
                         paint(probe ? Color::green : Color::red, probe ? "ok    " : "failed", color),
                         manifest));
        if (!probe) problems.add(probe.error());
    }
    MORTISE_CHECK(std::move(problems).status());
    return 0;
}

void doctor(const registry::Registry& plugins, Problems& problems) {
    line("searched, in this order:");
    for (const auto& place : plugins.places()) {
        line(fmt::format("  {} {}  ({}{}{})", place.used ? "+" : "-", place.path, place.origin,
                         place.note.empty() ? "" : ": ", place.note));
    }
    size_t usable = 0;
    for (const auto& each : plugins.candidates()) {
        bool good = each.state == registry::State::discovered || each.state == registry::State::ready;
        usable += good ? 1 : 0;
        if (!good) line(fmt::format("  {} {}: {}", name(each.state), each.manifest.path, each.reason));
    }
    line(fmt::format("plugins: {} usable of {} found", usable, plugins.candidates().size()));
    for (const std::string& warning : plugins.warnings()) line("warning: " + warning);
    for (const Error& broken : plugins.broken_manifests()) problems.add(broken);
}

void why(const registry::Registry& plugins, bool as_json) {
    if (as_json) {
        json::Writer out(2);
        out.begin_object().entry("schema", "mortise.decisions/v1").key("decisions").begin_array();
        for (const auto& each : plugins.decisions()) {
            out.begin_object().entry("subject", each.subject).entry("plugin", each.plugin);
            out.entry("entry", each.entry).entry("stage", each.stage).entry("accepted", each.accepted);
            out.entry("score", static_cast<uint64_t>(each.score)).entry("reason", each.reason).end_object();
        }
        out.end_array().end_object();
        line(out.take());
        return;
    }
    std::string subject;
    for (const auto& each : plugins.decisions()) {
        if (each.subject != subject) line(each.subject);
        subject = each.subject;
        line(fmt::format("  {} {:32} {:8} {:>5}  {}", each.accepted ? "+" : "-",
                         fmt::format("{} ({})", each.entry, each.plugin), each.stage, each.score,
                         each.reason));
    }
}

class Plugins : public Command {
  public:
    void declare(CLI::App& app) override {
        app.require_subcommand(1);
        auto* list_command = app.add_subcommand("list", "every plugin, its state and what it provides");
        list_command->add_flag("--all", all_, "shadowed ones too");
        auto* show_command = app.add_subcommand("show", "one plugin: manifest and library");
        show_command->add_option("id", id_, "plugin id")->required()->option_text("ID");
        auto* check_command =
            app.add_subcommand("check", "is this plugin sound? opens it in a child process");
        check_command->add_option("path", path_, "manifest, library, or folder of plugins")
            ->required()
            ->option_text("PATH");
        auto* why_command =
            app.add_subcommand("why", "every candidate for this checkpoint, and what decided");
        why_command->add_option("checkpoint", checkpoint_, "checkpoint; else --config")->option_text("MODEL");
        app.add_subcommand("doctor", "where plugins are looked for, and what is wrong there");
        app_ = &app;
    }

    Result<int> run(Session& session) override {
        std::string verb = app_->get_subcommands().front()->get_name();
        if (verb == "check") return check(path_, session.color());
        MORTISE_TRY(registry::Registry * plugins, session.registry());
        if (verb == "show") return show(*plugins, id_, session.json());
        if (verb == "why") return why_chosen(session, *plugins);
        if (verb == "list") return list(*plugins, session.json(), all_);
        Problems problems;
        doctor(*plugins, problems);
        MORTISE_CHECK(std::move(problems).status());
        return 0;
    }

  private:
    Result<int> why_chosen(Session& session, registry::Registry& plugins) {
        std::string path = checkpoint_;
        if (path.empty()) {
            MORTISE_TRY(path, session.model());
        }
        auto planned = session.plan(path, true);
        why(plugins, session.json());  // the decisions are worth reading above all when there is no plan
        if (!planned) return std::unexpected(planned.error());
        return 0;
    }

    CLI::App* app_ = nullptr;
    std::string id_, path_, checkpoint_;
    bool all_ = false;
};

const Registration registration({.name = "plugins",
                                 .summary = "list, check and explain plugins",
                                 .examples = "  mortise plugins list\n"
                                             "  mortise plugins why models/my-checkpoint\n"
                                             "  mortise plugins check ./my-plugins\n",
                                 .uses = Uses::planning,
                                 .takes_model = false},
                                make_command<Plugins>);

}  // namespace

}  // namespace mortise::tool
