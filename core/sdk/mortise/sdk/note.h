// The ELF note of a plugin: what the core reads from the file before it opens the library, because opening
// runs code. Used once per plugin, by the macro that defines the plugin's entry point.
//
// Thread-safe: constant data.
#pragma once

#include <cstdint>

#include "mortise/abi_base.h"

namespace mortise::sdk {

// A note as the ELF format lays it out (System V ABI, "Note Section"): sizes, type, padded name, descriptor.
struct Note {
    uint32_t name_size = sizeof MORTISE_NOTE_NAME;
    uint32_t descriptor_size = sizeof(mortise_note);
    uint32_t type = MORTISE_NOTE_TYPE;
    char name[8] = MORTISE_NOTE_NAME;
    mortise_note descriptor{};
};
static_assert(sizeof(Note) == 20 + sizeof(mortise_note) && sizeof MORTISE_NOTE_NAME == 8);

// Effect: the note of plugin `id`, which needs minor `abi_minor` of the ABI.
template <unsigned id_size, unsigned version_size>
constexpr Note make_note(const char (&id)[id_size], const char (&version)[version_size], uint32_t abi_minor) {
    static_assert(id_size <= sizeof(mortise_note::id), "the id of a plugin has at most 95 characters");
    static_assert(version_size <= sizeof(mortise_note::version), "the version has at most 31 characters");
    Note note;
    note.descriptor.abi_major = MORTISE_ABI_MAJOR;
    note.descriptor.abi_minor = abi_minor;
    for (unsigned i = 0; i < id_size; ++i) note.descriptor.id[i] = id[i];
    for (unsigned i = 0; i < version_size; ++i) note.descriptor.version[i] = version[i];
    return note;
}

}  // namespace mortise::sdk

// Lowest minor of the ABI that the plugin needs, not the one it is compiled with: a plugin that uses nothing
// new stays loadable by an older core.
#ifndef MORTISE_PLUGIN_ABI_MINOR
#define MORTISE_PLUGIN_ABI_MINOR 0u
#endif

// Emits the note. Once per plugin, at namespace scope. MORTISE_PLUGIN_ID and MORTISE_PLUGIN_VERSION come from
// mortise_add_plugin(), which reads them in the manifest.
#define MORTISE_EMIT_NOTE(ID, VERSION)                                                           \
    __attribute__((visibility("hidden"))) extern const ::mortise::sdk::Note mortise_plugin_note; \
    __attribute__((section(".note.mortise"), used,                                               \
                   aligned(4))) constinit const ::mortise::sdk::Note mortise_plugin_note =       \
        ::mortise::sdk::make_note(ID, VERSION, MORTISE_PLUGIN_ABI_MINOR)
