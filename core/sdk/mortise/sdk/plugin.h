// The one macro that makes a library a plugin: the exported function, the note and the entries.
//
//   MORTISE_PLUGIN("org.acme.fp5", "1.2.0", scheme_entry<Fp5>("fp5"), architecture_entry<build>("acme",
//   {...}, {...}))
//
// Id and version must equal the manifest's. Entries live in static storage.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "mortise/sdk/architecture.h"
#include "mortise/sdk/error.h"
#include "mortise/sdk/note.h"

namespace mortise::sdk {

// Effect: an entry for a table that lives as long as the library.
inline mortise_entry entry_of(uint32_t kind, const char* id, const void* table) {
    auto entry = make<mortise_entry>();
    entry.interface_kind = kind;
    entry.minor = 0;
    entry.id = str(id);
    entry.table = table;
    return entry;
}

// Effect: an architecture whose graph `build` writes. names: values of config.architectures[0]; types: of
// config.model_type.
template <void (*build)(Builder&)>
mortise_entry architecture_entry(const char* id, std::initializer_list<const char*> names,
                                 std::initializer_list<const char*> types) {
    static std::vector<mortise_str> c_names, c_types;
    c_names.clear();
    c_types.clear();
    for (const char* name : names) c_names.push_back(str(name));
    for (const char* type : types) c_types.push_back(str(type));
    static mortise_architecture_v1 table = make<mortise_architecture_v1>();
    table.n_names = c_names.size();
    table.names = c_names.data();
    table.n_types = c_types.size();
    table.types = c_types.data();
    table.build = [](mortise_builder* builder, const mortise_builder_api* api) -> mortise_status {
        return guard([&] {
            Builder b(builder, api);
            build(b);
        });
    };
    return entry_of(MORTISE_INTERFACE_ARCHITECTURE, id, &table);
}

// Effect: fills what the host asked for, as far as its struct reaches.
inline mortise_status describe_plugin(const mortise_host* host, mortise_plugin* out, const char* id,
                                      const char* version, const mortise_entry* entries,
                                      uint64_t n_entries) noexcept {
    host_slot() = host;
    auto plugin = make<mortise_plugin>();
    plugin.id = str(id);
    plugin.version = str(version);
    plugin.n_entries = n_entries;
    plugin.entries = entries;
    const uint32_t known = std::min<uint32_t>(out->head.size, sizeof plugin);
    plugin.head.size = known;
    std::memcpy(out, &plugin, known);
    return MORTISE_OK;
}

}  // namespace mortise::sdk

#define MORTISE_PLUGIN(ID, VERSION, ...)                                                \
    MORTISE_EMIT_NOTE(ID, VERSION);                                                     \
    extern "C" __attribute__((visibility("default"))) mortise_status mortise_plugin_v1( \
        const mortise_host* host, mortise_plugin* out) {                                \
        static const mortise_entry entries[] = {__VA_ARGS__};                           \
        return ::mortise::sdk::describe_plugin(host, out, ID, VERSION, entries,         \
                                               sizeof entries / sizeof *entries);       \
    }
