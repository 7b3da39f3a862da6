// The one place where a library is opened. Opened libraries stay until the process ends.
#pragma once

#include <string>

#include "base/result.h"
#include "mortise/abi_base.h"

namespace mortise::registry {

// Effect: opens the library, asks it for its plugin description and checks that against id and version.
// Requires: examine() passed. Errors: plugin_open (with the loader's own words), plugin_contract,
// plugin_mismatch, plugin_failed.
Result<mortise_plugin> open_library(const std::string& path, const std::string& id, const std::string& version,
                                    const mortise_host& host);

}  // namespace mortise::registry
