// What the file of a plugin says before any of it is mapped or run. Opening a library runs its constructors,
// and a truncated one kills the process by a signal: both are found here first.
//
// Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace mortise::registry {

struct LibraryFacts {
    // The plugin's ELF note (mortise_note of the ABI).
    uint32_t abi_major = 0, abi_minor = 0;
    std::string id, version;
    std::string build_id;              // hexadecimal; empty = none
    std::vector<std::string> exports;  // defined global symbols, sorted
    std::vector<std::string> imports;  // undefined symbols, sorted
    bool has_symbols = false;          // the file has a table to read them from
    std::vector<std::string> needed;   // DT_NEEDED, in file order
};

// Effect: those of `imports` that a plugin must not call: they end, fork or change the whole process.
std::vector<std::string> forbidden_imports(const LibraryFacts& facts);

// Errors: plugin_not_elf (also another machine or class, or no shared library), plugin_truncated, plugin_abi
// (no note: no plugin; or the entry point is not exported).
Result<LibraryFacts> examine(const File& file);
// Errors: as above, and file_*.
Result<LibraryFacts> examine(const std::string& path);

}  // namespace mortise::registry
