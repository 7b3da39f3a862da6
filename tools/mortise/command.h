// A command of the command line. Each lives in one file under commands/, derives from Command and registers
// itself with a static Registration; nothing else names it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace CLI {
class App;
}

namespace mortise::tool {

class Session;

// Which settings the command offers as flags.
enum class Uses : uint8_t { nothing, planning, sampling };  // sampling includes planning

struct CommandFacts {
    std::string_view name;      // "inspect"
    std::string_view summary;   // one line of the command list
    std::string_view examples;  // three lines, shown at the end of --help
    Uses uses = Uses::nothing;
    bool takes_model = false;  // positional MODEL, also --model, or --config
};

class Command {
  public:
    virtual ~Command() = default;
    // Effect: adds the command's own options and subcommands; they are filled before run().
    virtual void declare(CLI::App&) {}
    // Effect: does it; results go to standard output. Returns the exit code for what was found (0 = nothing);
    // an Error's own exit code is used otherwise.
    virtual Result<int> run(Session& session) = 0;
};

struct Registration {
    using Factory = std::unique_ptr<Command> (*)();
    Registration(CommandFacts its_facts, Factory its_factory);

    CommandFacts facts;
    Factory factory;
};

template <class T>
std::unique_ptr<Command> make_command() {
    return std::make_unique<T>();
}

// In byte order of the names.
const std::vector<const Registration*>& commands();

}  // namespace mortise::tool
