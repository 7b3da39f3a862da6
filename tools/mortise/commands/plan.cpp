// plan: where will each tensor go, by which kernel, in how much memory? Reads headers and probe roles.
#include <CLI/CLI.hpp>

#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"
#include "plan/report.h"

namespace mortise::tool {

namespace {

class Plan : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_flag("--all", all_, "list every module and the rule that decided");
    }

    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto planned, session.plan(true));
        if (session.json())
            line(plan::plan_json(*planned));
        else
            print(plan::plan_text(*planned, all_));
        return 0;
    }

  private:
    bool all_ = false;
};

const Registration registration({.name = "plan",
                                 .summary = "where each tensor goes, with what kernel and memory",
                                 .examples = "  mortise plan models/my-checkpoint\n"
                                             "  mortise plan models/my-checkpoint --all\n"
                                             "  mortise plan models/my-checkpoint --json\n",
                                 .uses = Uses::planning,
                                 .takes_model = true},
                                make_command<Plan>);

}  // namespace

}  // namespace mortise::tool
