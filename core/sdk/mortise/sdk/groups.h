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
    std::string order;        // of columns in groups: "" and "weight" = as stored, "group" = mapped
    std::string scale_dtype;  // "" = that of the model
    Config node;

    bool is(std::string_view want_type, int64_t want_bits, std::string_view want_strategy) const {
        return type == want_type && bits == want_bits && strategy == want_strategy && symmetric;
    }
};

// Effect: what a coding is, for messages: "static symmetric int4 per group of 128".
inline std::string text_of(const Coding& coding) {
    return std::string(coding.local     ? "local "
                       : coding.dynamic ? "dynamic "
                                        : "static ") +
           (coding.symmetric ? "symmetric " : "asymmetric ") + coding.type + std::to_string(coding.bits) +
           " per " + coding.strategy +
           (coding.group_size > 0 ? " of " + std::to_string(coding.group_size) : "");
}

// Effect: rows and columns of "128x128", as older files spell a block; nothing for any other text.
inline std::vector<int64_t> block_of(const std::string& text) {
    const size_t x = text.find('x');
    if (x == 0 || x == std::string::npos || x + 1 == text.size() || text.size() > 16) return {};
    if (text.find_first_not_of("0123456789x") != std::string::npos ||
        text.find('x', x + 1) != std::string::npos)
        return {};
    return {std::stoll(text.substr(0, x)), std::stoll(text.substr(x + 1))};
}

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
    if (const Config block = args["block_structure"]; block.is_string())
        out.block = block_of(block.as<std::string>());
    else if (block)
        out.block = block.list<int64_t>();
    const Config order = args["actorder"];
    if (order.is_string()) out.order = order.as<std::string>();
    if (order.is_bool() && order.as<bool>()) out.order = "group";
    if (out.order == "dynamic") out.order = "group";  // the names of an earlier library
    if (out.order == "static") out.order = "weight";
    out.scale_dtype = args.get("scale_dtype", "");
    args.ignore({"observer", "observer_kwargs", "zp_dtype"});
    return out;
}

