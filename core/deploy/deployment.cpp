#include "deploy/deployment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/codes.h"
#include "base/team.h"

namespace mortise::deploy {

namespace {

Problem contradiction(const Resolved& resolved, std::string_view key, std::string what, std::string fix) {
    Problem problem{.code = Code::usage, .what = std::move(what)};
    problem.found = fmt::format("{} = {} ({})", key, to_json(resolved.at(key).data), resolved.at(key).origin);
    problem.fix = std::move(fix);
    return problem;
}

void check(const Resolved& resolved, const Deployment& out, Problems& problems) {
    if (!resolved.text("model.path").empty() && !resolved.text("model.name").empty()) {
        problems.add(contradiction(resolved, "model.name", "a deployment names its model once",
                                   "leave out model.path or model.name"));
    }
    if (out.plugins.allow && out.plugins.allow->empty()) {
        problems.add(contradiction(resolved, "plugins.allow", "an empty list allows no plugin at all",
                                   "leave it out to allow every plugin"));
    }
    if (out.tensor_parallel.rank >= out.tensor_parallel.size) {
        problems.add(contradiction(resolved, "tensor_parallel.rank", "the rank lies outside the split",
                                   fmt::format("use a rank below {}", out.tensor_parallel.size)));
    }
    for (const std::string& provider : out.prefer_kernels) {
        if (std::ranges::find(out.forbid_kernels, provider) != out.forbid_kernels.end()) {
            problems.add(contradiction(resolved, "kernels.forbid",
                                       fmt::format("'{}' is both preferred and forbidden", provider),
                                       "leave it out of one of the two lists"));
        }
    }
}

Plugins make_plugins(const Resolved& resolved) {
    Plugins out;
    out.plugin_dir = resolved.list("plugins.plugin_dir");
    out.search_path = resolved.list("plugins.search_path");
    out.user_dir = resolved.flag("plugins.user_dir");
    if (!resolved.is_default("plugins.allow")) out.allow = resolved.list("plugins.allow");
    out.require_hash = resolved.flag("plugins.require_hash");
    out.trust_warns = resolved.text("plugins.trust") == "warn";
    out.deny = resolved.list("plugins.deny");
    out.disable = resolved.list("plugins.disable");
    if (const auto* pins = std::get_if<std::map<std::string, Pin>>(&resolved.at("plugins.pin").data))
        out.pins = *pins;
    if (const auto* select =
            std::get_if<std::map<std::string, std::string>>(&resolved.at("plugins.select").data)) {
        out.select = *select;
    }
    return out;
}

Sampling make_sampling(const Resolved& resolved) {
    Sampling out;
    out.max_tokens = resolved.integer_if_set("sampling.max_tokens");
    out.top_k = resolved.integer_if_set("sampling.top_k");
    out.seed = resolved.integer_if_set("sampling.seed");
    out.temperature = resolved.real("sampling.temperature");
    out.top_p = resolved.real("sampling.top_p");
    out.min_p = resolved.real("sampling.min_p");
    out.repetition_penalty = resolved.real("sampling.repetition_penalty");
    out.stop = resolved.list("sampling.stop");
    out.ignore_eos = resolved.flag("sampling.ignore_eos");
    return out;
}

Server make_server(const Resolved& resolved) {
    Server out;
    out.host = resolved.text("server.host");
    out.port = static_cast<uint16_t>(resolved.integer("server.port"));
    out.api_key_file = resolved.text("server.api_key_file");
    out.served_model_name = resolved.text("server.served_model_name");
    out.max_num_seqs = static_cast<uint32_t>(resolved.integer("server.max_num_seqs"));
    return out;
}

}  // namespace

Result<Deployment> make_deployment(const Resolved& resolved) {
    Deployment out;
    out.file = resolved.file();
    out.model =
        resolved.text("model.path").empty() ? resolved.text("model.name") : resolved.text("model.path");
    out.scheme = resolved.text("model.scheme") == "auto" ? "" : resolved.text("model.scheme");
    out.quantization = resolved.text("model.quantization");
    out.accept_config_keys = resolved.list("model.accept_config_keys");
    out.accept_rules = resolved.list("model.accept_rules");
    out.accept_missing_head = resolved.flag("model.accept_missing_head");
    out.plugins = make_plugins(resolved);
    out.device = resolved.text("device.kind");
    auto threads = static_cast<uint32_t>(resolved.integer("device.threads"));
    out.threads = threads == 0 ? static_cast<uint32_t>(usable_cpus()) : threads;
    out.reference_kernels = resolved.text("kernels.mode") == "reference";
    out.activations = resolved.text("kernels.activations");
    out.prefer_kernels = resolved.list("kernels.prefer");
    out.forbid_kernels = resolved.list("kernels.forbid");
    out.tensor_parallel.size = static_cast<uint32_t>(resolved.integer("tensor_parallel.size"));
    out.tensor_parallel.rank = static_cast<uint32_t>(resolved.integer("tensor_parallel.rank"));
    out.cache_dtype = resolved.text("cache.dtype");
    out.max_model_len = static_cast<uint64_t>(resolved.integer("cache.max_model_len"));
    out.sampling = make_sampling(resolved);
    out.log_level = resolved.text("logging.level");
    out.log_format = resolved.text("logging.format");
    out.server = make_server(resolved);
    Problems problems;
    check(resolved, out, problems);
    MORTISE_CHECK(std::move(problems).status());
    return out;
}

}  // namespace mortise::deploy
