// Where plugins are looked for, in order: command line, environment, deployment, user, administrator,
// installation. Never the current directory, LD_LIBRARY_PATH or the folder of a checkpoint.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::registry {

struct SearchOptions {
    std::vector<std::string> directories;  // --plugin-dir: first
    std::vector<std::string> deployment;   // plugins.search_path
    bool user_directory = false;           // the user's data folder too
    bool secure = false;                   // no environment and no user folder; implied by set-user-id

    // Replaced by tests: value of a variable, the running program, the administrator's folder.
    std::function<std::optional<std::string>(std::string_view)> environment;
    std::string executable = "/proc/self/exe";
    std::string admin_directory = "/etc/mortise/plugins.d";
};

// A folder of the search path and what became of it.
struct Place {
    std::string path;    // absolute; may be empty when it is not used
    std::string origin;  // "--plugin-dir", "MORTISE_PLUGIN_PATH", "installation", ...
    bool used = true;
    std::string note;        // why it is not used, or how many manifests it holds
    bool installed = false;  // the program's own: as trustworthy as the program
};

// Effect: every folder that was thought of, used or not. A folder is used once.
// Order: --plugin-dir; MORTISE_PLUGIN_PATH_ADD; then MORTISE_PLUGIN_PATH instead of all that follows, or the
// deployment's, the user's, the administrator's and PREFIX/lib/mortise/plugins of the running program.
// Errors: usage when a variable names a relative folder.
Result<std::vector<Place>> search_path(const SearchOptions& options);

// Effect: the manifests (*.yaml) of the folder in byte order of their names; a folder that cannot be read
// is marked unused, with the reason.
std::vector<std::string> manifests_in(Place& place);

// Effect: true when the program runs with more rights than its user, or when asked for.
bool is_secure(const SearchOptions& options);

// Effect: the variable's value, never in secure mode.
std::optional<std::string> environment(const SearchOptions& options, std::string_view variable);

}  // namespace mortise::registry
