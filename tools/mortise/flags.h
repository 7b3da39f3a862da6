// Flags of the command line, made from the table of settings.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "deploy/resolve.h"
#include "mortise/command.h"

namespace mortise::tool {

// Flags that are no settings: they say how to talk, not what to do.
struct Talk {
    std::string config;  // deployment file
    std::string model;
    bool json = false, quiet = false, no_progress = false;
    std::string color = "auto";
};

// Where CLI11 puts what was typed. Must outlive the parse.
class Flags {
  public:
    Talk talk;

    // Effect: adds the flags that every command has to the root.
    void declare_common(CLI::App& root);
    // Effect: adds the flags that this command offers.
    void declare_for(const CommandFacts& facts, CLI::App& command);
    // Effect: the settings that were typed, for deploy::resolve().
    std::vector<deploy::Flag> typed() const;

  private:
    void declare_group(deploy::Group group, CLI::App& app);
    // One slot per setting: commands share it, since one command runs.
    std::map<std::string, std::vector<std::string>, std::less<>> texts_;
    std::map<std::string, int, std::less<>> switches_;
};

}  // namespace mortise::tool
