// Configs that quantize by groups of modules: each group has target rules and says how weights and inputs are
// coded; an ignore list takes modules out again. Reads and writes the `config_groups` form of such configs.
//
// Reading is exact: what is not read here or by the scheme is reported by the host as an unknown key.
// One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mortise/sdk/cache.h"
#include "mortise/sdk/rules.h"
#include "mortise/sdk/writer.h"

namespace mortise::sdk {

// How weights, inputs or a cache are coded.
struct Coding {
    std::string type = "int";  // int, float
    int64_t bits = 8;
    std::string strategy;  // tensor, channel, group, block, token, tensor_group, attn_head
    bool symmetric = true, dynamic = false, local = false;  // local: dynamic groups under a static scale
    int64_t group_size = 0;                                 // 0 = not said
    std::vector<int64_t> block;
    std::string order;  // of columns in groups; "" = as stored
    Config node;

    bool is(std::string_view want_type, int64_t want_bits, std::string_view want_strategy) const {
        return type == want_type && bits == want_bits && strategy == want_strategy && symmetric;
    }
};

// Effect: the coding that an object describes; nothing when it is absent. Errors: values of a wrong kind.
inline std::optional<Coding> read_coding(const Config& args) {
    if (!args) return std::nullopt;
    Coding out;
    out.node = args;
    out.type = args.get("type", "int");
    out.bits = args.get<int64_t>("num_bits", 8);
    out.symmetric = args.get<bool>("symmetric", true);
    out.group_size = args.get<int64_t>("group_size", 0);
    const char* usual = out.group_size > 0 ? "group" : out.group_size == -1 ? "channel" : "tensor";
    out.strategy = args.get("strategy", usual);
    const Config dynamic = args["dynamic"];
    out.local = dynamic.is_string() && dynamic.as<std::string>() == "local";
    out.dynamic = out.local || (dynamic && dynamic.as<bool>());
    if (const Config block = args["block_structure"]; block.is_array()) out.block = block.list<int64_t>();
    if (const Config order = args["actorder"]; order.is_string()) out.order = order.as<std::string>();
    args.ignore({"observer", "observer_kwargs", "scale_dtype", "zp_dtype"});
    return out;
}

// Effect: how an object of that kind codes a KV cache. Errors: a way that nobody here can read.
inline CacheCoding cache_coding_of(const std::optional<Coding>& coding, const std::string& rule) {
    if (!coding) return {};
    const bool by_head = coding->strategy == "attn_head";
    const bool is_int = coding->type == "int", is_float = coding->type == "float" && coding->symmetric;
    if (coding->dynamic || coding->bits != 8 || !(is_int || is_float) || !(by_head || coding->strategy == "tensor"))
        throw Unsupported({.what = "only 8-bit caches with stored scales, per tensor or per head, can be read",
                           .node = coding->node.node()});
    CacheCoding out = is_int ? int8_cache(rule) : float8_cache(rule);
    out.per_head = by_head;
    out.zero_points = !coding->symmetric;
    return out;
}

struct ModuleGroup {
    Rules targets;
    bool everywhere = false;  // no target rules: all linears
    std::string name;         // "config_groups.group_0"
    std::string format;
    std::optional<Coding> weights, inputs;
    Config node;
};

struct ModuleGroups {
    std::vector<ModuleGroup> groups;
    Rules ignore;
    std::optional<Coding> cache;

