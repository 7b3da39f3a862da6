// The command line: parses, runs one command, turns errors into text and an exit code.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <new>
#include <span>

#include "base/codes.h"
#include "base/text.h"
#include "mortise/command.h"
#include "mortise/flags.h"
#include "mortise/output.h"
#include "mortise/session.h"
#include "mortise/version.h"

namespace mortise::tool {

namespace {

constexpr const char* exit_codes =
    "Exit codes: 0 nothing found, 1 differences found, 2 usage, 3 deployment file, 4 checkpoint refused,\n"
    "5 sound but unsupported here, 6 plugin, 7 memory or device, 8 I/O, 70 bug.\n\n";
constexpr const char* root_examples =
    "Examples:\n"
    "  mortise inspect models/my-checkpoint\n"
    "  mortise doctor\n"
    "  mortise config print --resolved --config deploy.yaml\n";

struct Chosen {
    const Registration* registration;
    CLI::App* app;
    std::unique_ptr<Command> command;
};

std::vector<Chosen> declare(CLI::App& root, Flags& flags) {
    root.set_version_flag("--version", version_line());
    root.set_help_flag("-h,--help", "this text");
    root.get_formatter()->column_width(34);
    root.fallthrough();
    root.require_subcommand(1);
    root.footer(fmt::format("\n{}{}", exit_codes, root_examples));
    flags.declare_common(root);
    std::vector<Chosen> out;
    for (const Registration* each : commands()) {
        CLI::App* app = root.add_subcommand(std::string(each->facts.name), std::string(each->facts.summary));
        app->footer(fmt::format("\nMore flags for every command: mortise --help\n\nExamples:\n{}",
                                each->facts.examples));
        out.push_back({each, app, each->factory()});
        flags.declare_for(each->facts, *app);  // first: the model is the first positional argument
        out.back().command->declare(*app);
    }
    return out;
}

// A mistyped command or flag, with the nearest one that exists.
Error explain(const CLI::ParseError& stop, const CLI::App& root, std::span<char*> words) {
    Problem problem{.code = Code::usage, .what = stop.what(), .fix = "see mortise --help"};
    std::vector<std::string> known;
    if (root.get_subcommands().empty()) {
        auto word = std::ranges::find_if(words, [](std::string_view each) { return !each.starts_with('-'); });
        if (word == words.end()) return problem;
        problem.what = fmt::format("unknown command '{}'", *word);
        for (const Registration* each : commands()) known.emplace_back(each->facts.name);
        std::string hint = did_you_mean(*word, known);
        if (!hint.empty()) problem.fix = hint;
        return problem;
    }
    const CLI::App* command = root.get_subcommands().front();
    problem.fix = fmt::format("see mortise {} --help", command->get_name());
    std::vector<std::string> extras = root.remaining(true);
    auto flag = std::ranges::find_if(extras, [](const std::string& each) { return each.starts_with("--"); });
    if (flag == extras.end()) return problem;
    for (const CLI::App* app : {command, &root}) {
        for (const CLI::Option* option : app->get_options()) {
            for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
        }
    }
    problem.what = fmt::format("unknown flag '{}'", *flag);
    std::string hint = did_you_mean(*flag, known);
    if (!hint.empty()) problem.fix = hint;
    return problem;
}

int run(Flags& flags, const Chosen& chosen) {
    auto session = Session::make(flags);
    Result<int> outcome = session ? chosen.command->run(*session) : std::unexpected(session.error());
    bool broken = std::fflush(stdout) != 0;
    if (outcome && broken) outcome = fail(Code::file_write, "standard output cannot be written");
    if (outcome) return *outcome;
    print_error(outcome.error(), flags.talk.json, wants_color(flags.talk.color, stderr));
    return outcome.error().exit_code();
}

int guarded(int argc, char** argv) {
    CLI::App root("Runs quantized checkpoints as published and proves the load.", "mortise");
    Flags flags;
    std::vector<Chosen> all = declare(root, flags);
    try {
        root.parse(argc, argv);
    } catch (const CLI::ParseError& stop) {
        if (stop.get_exit_code() == 0) return root.exit(stop);  // --help, --version
        std::span<char*> words(argv + 1, static_cast<size_t>(argc - 1));
        bool json = std::ranges::find(words, std::string_view("--json")) != words.end();
        print_error(explain(stop, root, words), json, wants_color("auto", stderr));
        return 2;
    }
    for (const Chosen& each : all) {
        if (each.app->parsed()) return run(flags, each);
    }
    return 2;
}

}  // namespace

}  // namespace mortise::tool

int main(int argc, char** argv) {
    using namespace mortise;
    try {
        return tool::guarded(argc, argv);
    } catch (const std::bad_alloc&) {
        tool::print_error(Error(Code::out_of_memory, "not enough memory"), false, false);
        return 7;
    } catch (const std::exception& stop) {  // outside libraries only: nothing of ours throws
        tool::print_error(Error(Code::internal, stop.what()), false, false);
        return 70;
    }
}
