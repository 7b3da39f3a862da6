#include "mortise/version.h"

#include <fmt/format.h>

#include "mortise/abi.h"

namespace mortise::tool {

Version version() {
#ifdef __clang__
    std::string compiler = "clang++ " __clang_version__;
#else
    std::string compiler = "g++ " __VERSION__;
#endif
    return {MORTISE_VERSION, fmt::format("{}.{}", MORTISE_ABI_MAJOR, MORTISE_ABI_MINOR), MORTISE_COMMIT,
            compiler, MORTISE_BUILD};
}

std::string version_line() {
    Version v = version();
    return fmt::format("mortise {} (ABI {}, commit {}, {}, {})", v.version, v.abi, v.commit, v.compiler,
                       v.build);
}

}  // namespace mortise::tool
