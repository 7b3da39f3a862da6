#pragma once

#include <string>

namespace mortise::tool {

// What this binary is, for --version and doctor.
struct Version {
    std::string version, abi, commit, compiler, build;
};
Version version();
// Effect: "mortise 0.1.0 (ABI 1.0, commit abc, g++ 12.2.0, Release)".
std::string version_line();

}  // namespace mortise::tool
