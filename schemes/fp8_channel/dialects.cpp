#include "dialects.h"

namespace fp8_channel {
namespace {

using namespace mortise::sdk;

// Scale counts tell a scale per row from one per tensor where the config does not.
std::string why_no_row_scales(const Checkpoint& checkpoint) {
    std::string problem = "no F8_E4M3 weight has a weight_scale";
    bool decided = false;
    checkpoint.each_below("", [&](const mortise_tensor& weight) {
        const std::string name(view(weight.name));
        if (decided || weight.dtype != MORTISE_DTYPE_F8_E4M3 || weight.rank != 2 || !name.ends_with(".weight")) return;
        const auto scale = checkpoint.tensor(name + "_scale");
        decided = true;
        if (!scale) problem = "'" + name + "' has no weight_scale";
        else if (scale->elements() != static_cast<uint64_t>(weight.shape[0])) problem = "'" + scale->name + "' is not one scale per row";
        else if (checkpoint.has(name.substr(0, name.size() - 6) + "input_scale")) problem = "'" + name + "' has a static input scale";
        else problem.clear();
    });
    return problem;
}

bool is_kind(const Config& args, const char* strategy) {
    return args.is_object() && args.get("type", "int") == "float" && args.get<int>("num_bits", 8) == 8 &&
           args.get("strategy", "tensor") == strategy && args.get<bool>("symmetric", true);
}

std::string why_no_group(const Config& group, const std::string& name, const std::string& format) {
    const std::string own = group.get("format", format.c_str());
    if (own != "float-quantized" && own != "naive-quantized") return name + " has format " + own;
    if (!is_kind(group["weights"], "channel")) return name + " does not have 8-bit float weights with a scale per channel";
    const Config inputs = group["input_activations"];
    if (inputs && !(is_kind(inputs, "token") && inputs["dynamic"].is_bool() && inputs.get<bool>("dynamic")))
        return name + " does not quantize its inputs per token and dynamically";
    return {};
}

void read_args(const Config& args) {
    if (!args) return;
    for (const char* key : {"type", "num_bits", "strategy", "symmetric", "dynamic"}) args[key];
    args.ignore({"observer", "observer_kwargs", "scale_dtype", "zp_dtype", "actorder", "block_structure", "group_size"});
}

void read_cache(const Config& cache, Dialect& out) {
    if (!cache) return;
    const std::string strategy = cache.one_of("strategy", {"tensor", "attn_head"}, "tensor");
    if (!is_kind(cache, strategy.c_str()) || cache.get<bool>("dynamic", false))
        throw Unsupported({.what = "only static 8-bit float caches are supported here", .node = cache.node()});
    read_args(cache);
    out.cache_per_head = strategy == "attn_head";
    out.cache_rule = "kv_cache_scheme: 8-bit float per " + strategy;
}

Dialect read_groups(const Config& q) {
    Dialect out;
    out.targeted = true;
    q.one_of("quantization_status", {"compressed", "frozen"}, "compressed");
    q.ignore({"format", "version", "global_compression_ratio", "quant_method"});
    q.refuse_if_set("transform_config");
    if (const Config sparsity = q["sparsity_config"]; sparsity.is_object() && sparsity.size() > 0) {
        sparsity.one_of("format", {"dense"});
        sparsity.ignore_all();
    }
    const Config groups = q.require("config_groups");
    for (uint64_t g = 0; g < groups.size(); ++g) {
        const Config group = groups.at(g);
        const std::string name = "config_groups." + groups.key(g);
        group.refuse_if_set("output_activations");
        group.ignore({"format"});
        read_args(group["weights"]);
        read_args(group["input_activations"]);
        out.groups.push_back({Rules(group["targets"], name + ".targets", exact_or_regex), bool(group["input_activations"]), name, "", group});
    }
    out.ignore = Rules(q["ignore"], "ignore", exact_or_regex);
    read_cache(q["kv_cache_scheme"], out);
    return out;
}

}  // namespace

std::string why_not(const Checkpoint& checkpoint) {
    const Config q = quantization_of(checkpoint);
    if (!q) return checkpoint.config()["quantization"] ? "another key says how it is quantized" : why_no_row_scales(checkpoint);
    const std::string method = q.get("quant_method", "");
    if (method == "fbgemm_fp8") return {};
    if (method == "fp8") return q["weight_block_size"] ? "weight_block_size is set" : why_no_row_scales(checkpoint);
    if (method != "compressed-tensors") return "quant_method is '" + method + "'";
    const Config groups = q["config_groups"];
    if (!groups.is_object() || groups.size() == 0) return "there are no config_groups";
    for (uint64_t g = 0; g < groups.size(); ++g)
        if (auto reason = why_no_group(groups.at(g), groups.key(g), q.get("format", "dense")); !reason.empty()) return reason;
    return {};
}

Dialect read(const Checkpoint& checkpoint) {
    const Config q = quantization_of(checkpoint);
    const std::string method = q.get("quant_method", "");
    if (method == "compressed-tensors") return read_groups(q);
    Dialect out;
    Group all{.rule = method.empty() ? "weight_scale beside an 8-bit weight" : "quant_method " + method, .node = q};
    if (method == "fp8") {
        q.one_of("activation_scheme", {"dynamic"}, "dynamic");
        q.one_of("fmt", {"e4m3", "float8_e4m3fn"}, "e4m3");
    }
    if (q["activation_scale_ub"]) all.note = "activation_scale_ub, an upper bound of the input scale, is not applied";
    out.ignore = Rules(q["modules_to_not_convert"] ? q["modules_to_not_convert"] : q["ignored_layers"], "modules_to_not_convert", any_component);
    q["ignored_layers"];
    out.groups.push_back(std::move(all));
    return out;
}

std::string written_config(const std::vector<std::string>& ignored) {
    const std::string rest = R"("observer_kwargs":{},"scale_dtype":null,"symmetric":true,"type":"float","zp_dtype":null)";
    const auto args = [&](const char* dynamic, const char* observer, const char* strategy) {
        return std::string(R"({"actorder":null,"block_structure":null,"dynamic":)") + dynamic + R"(,"group_size":null,"num_bits":8,"observer":)" +
               observer + R"(,"strategy":)" + strategy + "," + rest + "}";
    };
    std::string list;
    for (const std::string& name : ignored) list += (list.empty() ? "\"" : ",\"") + name + "\"";
    return R"({"config_groups":{"group_0":{"format":"float-quantized","input_activations":)" + args("true", "null", R"("token")") +
           R"(,"output_activations":null,"targets":["Linear"],"weights":)" + args("false", R"("memoryless_minmax")", R"("channel")") +
           R"(}},"format":"float-quantized","global_compression_ratio":null,"ignore":[)" + list +
           R"(],"kv_cache_scheme":null,"quant_method":"compressed-tensors","quantization_status":"compressed","sparsity_config":{},"transform_config":{},"version":"0.19.0"})";
}

}  // namespace fp8_channel
