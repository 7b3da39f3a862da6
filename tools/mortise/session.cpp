#include "mortise/session.h"

#include "base/codes.h"
#include "base/log.h"
#include "mortise/output.h"

namespace mortise::tool {

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

Result<checkpoint::Checkpoint> Session::open_checkpoint(const std::string& path) {
    return checkpoint::open_native(path);
}

Team& Session::team() {
    if (!team_) team_ = std::make_unique<Team>(static_cast<int>(deployment_.threads));
    return *team_;
}

Progress::Options Session::progress(Progress::Unit unit) const {
    return {.unit = unit, .silent = talk_.quiet || talk_.no_progress};
}

}  // namespace mortise::tool
