// From a deployment to the options of the rooms below: the only place that knows both.
// Pure functions.
#pragma once

#include "base/result.h"
#include "deploy/deployment.h"
#include "plan/plan.h"
#include "registry/registry.h"

namespace mortise::deploy {

registry::Options registry_options(const Deployment& deployment);

// Errors: usage for a device or word that no room knows. `path` is left to the caller.
Result<plan::Options> plan_options(const Deployment& deployment);

}  // namespace mortise::deploy
