#define BOOST_DLL_USE_STD_FS
#include "registry/loaded_library.h"

#include <dlfcn.h>

#include <boost/dll/shared_library.hpp>
#include <map>
#include <mutex>

#include "registry/plugin_call.h"

namespace mortise::registry {
namespace {

using boost::dll::load_mode::type;
// Everything resolved at once, nothing shared between plugins, never unloaded: objects and threads of a plugin
// may outlive any handle.
const type mode = static_cast<type>(boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local | static_cast<type>(RTLD_NODELETE));

std::unexpected<Error> refuse(Code code, const std::string& path, std::string what, std::string expected = {}, std::string found = {}) {
    return fail(Problem{.code = code, .what = std::move(what), .file = path, .expected = std::move(expected), .found = std::move(found)});
}

// Boost appends the text of an unrelated errno; the loader's own words come first.
std::string loader_words(const std::string& what) {
    const size_t colon = what.find("): ");
    return colon == std::string::npos ? what : what.substr(colon + 3);
}

struct Open {
    std::mutex lock;
    std::map<std::string, boost::dll::shared_library> libraries;  // process lifetime
};
Open& opened() {
    static Open& open = *new Open;  // never destroyed: plugins are never unloaded
    return open;
}

std::string copy(mortise_str text) { return text.data ? std::string(text.data, text.size) : std::string(); }

}  // namespace

Result<mortise_plugin> open_library(const std::string& path, const std::string& id, const std::string& version, const mortise_host& host) {
    const PluginCall::Guard guard;  // constructors of a library built with fast-math set flush-to-zero
    mortise_plugin_fn entry = nullptr;
    try {
        Open& open = opened();
        const std::scoped_lock locked(open.lock);
        auto& library = open.libraries[path];
        if (!library.is_loaded()) library.load(path, mode);
        entry = library.get<mortise_status(const mortise_host*, mortise_plugin*)>(MORTISE_PLUGIN_SYMBOL);
    } catch (const std::exception& error) {
        return refuse(Code::plugin_open, path, "the plugin cannot be loaded", "a library that loads and exports " MORTISE_PLUGIN_SYMBOL,
                      loader_words(error.what()));
    }
    mortise_plugin plugin{};
    plugin.head = {sizeof plugin, MORTISE_ABI_MINOR};
    if (const mortise_status status = entry(&host, &plugin); status != MORTISE_OK)
        return refuse(Code::plugin_failed, path, "the plugin refuses to start", "status 0", std::to_string(status));
    if (copy(plugin.id) != id || copy(plugin.version) != version)
        return refuse(Code::plugin_mismatch, path, "library and manifest name different plugins", id + " " + version,
                      copy(plugin.id) + " " + copy(plugin.version));
    return plugin;
}

}  // namespace mortise::registry
