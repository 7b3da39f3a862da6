// Checks what a plugin hands over against the ABI's rules: sizes, required functions, what the manifest said.
//
// Thread-safe: no state.
#pragma once

#include <vector>

#include "base/result.h"
#include "mortise/abi.h"
#include "registry/manifest.h"

namespace mortise::registry {

// An entry as the plugin declares it.
struct Entry {
    Interface kind{};
    std::string id;
    const void* table = nullptr;  // const mortise_scheme_v1* etc.
};

// Effect: the entries of `plugin`, each with a table that is large enough and has every required function.
// Errors: plugin_contract; plugin_mismatch when they are not those of the manifest; plugin_abi when an entry
// needs a newer minor than this core has. All problems together.
Result<std::vector<Entry>> check_tables(const mortise_plugin& plugin, const Manifest& manifest);

}  // namespace mortise::registry
