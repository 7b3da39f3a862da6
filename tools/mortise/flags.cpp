#include "mortise/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

namespace mortise::tool {

namespace {

std::string names_of(const deploy::Setting& setting) {
    std::string names = fmt::format("--{}", setting.flag);
    if (!setting.alias.empty()) names += fmt::format(",{}", setting.alias);
    return names;
}

std::string help_of(const deploy::Setting& setting) {
    std::string help(setting.help);
    if (setting.type == deploy::Type::text && !setting.rule.empty())
        help += fmt::format(" ({})", setting.rule);
    if (!setting.fallback.empty() && setting.type != deploy::Type::boolean)
        help += fmt::format(" [{}]", setting.fallback);
    return help;
}

const char* operand_of(deploy::Type type) {
    switch (type) {
        case deploy::Type::integer:
        case deploy::Type::real: return "N";
        case deploy::Type::path:
        case deploy::Type::path_list: return "PATH";
        default: return "X";
    }
}

}  // namespace

void Flags::declare_group(deploy::Group group, CLI::App& app) {
    for (const deploy::Setting& setting : deploy::settings()) {
        if (setting.group != group || setting.flag.empty()) continue;
        std::string key(setting.key);
        if (setting.type == deploy::Type::boolean) {
            app.add_flag(names_of(setting), switches_[key], help_of(setting));
            continue;
        }
        bool repeatable = setting.type == deploy::Type::text_list || setting.type == deploy::Type::path_list;
        app.add_option(names_of(setting), texts_[key], help_of(setting))
            ->option_text(operand_of(setting.type))
            ->allow_extra_args(false)
            ->multi_option_policy(repeatable ? CLI::MultiOptionPolicy::TakeAll
                                             : CLI::MultiOptionPolicy::TakeLast);
    }
}

void Flags::declare_common(CLI::App& root) {
    root.add_option("--config", talk.config, "deployment file (YAML)")
        ->option_text("FILE")
        ->envname("MORTISE_CONFIG");
    root.add_flag("--json", talk.json, "results, and errors, as JSON");
    root.add_flag("--quiet", talk.quiet, "no progress, only errors on standard error");
    root.add_flag("--no-progress", talk.no_progress, "no progress bar");
    root.add_option("--color", talk.color, "colours in text (auto|always|never) [auto]")
        ->option_text("X")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    declare_group(deploy::Group::every_command, root);
}

void Flags::declare_for(const CommandFacts& facts, CLI::App& command) {
    if (facts.takes_model) {
        command
            .add_option("model,--model", talk.model,
                        "checkpoint folder, weights file, or org/name in the local cache")
            ->option_text("MODEL");
    }
    if (facts.uses != Uses::nothing) declare_group(deploy::Group::planning, command);
    if (facts.uses == Uses::sampling) declare_group(deploy::Group::sampling, command);
}

std::vector<deploy::Flag> Flags::typed() const {
    std::vector<deploy::Flag> out;
    for (const auto& [key, texts] : texts_) {
        if (!texts.empty()) out.push_back({key, texts});
    }
    for (const auto& [key, count] : switches_) {
        if (count > 0) out.push_back({key, {"true"}});
    }
    return out;
}

}  // namespace mortise::tool