    // Effect: the first group that targets this module, all rules counted; null when none does.
    const ModuleGroup* of(const mortise_module& module) {
        const ModuleGroup* found = nullptr;
        for (ModuleGroup& group : groups) {
            const bool wanted = group.everywhere ? module.kind != MORTISE_MODULE_EMBEDDING
                                                 : group.targets.find(module) != nullptr;
            if (wanted && found == nullptr) found = &group;
        }
        return found;
    }
    // What the config and the tensors say together of one module.
    struct Decision {
        bool coded = false;                  // quantized
        const ModuleGroup* group = nullptr;  // how, if coded; the first group where none targets it
        std::string rule, note;
        Config node;
    };
    // Effect: the tensors say whether (`evidence`; nothing = the module has none, then the config decides),
    // the groups say how; a contradiction is noted.
    Decision decide(const mortise_module& module, std::optional<bool> evidence) {
        const Rule* ignored = ignore.find(module);
        const ModuleGroup* group = of(module);
        const bool chosen = group != nullptr && ignored == nullptr;
        Decision out{.coded = evidence.value_or(chosen), .group = group != nullptr ? group : &groups.front()};
        out.rule = ignored != nullptr ? ignored->text
                   : group != nullptr ? group->name
                                      : "no group targets it";
        out.node = ignored != nullptr ? ignored->node : group != nullptr ? group->node : Config();
        if (out.coded && !chosen) out.note = "the config leaves it out, and its weight is quantized";
        if (!out.coded && chosen) out.note = "the config selects it, and its weight is a plain float";
        return out;
    }
    void report(mortise_rule_visitor visit, void* context) const {
        ignore.report(visit, context);
        for (const ModuleGroup& group : groups) group.targets.report(visit, context);
    }
};

// Effect: the groups, the ignore list and the cache of a quantization config.
// Errors: values of a wrong kind; there are no groups.
inline ModuleGroups read_groups(const Config& config) {
    ModuleGroups out;
    const std::string format = config.get("format", "dense");
    const Config groups = config.require("config_groups");
    for (uint64_t g = 0; g < groups.size(); ++g) {
        const Config group = groups.at(g);
        ModuleGroup each{.name = "config_groups." + groups.key(g), .node = group};
        each.targets = Rules(group["targets"], each.name + ".targets", exact_or_regex);
        each.format = group.get("format", format.c_str());
        each.weights = read_coding(group["weights"]);
        each.inputs = read_coding(group["input_activations"]);
        out.groups.push_back(std::move(each));
    }
    if (out.groups.empty()) throw Refused({.what = "there are no groups", .node = groups.node()});
    out.ignore = Rules(config["ignore"], "ignore", exact_or_regex);
    out.cache = read_coding(config["kv_cache_scheme"]);
    return out;
}

// Effect: nothing. Errors: a setting beside the groups that would change numbers and is not supported.
inline void check_beside_groups(const Config& config) {
    config.one_of("quantization_status", {"compressed", "frozen"}, "compressed");
    config.ignore({"version", "global_compression_ratio", "quant_method"});
    config.refuse_if_set("transform_config");
    if (const Config sparsity = config["sparsity_config"]; sparsity.is_object() && sparsity.size() > 0) {
        sparsity.one_of("format", {"dense"});
        sparsity.ignore_all();
    }
    const Config groups = config["config_groups"];
    for (uint64_t g = 0; g < groups.size(); ++g) groups.at(g).refuse_if_set("output_activations");
}

// Effect: the object that read_coding() reads, keys in byte order; `observer` is the producer's word or "".
inline std::string coding_text(const Coding& coding, const std::string& observer) {
    const auto word = [](const std::string& text) {
        return text.empty() ? std::string("null") : "\"" + text + "\"";
    };
    return R"({"actorder":)" + word(coding.order) + R"(,"block_structure":null,"dynamic":)" +
           (coding.dynamic ? "true" : "false") + R"(,"group_size":)" +
           (coding.group_size == 0 ? "null" : std::to_string(coding.group_size)) + R"(,"num_bits":)" +
           std::to_string(coding.bits) + R"(,"observer":)" + word(observer) +
           R"(,"observer_kwargs":{},"scale_dtype":null,"strategy":)" + word(coding.strategy) +
           R"(,"symmetric":)" + (coding.symmetric ? "true" : "false") + R"(,"type":)" + word(coding.type) +
           R"(,"zp_dtype":null})";
}
// Effect: a whole config of one group over all linears, with these modules ignored.
inline std::string groups_text(const std::string& method, const std::string& format, const Coding& weights,
                               const std::optional<Coding>& inputs, const std::vector<std::string>& ignored) {
    return R"({"config_groups":{"group_0":{"format":")" + format + R"(","input_activations":)" +
           (inputs ? coding_text(*inputs, "") : "null") +
           R"(,"output_activations":null,"targets":["Linear"],"weights":)" +
           coding_text(weights, "memoryless_minmax") + R"(}},"format":")" + format +
           R"(","global_compression_ratio":null,"ignore":)" + json_list(ignored) +
           R"(,"kv_cache_scheme":null,"quant_method":")" + method +
           R"(","quantization_status":"compressed","sparsity_config":{},"transform_config":{},"version":"0.19.0"})";
}

}  // namespace mortise::sdk
