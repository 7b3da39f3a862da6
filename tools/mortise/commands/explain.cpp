// explain: why is this layer what it is?
#include <CLI/CLI.hpp>

#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"
#include "plan/report.h"

namespace mortise::tool {

namespace {

class Explain : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_option("LAYER", name_, "module or part: model.layers.0.self_attn.q_proj")->required();
    }

    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto planned, session.plan(true));
        MORTISE_TRY(const std::string text, session.json() ? plan::explain_json(*planned, name_)
                                                           : plan::explain_text(*planned, name_));
        if (session.json())
            line(text);
        else
            print(text);
        return 0;
    }

  private:
    std::string name_;
};

const Registration registration(
    {.name = "explain",
     .summary = "why a layer is what it is: rule, tensors, moves, kernel",
     .examples = "  mortise explain models/my-checkpoint model.layers.0.mlp.down_proj\n"
                 "  mortise explain models/my-checkpoint lm_head\n"
                 "  mortise explain models/my-checkpoint model.embed_tokens --json\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Explain>);

}  // namespace

}  // namespace mortise::tool
