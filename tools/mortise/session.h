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
    // Errors: as checkpoint::open_native().
    Result<checkpoint::Checkpoint> open_checkpoint(const std::string& path);
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
};

}  // namespace mortise::tool
