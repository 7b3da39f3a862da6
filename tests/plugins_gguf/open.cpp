#include "plugins_gguf/open.h"

#include "plan/plan.h"
#include "support/temp_folder.h"

namespace mortise::test {

Result<checkpoint::Checkpoint> open_path(const std::string& path) {
    static auto registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        options.search.secure = true;
        options.trust = registry::Policy::warn;
        return registry::Registry::discover(options);
    }();
    if (!registry) return std::unexpected(registry.error());
    return plan::open_checkpoint(path, *registry);
}

Result<checkpoint::Checkpoint> open_bytes(const std::string& bytes) {
    const TempFolder folder;
    return open_path(folder.write("model.gguf", bytes));
}

}  // namespace mortise::test
