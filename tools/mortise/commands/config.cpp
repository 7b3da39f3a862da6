// config: looks at a deployment file and at what the settings come to.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/codes.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"

namespace mortise::tool {

namespace {

class Config : public Command {
  public:
    void declare(CLI::App& app) override {
        app.require_subcommand(1);
        check_ = app.add_subcommand("check", "is this deployment file right?");
        check_->add_option("file", file_, "deployment file; else --config")->option_text("FILE");
        schema_ = app.add_subcommand("schema", "the JSON Schema of deployment files");
        auto* print = app.add_subcommand("print", "every setting, its value and where it comes from");
        print->add_flag("--resolved", resolved_, "after flags and environment (the default)");
        print->add_flag("--file-only", file_only_, "only what the deployment file says");
    }

    Result<int> run(Session& session) override {
        if (schema_->parsed()) {
            print(deploy::json_schema());
            return 0;
        }
        if (check_->parsed()) return check(session);
        return print_settings(session);
    }

  private:
    Result<int> check(Session& session) {
        std::string file = file_.empty() ? session.resolved().file() : file_;
        if (file.empty())
            return fail(
                Problem{.code = Code::usage, .what = "no deployment file is named", .fix = "give FILE"});
        MORTISE_TRY(auto resolved,
                    deploy::resolve({.file = file, .flags = {}, .environment = deploy::process_environment}));
        MORTISE_CHECK(deploy::make_deployment(resolved));
        line(session.json() ? R"({"schema":"mortise.config-check/v1","problems":[]})"
                            : file + ": no problems");
        return 0;
    }

    Result<int> print_settings(Session& session) {
        deploy::Resolved shown = session.resolved();
        if (file_only_) {
            MORTISE_TRY(shown, deploy::resolve({.file = shown.file(), .flags = {}, .environment = {}}));
        }
        print(session.json() ? deploy::print_json(shown) : deploy::print(shown));
        return 0;
    }

    CLI::App* check_ = nullptr;
    CLI::App* schema_ = nullptr;
    std::string file_;
    bool resolved_ = false, file_only_ = false;
};

const Registration registration(
    {.name = "config",
     .summary = "check a deployment file, print settings and their origin",
     .examples = "  mortise config check deploy.yaml\n"
                 "  mortise config print --resolved --config deploy.yaml --threads 4\n"
                 "  mortise config schema > deployment.schema.json\n",
     .uses = Uses::sampling,
     .takes_model = false},
    make_command<Config>);

}  // namespace

}  // namespace mortise::tool
