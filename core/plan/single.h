// The plan of one module without an architecture: for vectors and questions about a format alone.
#pragma once

#include "plan/plan.h"
#include "plan/scheme_model.h"

namespace mortise::plan {

// Effect: a plan whose only source is the module that `query` names, asked of the scheme that the
// checkpoint's config selects, and held against the catalog. Leftover tensors are not reported.
// Errors: as make(), for one module.
Result<std::shared_ptr<const Planned>> make_single(checkpoint::Checkpoint checkpoint,
                                                   const ModuleQuery& query, registry::Registry& registry);

}  // namespace mortise::plan
