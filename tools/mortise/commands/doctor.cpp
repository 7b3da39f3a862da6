// doctor: what a report of a problem should begin with.
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "mortise/command.h"
#include "mortise/machine.h"
#include "mortise/output.h"
#include "mortise/session.h"
#include "mortise/version.h"

namespace mortise::tool {

namespace {

// Variables that change what this program does, as far as they are set.
std::vector<std::string> variables() {
    std::vector<std::string> out;
    for (char** each = environ; *each; ++each) {
        std::string_view text = *each;
        for (std::string_view prefix :
             {"MORTISE_", "HF_HOME=", "HF_HUB_CACHE=", "NO_COLOR=", "CLICOLOR_FORCE="}) {
            if (text.starts_with(prefix)) out.emplace_back(text);
        }
    }
    return out;
}

void print_json(Session& session, const Machine& m, const registry::Registry& plugins) {
    Version v = version();
    json::Writer out(2);
    out.begin_object().entry("schema", "mortise.doctor/v1");
    out.entry("version", v.version).entry("abi", v.abi).entry("commit", v.commit);
    out.entry("compiler", v.compiler).entry("build", v.build);
    out.entry("system", m.system).entry("kernel", m.kernel).entry("cpu", m.cpu);
    out.entry("cores", m.cores).entry("threads", int64_t{session.deployment().threads});
    out.key("cpu_features").begin_array();
    for (const auto& feature : m.vector_features) out.value(feature);
    out.end_array();
    out.entry("memory_total", m.memory_total).entry("memory_available", m.memory_available);
    out.entry("memory_limit", m.memory_limit).entry("open_files", m.open_files);
    out.key("environment").begin_array();
    for (const auto& variable : variables()) out.value(variable);
    out.end_array().key("plugin_places").begin_array();
    for (const auto& place : plugins.places()) {
        out.begin_object().entry("path", place.path).entry("origin", place.origin);
        out.entry("used", place.used).entry("note", place.note).end_object();
    }
    out.end_array().key("plugins").begin_array();
    for (const auto& each : plugins.candidates()) {
        out.begin_object().entry("id", each.manifest.id).entry("version", each.manifest.version);
        out.entry("state", name(each.state)).end_object();
    }
    out.end_array().end_object();
    line(out.take());
}

void print_text(Session& session, const Machine& m, const registry::Registry& plugins) {
    auto row = [](std::string_view name, const std::string& value) {
        line(fmt::format("{:16}{}", name, value));
    };
    row("version", version_line());
    row("system", fmt::format("{}, {}", m.system, m.kernel));
    row("cpu", m.cpu);
    row("cores", fmt::format("{} usable, {} threads by the settings", m.cores, session.deployment().threads));
    row("cpu features", m.vector_features.empty() ? "none" : join(m.vector_features, " "));
    row("memory",
        fmt::format("{} in all, {} available", human_bytes(m.memory_total), human_bytes(m.memory_available)));
    if (m.memory_limit > 0) row("memory limit", human_bytes(m.memory_limit) + " by the control group");
    row("open files", fmt::format("{} at most", m.open_files));
    for (const auto& variable : variables()) row("environment", variable);
    for (const auto& place : plugins.places()) {
        if (place.used) row("plugin folder", fmt::format("{} ({})", place.path, place.origin));
    }
    for (const auto& each : plugins.candidates()) {
        row("plugin", fmt::format("{} {}, {}", each.manifest.id, each.manifest.version, name(each.state)));
    }
}

class Doctor : public Command {
  public:
    Result<int> run(Session& session) override {
        MORTISE_TRY(const registry::Registry* plugins, session.registry());
        if (session.json()) {
            print_json(session, machine(), *plugins);
        } else {
            print_text(session, machine(), *plugins);
        }
        Problems problems;
        for (const Error& broken : plugins->broken_manifests()) problems.add(broken);
        MORTISE_CHECK(std::move(problems).status());
        return 0;
    }
};

const Registration registration({.name = "doctor",
                                 .summary = "this machine, versions, plugins",
                                 .examples = "  mortise doctor\n"
                                             "  mortise doctor --json\n"
                                             "  mortise doctor --plugin-dir ./plugins\n",
                                 .uses = Uses::nothing,
                                 .takes_model = false},
                                make_command<Doctor>);

}  // namespace

}  // namespace mortise::tool
