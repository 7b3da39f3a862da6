// Who could have written a plugin. Its code runs with all rights of the process, so neither the library nor
// its manifest nor a folder above them may be writable by others, and the files belong to root or to us.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "registry/registry.h"

namespace mortise::registry {

// Effect: findings that the policy lets pass. `path` is real and absolute. A plugin of the installation is
// as trustworthy as the program beside it: findings there are warnings only.
// Errors: plugin_trust.
Result<std::vector<std::string>> check_trust(const std::string& path, const Options& options, bool installed);

}  // namespace mortise::registry
