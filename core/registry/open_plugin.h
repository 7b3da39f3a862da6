// Everything between "selected" and "its tables may be called", in the order that runs as little of the
// plugin as possible: file, owner, digest, ELF note, and only then its code.
//
// Thread-safe, except that the plugin's entry point is called: one call at a time per plugin.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "registry/library_file.h"
#include "registry/registry.h"
#include "registry/tables.h"

namespace mortise::registry {

// The library's file after every check that runs none of its code.
struct CheckedFile {
    File file;
    LibraryFacts facts;
    bool pinned = false;                // its SHA-256 was compared
    std::vector<std::string> warnings;  // what the trust policy lets pass, symbols too many
};

// Errors: file_*, plugin_trust, plugin_hash, plugin_not_elf, plugin_truncated, plugin_abi, plugin_mismatch.
Result<CheckedFile> check_file(const Candidate& candidate, const Options& options);

// Effect: opens the checked library and asks it for its entries.
// Errors: plugin_open, plugin_failed, plugin_contract, plugin_mismatch, plugin_abi.
Result<std::vector<Entry>> open_plugin(const Candidate& candidate, CheckedFile checked,
                                       const Options& options, const mortise_host& host);

// Effect: SHA-256 of the file's contents, hexadecimal.
Result<std::string> digest_of(const File& file);

}  // namespace mortise::registry
