#include "plan/single.h"

#include "plan/planned_rep.h"
#include "plan/resolver.h"

namespace mortise::plan {

Result<std::shared_ptr<const Planned>> make_single(checkpoint::Checkpoint checkpoint,
                                                   const ModuleQuery& query, registry::Registry& registry) {
    auto rep = std::make_unique<Planned::Rep>();
    rep->checkpoint = std::move(checkpoint);
    rep->plan.path = rep->checkpoint.path;
    rep->reader = std::make_unique<checkpoint::TensorReader>(rep->checkpoint.catalog);
    rep->view = {&rep->checkpoint, rep->reader.get(), &rep->plan.probed};
    MORTISE_TRY(const json::Document* config, rep->checkpoint.document("config.json"));
    if (!config)
        return fail(
            Problem{.code = Code::config_missing, .what = "no config.json", .file = rep->checkpoint.path});
    MORTISE_CHECK(choose_scheme(*rep, registry, "", config->root()));
    const Options options;
    Resolver resolver{options,
                      rep->checkpoint,
                      *rep->scheme,
                      rep->plan,
                      Names(rep->plan.tree, rep->checkpoint.catalog, rep->checkpoint.name_space),
                      {},
                      std::vector<bool>(rep->checkpoint.catalog.size(), false),
                      {},
                      {}};
    find_source(resolver, query);
    MORTISE_CHECK(std::move(resolver.problems).status());
    return std::make_shared<const Planned>(std::move(rep));
}

}  // namespace mortise::plan
