// Where plugins are looked for, in order, with the reason for each place. Never: the current directory, the
// checkpoint's folder, LD_LIBRARY_PATH.
#pragma once

#include <string>
#include <vector>

namespace mortise::registry {

struct Place {
    std::string path;     // absolute
    std::string origin;   // "--plugin-dir", "MORTISE_PLUGIN_PATH", "/etc", "beside the program"
    bool used = true;     // false: ignored, and `note` says why
    std::string note;
};

struct SearchOptions {
    std::vector<std::string> directories;  // --plugin-dir, first
    std::vector<std::string> deployment;   // plugins.search_path of a deployment, made absolute
    bool user_directory = false;           // $XDG_DATA_HOME/mortise/plugins
    bool secure = false;                   // ignore environment and user directories; implied by AT_SECURE
};

// Order: --plugin-dir; MORTISE_PLUGIN_PATH_ADD; then MORTISE_PLUGIN_PATH instead of all that follows, or the
// deployment's, the user's, /etc/mortise/plugins.d, and PREFIX/lib/mortise/plugins of the running program.
std::vector<Place> search_path(const SearchOptions& options);

}  // namespace mortise::registry
