// What can be known of a plugin's library without opening it: ELF, note, permissions. dlopen runs constructors
// and a truncated file kills the process, so nothing is opened that did not pass here.
#pragma once

#include <string>

#include "base/result.h"

namespace mortise::registry {

struct LibraryFacts {
    std::string id, version;           // from the note
    uint32_t abi_major = 0, abi_minor = 0;
    std::string build_id;              // hex, or ""
};

// Errors: file_*, plugin_trust (writable by group or others, foreign owner), plugin_not_elf, plugin_truncated
// (a segment outside the file), plugin_abi (no note, another major, newer minor than this core).
Result<LibraryFacts> examine(const std::string& path);

}  // namespace mortise::registry
