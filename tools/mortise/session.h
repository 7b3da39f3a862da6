// What a command gets: the resolved settings, the way to talk, and the things that are made when first
// needed.
//
// Belongs to the main thread.
#pragma once

#include <memory>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "base/team.h"
#include "checkpoint/checkpoint.h"
#include "deploy/deployment.h"
#include "mortise/flags.h"
#include "plan/plan.h"
#include "registry/registry.h"

namespace mortise::tool {

class Session {
  public:
    // Effect: resolves settings and sets up logging. Errors: as deploy::resolve() and
    // deploy::make_deployment().
    static Result<Session> make(const Flags& flags);

    const deploy::Resolved& resolved() const { return resolved_; }
    const deploy::Deployment& deployment() const { return deployment_; }
    bool json() const { return talk_.json; }
    bool color() const { return color_; }  // of standard output

    // Errors: usage when neither MODEL nor a deployment file names one.
    Result<std::string> model() const;
    // The plugins, discovered on first use. Errors: as registry::Registry::discover().
    Result<registry::Registry*> registry();
    // The native reader, or a container plugin for other files. Errors: as plan::open_checkpoint().
    Result<checkpoint::Checkpoint> open_checkpoint(const std::string& path);
    // Effect: the proven plan of MODEL; `bind`: with kernels and memory. Errors: as plan::make().
    Result<std::shared_ptr<const plan::Planned>> plan(bool bind);
    Result<std::shared_ptr<const plan::Planned>> plan(const std::string& path, bool bind);
    // As many threads as the settings say; made on first use.
    Team& team();
    // For a Progress: silent under --quiet and --no-progress.
    Progress::Options progress(Progress::Unit unit = Progress::Unit::bytes) const;

  private:
    deploy::Resolved resolved_;
    deploy::Deployment deployment_;
    Talk talk_;
    bool color_ = false;
    std::unique_ptr<Team> team_;
    std::unique_ptr<registry::Registry> registry_;
};

}  // namespace mortise::tool
