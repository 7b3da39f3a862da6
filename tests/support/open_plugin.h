// Opens plugins of the build against the fake host, without the registry.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "support/fake_host.h"

namespace mortise::test {

inline std::filesystem::path plugin_folder() {
    return std::filesystem::path(MORTISE_BINARY_DIR) / "lib/mortise/plugins";
}

inline std::vector<std::string> plugin_names() {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(plugin_folder()))
        if (entry.path().extension() == ".so") out.push_back(entry.path().stem().string());
    std::sort(out.begin(), out.end());
    return out;
}

// Effect: the description of plugin NAME; libraries stay open for the whole process.
inline mortise_plugin open_plugin(const std::string& name) {
    mortise_plugin plugin{};
    plugin.head.size = sizeof plugin;
    void* library = dlopen((plugin_folder() / (name + ".so")).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        ADD_FAILURE() << dlerror();
        return plugin;
    }
    const auto entry = reinterpret_cast<mortise_plugin_fn>(dlsym(library, MORTISE_PLUGIN_SYMBOL));
    if (entry == nullptr || entry(FakeHost::instance().table(), &plugin) != MORTISE_OK)
        ADD_FAILURE() << name << " has no entry point";
    return plugin;
}

// Effect: the table of the first entry of this interface; null when the plugin has none.
template <class Table>
const Table* table_of(const std::string& name, uint32_t interface_kind) {
    const mortise_plugin plugin = open_plugin(name);
    for (uint64_t e = 0; e < plugin.n_entries; ++e)
        if (plugin.entries[e].interface_kind == interface_kind)
            return static_cast<const Table*>(plugin.entries[e].table);
    return nullptr;
}
inline const mortise_scheme_v1& scheme(const std::string& name) {
    return *table_of<mortise_scheme_v1>(name, MORTISE_INTERFACE_SCHEME);
}

}  // namespace mortise::test
