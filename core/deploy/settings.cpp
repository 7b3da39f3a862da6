// The rows of the table in setting.h.
#include <algorithm>
#include <array>

#include "deploy/setting.h"

namespace mortise::deploy {

namespace {

using enum Type;
using enum Group;

constexpr auto table = std::to_array<Setting>({
    {"model.path", "", "", file_only, path, "", "", "checkpoint folder or file"},
    {"model.name", "", "", file_only, text, "", "", "org/name in the local cache; never downloaded"},
    {"model.scheme", "scheme", "", planning, text, "", "auto", "id of the scheme that reads the checkpoint"},
    {"model.quantization", "quantization", "-q", planning, text, "", "",
     "dialect that float weights are quantized to while loading, with options: DIALECT:g64"},
    {"model.accept_config_keys", "accept-config-key", "", planning, text_list, "", "",
     "config key that may go unread (repeatable)"},
    {"model.accept_rules", "accept-rule", "", planning, text_list, "", "",
     "rule of the quantization config that may match no module (repeatable)"},
    {"model.accept_missing_head", "accept-missing-head", "", planning, boolean, "", "false",
     "an untied model without a head shares the embedding"},

    {"plugins.plugin_dir", "plugin-dir", "", every_command, path_list, "", "",
     "folder searched for plugins before all others (repeatable)"},
    {"plugins.search_path", "", "", file_only, path_list, "", "",
     "folders searched before the installed plugins"},
    {"plugins.user_dir", "", "", file_only, boolean, "", "false", "search the user's plugin folder too"},
    {"plugins.allow", "", "", file_only, text_list, "", "",
     "ids that may be used; patterns; all others are off"},
    {"plugins.deny", "", "", file_only, text_list, "", "", "ids that are never used; patterns"},
    {"plugins.disable", "", "", file_only, text_list, "", "", "ids that are off unless pinned"},
    {"plugins.pin", "", "", file_only, pin_map, "", "", "id: {version, sha256} that must be the one used"},
    {"plugins.select", "", "", file_only, text_map, "", "",
     "scheme.METHOD or architecture.NAME: plugin id that wins a tie"},

    {"plugins.require_hash", "", "", file_only, boolean, "", "false",
     "open only plugins whose sha256 is pinned"},
    {"plugins.trust", "", "", file_only, text, "deny|warn", "deny",
     "plugin files that others may write or own"},

    {"device.kind", "device", "", planning, text, "", "auto", "kind of device"},
    {"device.threads", "threads", "-t", every_command, integer, "0..1024", "0",
     "threads; 0 = one per usable core"},

    {"kernels.mode", "kernels", "", planning, text, "auto|reference", "auto",
     "fast kernels, or the exact slow ones"},
    {"kernels.activations", "activations", "", planning, text, "exact|as-specified|fast", "as-specified",
     "whether inputs of linears are quantized"},
    {"kernels.prefer", "prefer-kernels", "", planning, text_list, "", "",
     "provider tried first (repeatable)"},
    {"kernels.forbid", "forbid-kernels", "", planning, text_list, "", "", "provider never used (repeatable)"},

    {"tensor_parallel.size", "tensor-parallel-size", "--tp", planning, integer, "1..1024", "1",
     "ranks of the split"},
    {"tensor_parallel.rank", "tensor-parallel-rank", "", planning, integer, "0..1023", "0", "rank to plan"},

    {"cache.dtype", "kv-cache-dtype", "", planning, text,
     "auto|checkpoint|f32|bf16|f16|fp8_e4m3|fp8_e5m2|int8|nvfp4|fp8_e4m3_affine|int8_affine|nvfp4_affine",
     "auto", "auto = the model's, checkpoint = the file's"},
    {"cache.max_model_len", "max-model-len", "-c,--ctx-size", planning, integer, "0..16777216", "0",
     "positions per sequence; 0 = the model's, at most 4096"},

    {"sampling.max_tokens", "max-tokens", "-n", sampling, integer, "0..16777216", "",
     "tokens to generate at most"},
    {"sampling.temperature", "temperature", "", sampling, real, "0..100", "", "0 = greedy"},
    {"sampling.top_k", "top-k", "", sampling, integer, "0..16777216", "", "0 = off"},
    {"sampling.top_p", "top-p", "", sampling, real, "0..1", "", "1 = off"},
    {"sampling.min_p", "min-p", "", sampling, real, "0..1", "", "0 = off"},
    {"sampling.repetition_penalty", "repetition-penalty", "", sampling, real, "0.01..100", "", "1 = off"},
    {"sampling.seed", "seed", "", sampling, integer, "0..9223372036854775807", "",
     "unset = a new one each time"},
    {"sampling.stop", "stop", "", sampling, text_list, "", "", "text that ends the answer (repeatable)"},
    {"sampling.ignore_eos", "ignore-eos", "", sampling, boolean, "", "false", "go on past stop tokens"},

    {"logging.level", "log-level", "", every_command, text, "debug|info|warn|error", "warn",
     "what is logged"},
    {"logging.format", "log-format", "", every_command, text, "text|json", "text", "how it is logged"},

    {"server.host", "", "", file_only, text, "", "127.0.0.1", "address to listen on"},
    {"server.port", "", "", file_only, integer, "1..65535", "8000", "port to listen on"},
    {"server.api_key_file", "", "", file_only, path, "", "", "file with one API key per line"},
    {"server.served_model_name", "", "", file_only, text, "", "", "name that clients ask for"},
    {"server.max_num_seqs", "", "", file_only, integer, "1..65536", "16", "requests served at a time"},
});

}  // namespace

std::span<const Setting> settings() { return table; }

const Setting* find_setting(std::string_view key) {
    const auto* found = std::ranges::find(table, key, &Setting::key);
    return found == table.end() ? nullptr : found;
}

std::string variable_of(const Setting& setting) {
    if (setting.flag.empty()) return {};
    std::string name = "MORTISE_";
    for (char c : setting.flag) name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    return name;
}

}  // namespace mortise::deploy
