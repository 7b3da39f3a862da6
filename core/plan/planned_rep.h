// What a Planned owns, and the choice of its scheme. Private to the plan.
#pragma once

#include "plan/host_view.h"
#include "plan/plan.h"
#include "plan/scheme_model.h"

namespace mortise::plan {

struct Planned::Rep {
    checkpoint::Checkpoint checkpoint;
    std::unique_ptr<checkpoint::TensorReader> reader;
    CheckpointView view;
    std::unique_ptr<SchemeModel> scheme;
    LoadPlan plan;
};

// Effect: rep.scheme and rep.plan.scheme, by what the config (`root`) says and what the plugins answer.
// Requires: rep.view is set. Errors: unsupported_scheme, plugin_ambiguous, the plugin's own.
Status choose_scheme(Planned::Rep& rep, registry::Registry& registry, const std::string& forced,
                     const json::Node& root);

}  // namespace mortise::plan
