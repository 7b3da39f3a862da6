#include "deploy/wire.h"

#include <filesystem>

#include "base/codes.h"

namespace mortise::deploy {

namespace {

std::vector<std::string> absolute(const std::vector<std::string>& paths) {
    std::vector<std::string> out;
    for (const std::string& path : paths) {
        std::error_code error;
        out.push_back(std::filesystem::absolute(path, error).lexically_normal().string());
    }
    return out;
}

uint32_t activations_of(const std::string& name) {
    if (name == "exact") return MORTISE_ACTIVATIONS_EXACT;
    return name == "fast" ? MORTISE_ACTIVATIONS_FAST : MORTISE_ACTIVATIONS_AS_SPECIFIED;
}

}  // namespace

registry::Options registry_options(const Deployment& deployment) {
    registry::Options out;
    const Plugins& plugins = deployment.plugins;
    out.search.directories = absolute(plugins.plugin_dir);
    out.search.deployment = absolute(plugins.search_path);
    out.search.user_directory = plugins.user_dir;
    out.deny = plugins.deny;
    out.disable = plugins.disable;
    out.allow = plugins.allow;
    out.trust = plugins.trust_warns ? registry::Policy::warn : registry::Policy::deny;
    out.require_hash = plugins.require_hash;
    out.file = deployment.file;
    for (const auto& [id, pin] : plugins.pins) {
        if (!pin.version.empty()) out.pin_version.emplace(id, pin.version);
        if (!pin.sha256.empty()) out.pin_sha256.emplace(id, pin.sha256);
    }
    out.prefer = plugins.select;
    return out;
}

Result<plan::Options> plan_options(const Deployment& deployment) {
    if (deployment.device != "auto" && deployment.device != "cpu") {
        return fail(Problem{.code = Code::device_missing,
                            .what = "no such device",
                            .expected = "auto or cpu",
                            .found = "'" + deployment.device + "'"});
    }
    plan::Options out;
    out.scheme = deployment.scheme;
    out.quantization = deployment.quantization;
    out.rank = deployment.tensor_parallel.rank;
    out.size = deployment.tensor_parallel.size;
    out.reference_kernels = deployment.reference_kernels;
    out.prefer = deployment.prefer_kernels;
    out.forbid = deployment.forbid_kernels;
    out.activations = activations_of(deployment.activations);
    out.cache_dtype = deployment.cache_dtype;
    out.max_length = deployment.max_model_len;
    out.threads = deployment.threads;
    out.accepted_config_keys = {deployment.accept_config_keys.begin(), deployment.accept_config_keys.end()};
    out.accepted_rules = {deployment.accept_rules.begin(), deployment.accept_rules.end()};
    out.accept_missing_head = deployment.accept_missing_head;
    return out;
}

}  // namespace mortise::deploy
