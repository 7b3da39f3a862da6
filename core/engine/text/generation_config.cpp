#include "engine/text/generation_config.h"

#include <cmath>

namespace mortise::text {
namespace {

Problem out_of_range(const json::Node& node, const std::string& expected) {
    auto problem = node.problem(Code::config_value, "'" + node.path() + "' is out of range");
    problem.expected = expected;
    problem.found = node.text();
    return problem;
}

Result<uint32_t> whole(const json::Node& node) {
    MORTISE_TRY(const auto value, node.as_int());
    if (value < 0 || value > INT32_MAX) return fail(out_of_range(node, "0 to 2147483647"));
    return static_cast<uint32_t>(value);
}

Status optional_whole(const json::Node& root, const char* key, std::optional<uint32_t>& out) {
    const auto* node = root.find_value(key);
    if (!node) return {};
    MORTISE_TRY(out, whole(*node));
    return {};
}

Status optional_real(const json::Node& root, const char* key, double low, double high,
                     std::optional<float>& out) {
    const auto* node = root.find_value(key);
    if (!node) return {};
    MORTISE_TRY(const double value, node->as_double());
    if (!(value >= low && value <= high))
        return fail(out_of_range(*node, std::to_string(low) + " to " + std::to_string(high)));
    out = static_cast<float>(value);
    return {};
}

}  // namespace

Result<std::vector<uint32_t>> read_eos_token_ids(const json::Node& object) {
    std::vector<uint32_t> ids;
    const auto* node = object.find_value("eos_token_id");
    if (!node) return ids;
    if (node->kind() != json::Kind::array) {
        MORTISE_TRY(const auto id, whole(*node));
        ids.push_back(id);
        return ids;
    }
    node->mark_all_read();
    for (const auto& item : node->items()) {
        MORTISE_TRY(const auto id, whole(*item));
        ids.push_back(id);
    }
    return ids;
}

Result<GenerationConfig> read_generation_config(const json::Node& root) {
    MORTISE_CHECK(root.require(json::Kind::object));
    root.mark_all_read();
    GenerationConfig config;
    MORTISE_TRY(config.eos_token_ids, read_eos_token_ids(root));
    MORTISE_CHECK(optional_whole(root, "bos_token_id", config.bos_token_id));
    MORTISE_CHECK(optional_whole(root, "pad_token_id", config.pad_token_id));
    MORTISE_CHECK(optional_whole(root, "top_k", config.top_k));
    MORTISE_CHECK(optional_whole(root, "max_length", config.max_length));
    MORTISE_CHECK(optional_whole(root, "max_new_tokens", config.max_new_tokens));
    MORTISE_CHECK(optional_real(root, "temperature", 0, 1000, config.temperature));
    MORTISE_CHECK(optional_real(root, "top_p", 0, 1, config.top_p));
    MORTISE_CHECK(optional_real(root, "min_p", 0, 1, config.min_p));
    MORTISE_CHECK(optional_real(root, "repetition_penalty", 1e-6, 1000, config.repetition_penalty));
    if (const auto* node = root.find_value("do_sample")) {
        MORTISE_TRY(config.do_sample, node->as_bool());
    }
    if (const auto* node = root.find_value("stop_strings")) {
        const bool one = node->kind() == json::Kind::string;
        if (!one) MORTISE_CHECK(node->require(json::Kind::array));
        if (one) config.stop_strings.push_back(node->text());
        for (const auto& item : node->items()) {
            MORTISE_TRY(const auto text, item->as_string());
            config.stop_strings.emplace_back(text);
        }
    }
    return config;
}

SamplingOptions sampling_of(const GenerationConfig& config) {
    SamplingOptions options;
    options.repetition_penalty = config.repetition_penalty.value_or(1);
    if (!config.do_sample.value_or(false)) {
        options.temperature = 0;
        return options;
    }
    options.temperature = config.temperature.value_or(1);
    // transformers' GenerationConfig has top_k 50 where the file says nothing
    options.top_k = config.top_k.value_or(50);
    options.top_p = config.top_p.value_or(1) > 0 ? config.top_p.value_or(1) : 1e-9f;
    options.min_p = config.min_p.value_or(0);
    return options;
}

}  // namespace mortise::text
