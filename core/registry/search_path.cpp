#include "registry/search_path.h"

#include <dirent.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/text.h"

namespace mortise::registry {

namespace {

namespace fs = std::filesystem;

std::optional<std::string> raw_environment(const SearchOptions& options, std::string_view variable) {
    if (options.environment) return options.environment(variable);
    const char* value = std::getenv(std::string(variable).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}

class Path {
  public:
    explicit Path(const SearchOptions& options) : options_(options) {}

    void add(const std::string& path, std::string origin, bool installed = false) {
        if (path.empty()) return;
        folders_.push_back({absolute(path), std::move(origin), true, {}, installed});
    }

    // The folders of a variable. In secure mode the variable is named and left alone.
    // Returns whether it is set and obeyed.
    bool add_variable(const char* variable) {
        const auto value = raw_environment(options_, variable);
        if (!value || value->empty()) return false;
        if (is_secure(options_)) {
            skip(*value, variable, "ignored in secure mode");
            return false;
        }
        for (const std::string_view path : split(*value, ':')) {
            if (path.empty()) continue;
            if (path.front() != '/')
                problems_.add({.code = Code::usage,
                               .what = std::string(variable) + " names a relative folder",
                               .expected = "absolute folders, separated by ':'",
                               .found = "'" + std::string(path) + "'",
                               .fix = "write the whole path"});
            add(std::string(path), variable);
        }
        return true;
    }

    void skip(const std::string& path, std::string origin, std::string reason) {
        folders_.push_back({path, std::move(origin), false, std::move(reason), false});
    }

    Result<std::vector<Place>> finish() && {
        MORTISE_CHECK(std::move(problems_).status());
        std::map<std::string, Place*> seen;
        for (Place& place : folders_) {
            if (!place.used) continue;
            std::error_code error;
            const fs::path real = fs::canonical(place.path, error);
            if (error) continue;
            const auto [first, is_new] = seen.try_emplace(real.string(), &place);
            if (is_new) continue;
            place.used = false;
            place.note = "named above already";
            first->second->installed |= place.installed;
        }
        return std::move(folders_);
    }

  private:
    static std::string absolute(const std::string& path) {
        std::error_code error;
        const fs::path full = fs::absolute(path, error);
        return error ? path : full.lexically_normal().string();
    }

    const SearchOptions& options_;
    std::vector<Place> folders_;
    Problems problems_;
};

void add_user(const SearchOptions& options, Path& path) {
    if (!options.user_directory) return path.skip("", "user", "plugins.user_dir is false");
    if (is_secure(options)) return path.skip("", "user", "ignored in secure mode");
    const auto data = raw_environment(options, "XDG_DATA_HOME");
    const auto home = raw_environment(options, "HOME");
    if (data && data->starts_with('/'))
        path.add(*data + "/mortise/plugins", "user");
    else if (home && home->starts_with('/'))
        path.add(*home + "/.local/share/mortise/plugins", "user");
    else
        path.skip("", "user", "neither XDG_DATA_HOME nor HOME is set");
}

// <prefix>/bin/program -> <prefix>/<libdir>/mortise/plugins. A build tree has the same shape.
void add_installation(const SearchOptions& options, Path& path) {
    std::error_code error;
    const fs::path program = fs::canonical(options.executable, error);
    if (error)
        return path.skip(options.executable, "installation", "cannot find the program: " + error.message());
    const fs::path prefix = program.parent_path().parent_path();
    path.add((prefix / MORTISE_LIBDIR / "mortise/plugins").string(), "installation", true);
    if (std::string_view(MORTISE_LIBDIR) != "lib")
        path.add((prefix / "lib/mortise/plugins").string(), "installation", true);
}

}  // namespace

bool is_secure(const SearchOptions& options) { return options.secure || getauxval(AT_SECURE) != 0; }

std::optional<std::string> environment(const SearchOptions& options, std::string_view variable) {
    return is_secure(options) ? std::nullopt : raw_environment(options, variable);
}

Result<std::vector<Place>> search_path(const SearchOptions& options) {
    Path path(options);
    for (const std::string& folder : options.directories) path.add(folder, "--plugin-dir");
    path.add_variable("MORTISE_PLUGIN_PATH_ADD");
    const bool replaced = path.add_variable("MORTISE_PLUGIN_PATH");
    if (replaced) {
        for (const std::string& folder : options.deployment)
            path.skip(folder, "plugins.search_path", "replaced by MORTISE_PLUGIN_PATH");
        path.skip(options.admin_directory, "administrator", "replaced by MORTISE_PLUGIN_PATH");
        path.skip("", "installation", "replaced by MORTISE_PLUGIN_PATH");
        return std::move(path).finish();
    }
    for (const std::string& folder : options.deployment) path.add(folder, "plugins.search_path");
    add_user(options, path);
    path.add(options.admin_directory, "administrator");
    add_installation(options, path);
    return std::move(path).finish();
}

std::vector<std::string> manifests_in(Place& place) {
    std::vector<std::string> names;
    DIR* stream = opendir(place.path.c_str());
    if (!stream) {
        place.used = false;
        place.note = errno == ENOENT ? "does not exist" : std::strerror(errno);
        return names;
    }
    while (const dirent* entry = readdir(stream)) {
        const std::string_view file = entry->d_name;
        if (file.size() > 5 && file.front() != '.' && file.ends_with(".yaml")) names.emplace_back(file);
    }
    closedir(stream);
    std::ranges::sort(names);
    place.note = std::to_string(names.size()) + (names.size() == 1 ? " manifest" : " manifests");
    for (std::string& file : names) file = (fs::path(place.path) / file).string();
    return names;
}

}  // namespace mortise::registry
