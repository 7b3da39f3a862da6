#include "deploy/wire.h"

namespace mortise::deploy {

registry::Options registry_options(const Deployment& deployment) {
    const Plugins& plugins = deployment.plugins;
    registry::Options options;
    options.search.directories = plugins.search_path;
    options.search.user_directory = plugins.user_dir;
    options.deny = plugins.deny;
    options.disable = plugins.disable;
    if (plugins.allow) options.allow = *plugins.allow;
    options.prefer = plugins.select;
    for (const auto& [id, pin] : plugins.pins) {
        if (!pin.version.empty()) options.pin_version[id] = pin.version;
        if (!pin.sha256.empty()) options.pin_sha256[id] = pin.sha256;
    }
    return options;
}

Result<plan::Options> plan_options(const Deployment& deployment) {
    plan::Options options;
    options.scheme = deployment.scheme;
    options.rank = deployment.tensor_parallel.rank;
    options.size = deployment.tensor_parallel.size;
    options.reference_kernels = deployment.reference_kernels;
    options.prefer = deployment.prefer_kernels;
    options.forbid = deployment.forbid_kernels;
    options.cache_dtype = deployment.cache_dtype.empty() ? "auto" : deployment.cache_dtype;
    options.max_length = deployment.max_model_len;
    options.threads = deployment.threads;
    options.accept_missing_head = deployment.accept_missing_head;
    options.accepted_config_keys.insert(deployment.accept_config_keys.begin(), deployment.accept_config_keys.end());
    if (deployment.activations == "exact") options.activations = MORTISE_ACTIVATIONS_EXACT;
    if (deployment.activations == "fast") options.activations = MORTISE_ACTIVATIONS_FAST;
    if (!deployment.device.empty() && deployment.device != "auto" && deployment.device != "cpu")
        return fail(Problem{.code = Code::device_missing,
                            .what = "no provider drives device '" + deployment.device + "'",
                            .expected = "auto or cpu",
                            .found = deployment.device});
    return options;
}

}  // namespace mortise::deploy