// Effect: why no such config codes this cache; "" = it does.
inline std::string why_not_in_groups(const mortise_cache_answer& cache) {
    bool keys = false, values = false;
    for (uint32_t f = 0; f < cache.n_fields; ++f) {
        keys = keys || (cache.letters[f] == 'k' && cache.fields[f].role == MORTISE_ROLE_SCALE);
        values = values || (cache.letters[f] == 'v' && cache.fields[f].role == MORTISE_ROLE_SCALE);
    }
    if (cache.encoding == MORTISE_ENCODING_AS_DTYPE) return {};
    if (cache.affine != 0) return "the dialect has no biases of a cache";
    if (cache.encoding != MORTISE_ENCODING_E4M3 && cache.encoding != MORTISE_ENCODING_TWOS)
        return "the dialect has caches of 8 bits only";
    return keys && values ? ""
                          : "the dialect needs stored scales of keys and values, and the source has none";
}
// Effect: how such a config codes it; nothing where it is not coded. Requires: nothing speaks against it.
inline std::optional<Coding> cache_in_groups(const mortise_cache_answer& cache) {
    if (cache.encoding == MORTISE_ENCODING_AS_DTYPE) return std::nullopt;
    Coding out{.type = cache.encoding == MORTISE_ENCODING_TWOS ? "int" : "float"};
    out.strategy = cache.per_head != 0 ? "attn_head" : "tensor";
    out.symmetric = !has_zero_points(cache);
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
    bool queries = false;  // attentions quantize their queries too

    // Effect: the group that targets this module most narrowly: by name before by pattern before by class.
    // All rules counted; null when none does. Errors: two groups target it equally.
    const ModuleGroup* of(const mortise_module& module) {
        const ModuleGroup* found = nullptr;
        Rules::Width best = Rules::Width::none;
        for (ModuleGroup& group : groups) {
            const bool any = group.everywhere && module.kind != MORTISE_MODULE_EMBEDDING;
            const Rules::Width width = any ? Rules::Width::by_class : group.targets.narrowest(module);
            if (width == Rules::Width::none || width < best) continue;
            if (width == best)
                throw Refused({.what = "two groups target one module",
                               .subject = std::string(view(module.name)),
                               .found = found->name + " and " + group.name,
                               .node = group.node.node()});
            best = width;
            found = &group;
        }
        return found;
    }
    // What the config and the tensors say together of one module.
    struct Decision {
        bool coded = false;  // quantized
        const ModuleGroup* group =
            nullptr;  // how, if coded; the first where none targets it; null: no groups
        std::string rule, note;
        Config node;
    };
    // Effect: the tensors say whether (`evidence`; nothing = the module has none, then the config decides),
    // the groups say how; a contradiction is noted.
    Decision decide(const mortise_module& module, std::optional<bool> evidence) {
        const Rule* ignored = ignore.find(module);
        const ModuleGroup* group = of(module);
        const bool chosen = group != nullptr && ignored == nullptr;
        Decision out{.coded = evidence.value_or(chosen), .group = group};
        if (group == nullptr && !groups.empty()) out.group = &groups.front();
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

// Effect: how the KV cache is coded, by an object of the kind that codes weights. Errors: a way that nobody
// here can read.
inline CacheCoding cache_coding_of(const ModuleGroups& groups, const std::string& rule) {
    if (!groups.cache) return {};
    const Coding& coding = *groups.cache;
    const bool by_head = coding.strategy == "attn_head", is_int = coding.type == "int";
    if (coding.dynamic || coding.bits != 8 || !(is_int || (coding.type == "float" && coding.symmetric)) ||
        !(by_head || coding.strategy == "tensor"))
        throw Unsupported({.what = "this KV cache cannot be read",
                           .subject = rule,
                           .expected = "8 bits with stored scales, per tensor or per attn_head",
                           .found = text_of(coding),
                           .node = coding.node.node()});
    CacheCoding out = is_int ? int8_cache(rule) : float8_cache(rule);
    out.per_head = by_head;
    out.zero_points = !coding.symmetric;
    out.queries = groups.queries;
    return out;
}

// Effect: whether a group quantizes what an attention multiplies: its queries, keys and values alike, hence
// in the words of the cache. Errors: Unsupported for other inputs without weights.
inline bool is_of_attention(const ModuleGroup& group, const std::optional<Coding>& cache) {
    if (group.weights || !group.inputs) return false;
    const Coding& in = *group.inputs;
    if (cache && in.is(cache->type, cache->bits, cache->strategy) && cache->symmetric && !in.dynamic)
        return true;
    throw Unsupported({.what = "a group that quantizes inputs and no weights",
                       .subject = group.name,
                       .expected = "weights, or an attention's inputs coded as kv_cache_scheme",
                       .node = in.node.node()});
}

// Effect: the groups, the ignore list and the cache of a quantization config.
// Errors: values of a wrong kind; there are neither groups nor a cache.
inline ModuleGroups read_groups(const Config& config) {
    ModuleGroups out;
    const std::string format = config.get("format", "dense");
    const Config groups = config.require("config_groups");
    out.cache = read_coding(config["kv_cache_scheme"]);
    for (uint64_t g = 0; g < groups.size(); ++g) {
        const Config group = groups.at(g);
        ModuleGroup each{.name = "config_groups." + groups.key(g), .node = group};
        if (!group.is_object())
            throw Unsupported({.what = "a group that only names a preset is not supported",
                               .subject = each.name,
                               .expected = "targets and weights written out",
                               .node = group.node()});
        each.targets = Rules(group["targets"], each.name + ".targets", exact_or_regex);
        each.format = group.get("format", format.c_str());
        each.weights = read_coding(group["weights"]);
        each.inputs = read_coding(group["input_activations"]);
        out.queries |= is_of_attention(each, out.cache);
        if (each.weights || !each.inputs) out.groups.push_back(std::move(each));
    }
    if (out.groups.empty() && !out.cache)
        throw Refused({.what = "there are no groups", .node = groups.node()});
    out.ignore = Rules(config["ignore"], "ignore", exact_or_regex);
    return out;
}

// Effect: nothing. Errors: a setting beside the groups that would change numbers and is not supported.
// rotated: the caller reads the transforms.
inline void check_beside_groups(const Config& config, bool rotated = false) {
    config.one_of("quantization_status", {"compressed", "frozen"}, "compressed");
    config.ignore({"version", "global_compression_ratio", "provider", "quant_method"});
    if (!rotated) config.refuse_if_set("transform_config");
    if (const Config sparsity = config["sparsity_config"]; sparsity.is_object() && sparsity.size() > 0) {
        if (const Config format = sparsity["format"]; sparsity.get("format", "") != "dense")
            throw Unsupported({.what = "sparse weights are not supported",
                               .subject = "sparsity_config",
                               .expected = "format 'dense'",
                               .found = sparsity.get("format", "no format"),
                               .fix = "take the model without this compression, as newer libraries write it",
                               .node = (format ? format : sparsity).node()});
        sparsity.ignore_all();
    }
    const Config groups = config["config_groups"];
    for (uint64_t g = 0; g < groups.size(); ++g) groups.at(g).refuse_if_set("output_activations");
}

// Effect: why such a file is not wholly 8-bit floats with one scale per row, inputs as they are or quantized
// per token from their data, and nothing rotated; "" = it is. Two schemes share these files and must agree.
inline std::string why_not_float8_rows(const Config& config) {
    if (config["transform_config"].size() > 0) return "it transforms activations";
    try {
        const ModuleGroups all = read_groups(config);
        if (all.groups.empty()) return "no group quantizes weights";
        for (const ModuleGroup& group : all.groups) {
            if (group.format != "float-quantized" && group.format != "naive-quantized")
                return group.name + " has format " + group.format;
            if (!group.weights || !group.weights->is("float", 8, "channel"))
                return group.name + " has no 8-bit float weights per channel";
            if (group.inputs &&
                !(group.inputs->is("float", 8, "token") && group.inputs->dynamic && !group.inputs->local))
                return group.name + " does not quantize inputs per token from their data";
        }
    } catch (const Failure&) {
        return "its groups cannot be read";
    } catch (const Reported&) {
        return "its groups cannot be read";
    }
    return {};
}

// Effect: the object that read_coding() reads, keys in byte order; `observer` is the producer's word or "".
inline std::string coding_text(const Coding& coding, const std::string& observer) {
    const auto word = [](const std::string& text) {
        return text.empty() ? std::string("null") : "\"" + text + "\"";
    };
    const std::string dynamic = coding.local ? "\"local\"" : coding.dynamic ? "true" : "false";
    const std::string block = coding.block.size() != 2 ? "null"
                                                       : "[" + std::to_string(coding.block[0]) + "," +
                                                             std::to_string(coding.block[1]) + "]";
    const bool zeros = coding.type == "int" && !coding.symmetric;
    return R"({"actorder":)" + word(coding.order) + R"(,"block_structure":)" + block + R"(,"dynamic":)" +
           dynamic + R"(,"group_size":)" +
           (coding.group_size == 0 ? "null" : std::to_string(coding.group_size)) + R"(,"num_bits":)" +
           std::to_string(coding.bits) + R"(,"observer":)" + word(observer) +
           R"(,"observer_kwargs":{},"scale_dtype":)" + word(coding.scale_dtype) + R"(,"strategy":)" +
           word(coding.strategy) + R"(,"symmetric":)" + (coding.symmetric ? "true" : "false") +
           R"(,"type":)" + word(coding.type) + R"(,"zp_dtype":)" + (zeros ? R"("torch.int8")" : "null") + "}";
}

// One group as it is written.
struct GroupText {
    std::string format;
    Coding weights;
    std::optional<Coding> inputs;
    std::vector<std::string> targets = {"Linear"};
};
// Groups as modules are written one after the other: those of one coding make a group.
struct CodedGroups {
    std::vector<GroupText> groups;  // targets: the names of their modules
    std::vector<std::string> classes;

    void add(const GroupText& form, const std::string& module, uint32_t kind) {
        const auto text = [](const GroupText& each) {
            return each.format + coding_text(each.weights, "") +
                   (each.inputs ? coding_text(*each.inputs, "") : "");
        };
        const auto same = [&](const GroupText& each) { return text(each) == text(form); };
        auto found = std::find_if(groups.begin(), groups.end(), same);
        if (found == groups.end()) {
            found = groups.insert(groups.end(), form);
            found->targets.clear();
        }
        found->targets.push_back(module);
        const char* type = kind == MORTISE_MODULE_EMBEDDING ? "Embedding" : "Linear";
        if (!has(type)) classes.emplace_back(type);
    }
    bool has(std::string_view type) const {
        return std::find(classes.begin(), classes.end(), type) != classes.end();
    }
    // Effect: what the config says: a single group targets classes, several target names.
    std::vector<GroupText> written() const {
        std::vector<GroupText> out = groups;
        if (out.size() == 1) out[0].targets = classes;
        return out;
    }
};
// Effect: a whole config of these groups, with these modules ignored and the cache coded so. Requires: at
// least one group.
inline std::string groups_text(const std::string& method, const std::vector<GroupText>& groups,
                               const std::vector<std::string>& ignored,
                               const std::optional<Coding>& cache = {},
                               const std::string& transforms = "null") {
    std::string list;
    bool mixed = false;
    for (size_t g = 0; g < groups.size(); ++g) {
        const GroupText& group = groups[g];
        list += (g == 0 ? "\"group_" : ",\"group_") + std::to_string(g) + R"(":{"format":")" + group.format +
                R"(","input_activations":)" + (group.inputs ? coding_text(*group.inputs, "") : "null") +
                R"(,"output_activations":null,"targets":)" + json_list(group.targets) + R"(,"weights":)" +
                coding_text(group.weights, "memoryless_minmax") + "}";
        mixed = mixed || group.format != groups[0].format;
    }
    return R"({"config_groups":{)" + list + R"(},"format":")" +
           (groups.empty() ? "dense"
            : mixed        ? "mixed-precision"
                           : groups[0].format) +
           R"(","global_compression_ratio":null,"ignore":)" + json_list(ignored) + R"(,"kv_cache_scheme":)" +
           (cache ? coding_text(*cache, "") : "null") + R"(,"quant_method":")" + method +
           R"(","quantization_status":"compressed","sparsity_config":{},"transform_config":)" +
           (transforms == "null" ? "{}" : transforms) + R"(,"version":"0.19.0"})";
}

}  // namespace mortise::sdk
