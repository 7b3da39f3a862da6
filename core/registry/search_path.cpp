#include "registry/search_path.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace mortise::registry {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const char* list) {
    std::vector<std::string> out;
    for (std::string_view rest = list ? list : ""; !rest.empty();) {
        const size_t colon = rest.find(':');
        if (colon != 0) out.emplace_back(rest.substr(0, colon));
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    return out;
}

// bin/mortise -> lib/mortise/plugins and lib/TRIPLET/mortise/plugins, in a build tree as in an installation.
std::vector<std::string> beside_program() {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (error) return {};
    const fs::path prefix = program.parent_path().parent_path();
    return {(prefix / "lib/mortise/plugins").string(), (prefix / "lib/x86_64-linux-gnu/mortise/plugins").string()};
}

class Builder {
  public:
    void add(const std::string& path, const std::string& origin, bool must_exist) {
        Place place{path, origin, true, {}};
        std::error_code error;
        if (path.empty() || path[0] != '/') {
            place.used = false;
            place.note = "not an absolute path";
        } else if (!fs::is_directory(path, error)) {
            place.used = false;
            place.note = must_exist ? "no such directory" : "not there";
        } else {
            for (const Place& known : places)
                if (known.used && fs::equivalent(known.path, path, error)) {
                    place.used = false;
                    place.note = "same directory as " + known.origin;
                }
        }
        places.push_back(std::move(place));
    }
    void ignore(const std::string& path, const std::string& origin, const std::string& why) { places.push_back({path, origin, false, why}); }
    std::vector<Place> places;
};

}  // namespace

std::vector<Place> search_path(const SearchOptions& options) {
    const bool secure = options.secure || ::getauxval(AT_SECURE) != 0;
    Builder out;
    for (const std::string& directory : options.directories) out.add(fs::absolute(directory).string(), "--plugin-dir", true);
    const char* add = std::getenv("MORTISE_PLUGIN_PATH_ADD");
    const char* replace = std::getenv("MORTISE_PLUGIN_PATH");
    for (const std::string& directory : split(add))
        secure ? out.ignore(directory, "MORTISE_PLUGIN_PATH_ADD", "ignored in secure mode") : out.add(directory, "MORTISE_PLUGIN_PATH_ADD", true);
    if (replace && secure) out.ignore(replace, "MORTISE_PLUGIN_PATH", "ignored in secure mode");
    if (replace && !secure) {
        for (const std::string& directory : split(replace)) out.add(directory, "MORTISE_PLUGIN_PATH", true);
        return std::move(out.places);
    }
    for (const std::string& directory : options.deployment) out.add(directory, "deployment", true);
    if (options.user_directory && !secure) {
        const char* data = std::getenv("XDG_DATA_HOME");
        const char* home = std::getenv("HOME");
        if (data) out.add(std::string(data) + "/mortise/plugins", "XDG_DATA_HOME", false);
        else if (home) out.add(std::string(home) + "/.local/share/mortise/plugins", "user directory", false);
    }
    out.add("/etc/mortise/plugins.d", "administrator", false);
    for (const std::string& directory : beside_program()) out.add(directory, "beside the program", false);
    return std::move(out.places);
}

}  // namespace mortise::registry
