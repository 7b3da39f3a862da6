#include "plan/plan.h"

#include <algorithm>

#include "plan/binding.h"
#include "plan/planned_rep.h"
#include "plan/quantization.h"
#include "plan/resolver.h"
#include "plan/tree_from_plugin.h"
#include "registry/plugin_call.h"

namespace mortise::plan {

Planned::Planned(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Planned::~Planned() = default;
const checkpoint::Checkpoint& Planned::checkpoint() const { return rep_->checkpoint; }
const checkpoint::TensorReader& Planned::reader() const { return *rep_->reader; }
const LoadPlan& Planned::plan() const { return rep_->plan; }
const mortise_scheme_v1* Planned::scheme() const { return &rep_->scheme->table(); }
const mortise_checkpoint* Planned::view() const { return handle(&rep_->view); }

namespace {

Result<const json::Node*> config_root(const checkpoint::Checkpoint& checkpoint) {
    MORTISE_TRY(const json::Document* document, checkpoint.document("config.json"));
    if (!document)
        return fail(Problem{.code = Code::config_missing,
                            .what = "the checkpoint has no config.json",
                            .file = checkpoint.path,
                            .expected = "config.json beside the weights",
                            .found = "no such file",
                            .fix = "take the whole repository, not the weights alone"});
    MORTISE_CHECK(document->root().require(json::Kind::object));
    document->root().mark_read();
    return &document->root();
}

std::string text_of(const json::Node* node) {
    return node && node->kind() == json::Kind::string ? node->text() : std::string();
}

Status choose_architecture(Planned::Rep& rep, registry::Registry& registry, const json::Node& root) {
    const json::Node& config = governing_config(root);
    std::string name;
    if (const json::Node* list = root.find("architectures"); list && list->size() > 0)
        name = text_of(list->items()[0].get());
    const std::string type = text_of(config.find("model_type"));
    MORTISE_TRY(const auto chosen, registry.architecture(name, type, host()));
    rep.plan.architecture = chosen.id;
    MORTISE_TRY(rep.plan.tree, build_tree(*chosen.table, chosen.id, config));
    return {};
}

void set_limits(const Options& options, LoadPlan& plan) {
    plan.rank = options.rank;
    plan.size = options.size;
    plan.max_rows = options.max_rows;
    const uint64_t known = plan.tree.max_positions ? plan.tree.max_positions : default_max_length;
    plan.max_length = options.max_length ? options.max_length : std::min(known, default_max_length);
    plan.cache_block_slots = 16;
}

Status resolve(Planned::Rep& rep, const Options& options, Resolver& r) {
    resolve_caches(r);
    resolve_weights(r);
    resolve_leftovers(r);
    check_companions(r);
    check_rules(r);
    check_config_keys(r);
    (void)options;
    MORTISE_CHECK(std::move(r.problems).status());
    rep.plan.bytes_read_before_proof = rep.reader->bytes_read();
    return prove(rep.plan, rep.checkpoint.catalog);
}

}  // namespace

Result<std::shared_ptr<const Planned>> make(const Options& options, registry::Registry& registry) {
    auto rep = std::make_unique<Planned::Rep>();
    MORTISE_TRY(rep->checkpoint, open_checkpoint(options.path, registry, &rep->plan.container));
    rep->plan.path = rep->checkpoint.path;
    rep->reader = std::make_unique<checkpoint::TensorReader>(rep->checkpoint.catalog);
    rep->view = {&rep->checkpoint, rep->reader.get(), &rep->plan.probed};
    MORTISE_TRY(const json::Node* root, config_root(rep->checkpoint));
    MORTISE_CHECK(choose_architecture(*rep, registry, *root));
    MORTISE_CHECK(choose_scheme(*rep, registry, options.scheme, *root));
    set_limits(options, rep->plan);
    Resolver resolver{options,
                      rep->checkpoint,
                      *rep->scheme,
                      rep->plan,
                      Names(rep->plan.tree, rep->checkpoint.catalog, rep->checkpoint.name_space),
                      {},
                      std::vector<bool>(rep->checkpoint.catalog.size(), false),
                      {},
                      {},
                      {}};
    MORTISE_CHECK(resolve(*rep, options, resolver));
    if (!options.quantization.empty())
        MORTISE_CHECK(plan_quantization(rep->view, registry, options.quantization, rep->plan));
    if (options.bind_kernels) {
        MORTISE_TRY(const auto chosen, registry.kernels("cpu", options.forbid, host()));
        std::vector<Provider> providers;
        for (const auto& each : chosen) providers.push_back({each.table, each.id});
        MORTISE_CHECK(bind_kernels(options, providers, resolver.parts_of_weight, rep->plan));
    }
    estimate_memory(rep->plan);
    return std::make_shared<const Planned>(std::move(rep));
}

}  // namespace mortise::plan
