// The ELF note that the host reads from a plugin's file before it opens the library.
#pragma once

#include <cstdint>

#include "mortise/abi_base.h"

namespace mortise::sdk {

// Memory image of one note: sizes, type, name padded to 4 bytes, descriptor.
struct NoteImage {
    uint32_t name_size = sizeof MORTISE_NOTE_NAME;
    uint32_t descriptor_size = sizeof(mortise_note);
    uint32_t type = MORTISE_NOTE_TYPE;
    char name[8] = MORTISE_NOTE_NAME;
    mortise_note descriptor{};
};
static_assert(sizeof MORTISE_NOTE_NAME == 8, "name is padded to a multiple of 4");

constexpr void copy_text(char* to, const char* from, uint32_t capacity) {
    for (uint32_t i = 0; i + 1 < capacity && from[i]; ++i) to[i] = from[i];
}

constexpr NoteImage make_note(const char* id, const char* version) {
    NoteImage image;
    image.descriptor.abi_major = MORTISE_ABI_MAJOR;
    image.descriptor.abi_minor = 0;  // what is needed, not what it was compiled with
    copy_text(image.descriptor.id, id, sizeof image.descriptor.id);
    copy_text(image.descriptor.version, version, sizeof image.descriptor.version);
    return image;
}

}  // namespace mortise::sdk

// Emits the note of this library. ID and VERSION are string literals. Once per plugin, at namespace scope.
#define MORTISE_EMIT_NOTE(ID, VERSION)                                                        \
    __attribute__((section(".note.mortise"), used, aligned(4))) static const ::mortise::sdk:: \
        NoteImage mortise_note_image = ::mortise::sdk::make_note(ID, VERSION)
