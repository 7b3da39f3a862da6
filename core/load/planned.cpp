// Doors for callers that hold a Planned.
#include "load/loader.h"
#include "plan/plan.h"

namespace mortise::load {

Origin::Origin(const plan::Planned& planned) : Origin(planned.plan(), planned.checkpoint().catalog) {}

Result<std::shared_ptr<const Model>> load(const std::shared_ptr<const plan::Planned>& planned, Team& team,
                                          const Progress& progress) {
    const Origin origin(*planned);
    return load(origin, planned, team, progress);
}

}  // namespace mortise::load
