#include "plugins_gguf/open.h"

#include "support/temp_folder.h"

namespace mortise::test {

namespace {

Result<registry::Registry>& plugins() {
    static auto registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        options.search.secure = true;
        options.trust = registry::Policy::warn;
        return registry::Registry::discover(options);
    }();
    return registry;
}

}  // namespace

Result<checkpoint::Checkpoint> open_path(const std::string& path) {
    if (!plugins()) return std::unexpected(plugins().error());
    return plan::open_checkpoint(path, *plugins());
}

Result<std::shared_ptr<const plan::Planned>> plan_path(const std::string& path) {
    if (!plugins()) return std::unexpected(plugins().error());
    plan::Options options;
    options.path = path;
    options.bind_kernels = false;
    return plan::make(options, *plugins());
}

Result<checkpoint::Checkpoint> open_bytes(const std::string& bytes) {
    const TempFolder folder;
    return open_path(folder.write("model.gguf", bytes));
}

}  // namespace mortise::test
