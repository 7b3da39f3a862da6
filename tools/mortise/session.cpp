#include "mortise/session.h"

#include "base/codes.h"
#include "base/log.h"
#include "deploy/wire.h"
#include "mortise/output.h"
#include "plan/slow.h"

namespace mortise::tool {

namespace {

// The reference kernels run everything, exactly and slowly; nobody should find out by waiting.
void announce_slow_kernels(const plan::LoadPlan& plan) {
    if (const auto line = plan::slow_kernels(plan)) log::warn(*line + "; `mortise plan` names them");
}

}  // namespace

Result<Session> Session::make(const Flags& flags) {
    Session out;
    out.talk_ = flags.talk;
    MORTISE_TRY(out.resolved_, deploy::resolve({.file = flags.talk.config,
                                                .flags = flags.typed(),
                                                .environment = deploy::process_environment}));
    if (!flags.talk.model.empty()) {
        out.resolved_.set("model.path", {flags.talk.model, "argument MODEL"});
        out.resolved_.set("model.name", {});
    }
    MORTISE_TRY(out.deployment_, deploy::make_deployment(out.resolved_));
    out.color_ = wants_color(flags.talk.color, stdout);
    auto level = log::parse_level(out.deployment_.log_level);
    log::set_level(out.talk_.quiet ? log::Level::error : level.value_or(log::Level::warn));
    log::set_format(out.deployment_.log_format == "json" ? log::Format::json : log::Format::text);
    return out;
}

Result<std::string> Session::model() const {
    if (!deployment_.model.empty()) return deployment_.model;
    return fail(Problem{.code = Code::usage,
                        .what = "no model is named",
                        .fix = "give a checkpoint folder, or --config FILE with model.path"});
}

Result<registry::Registry*> Session::registry() {
    if (!registry_) {
        MORTISE_TRY(auto found, registry::Registry::discover(deploy::registry_options(deployment_)));
        for (const Error& broken : found.broken_manifests()) log::warn(to_string(broken));
        for (const std::string& warning : found.warnings()) log::warn(warning);
        registry_ = std::make_unique<registry::Registry>(std::move(found));
    }
    return registry_.get();
}

Result<checkpoint::Checkpoint> Session::open_checkpoint(const std::string& path) {
    MORTISE_TRY(registry::Registry * plugins, registry());
    return plan::open_checkpoint(path, *plugins);
}

Result<std::shared_ptr<const plan::Planned>> Session::plan(bool bind) {
    MORTISE_TRY(const std::string path, model());
    return plan(path, bind);
}

Result<std::shared_ptr<const plan::Planned>> Session::plan(const std::string& path, bool bind) {
    MORTISE_TRY(registry::Registry * plugins, registry());
    MORTISE_TRY(plan::Options options, deploy::plan_options(deployment_));
    options.path = path;
    options.bind_kernels = bind;
    MORTISE_TRY(auto planned, plan::make(options, *plugins));
    announce_slow_kernels(planned->plan());
    if (planned->plan().cache_default)
        log::warn(
            "the checkpoint has no scales for this KV cache: keys and values are stored with a scale of 1");
    return planned;
}

Team& Session::team() {
    if (!team_) team_ = std::make_unique<Team>(static_cast<int>(deployment_.threads));
    return *team_;
}

Progress::Options Session::progress(Progress::Unit unit) const {
    return {.unit = unit, .silent = talk_.quiet || talk_.no_progress};
}

}  // namespace mortise::tool
