// Looks at one plugin without trusting it: the library is opened in a child process, so that a plugin that
// crashes is a finding and not our end.
#pragma once

#include <string>

#include "base/result.h"
#include "registry/library_file.h"
#include "registry/manifest.h"

namespace mortise::tool {

struct Probe {
    registry::Manifest manifest;
    registry::LibraryFacts library;
};

// Effect: reads the manifest, examines the library, opens it in a child and lets the registry check every
// entry. Errors: of each of these steps; plugin_failed when the child died.
Result<Probe> probe_plugin(const std::string& manifest_path);

}  // namespace mortise::tool
