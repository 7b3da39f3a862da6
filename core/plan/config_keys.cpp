// Accounts for every key of the model's config: read by a plugin, known to mean nothing for inference, empty,
// or an error. A look-alike whose special key is ignored would load every byte and compute nonsense.

#include <algorithm>
#include <array>

#include "plan/resolver.h"

namespace mortise::plan {
namespace {

// Keys of the published configs that change nothing at inference, whatever their value: training,
// bookkeeping, generation defaults (read from generation_config.json where they matter), switches of the
// Python classes.
constexpr std::array inert_keys = {"_name_or_path",
                                   "_commit_hash",
                                   "_attn_implementation",
                                   "_attn_implementation_autoset",
                                   "_frozen",
                                   "_from_model_config",
                                   "add_cross_attention",
                                   "architectures",
                                   "attention_dropout",
                                   "attn_implementation",
                                   "attn_pdrop",
                                   "auto_map",
                                   "bad_words_ids",
                                   "begin_suppress_tokens",
                                   "bos_token_id",
                                   "chunk_size_feed_forward",
                                   "classifier_dropout",
                                   "cross_attention_hidden_size",
                                   "decoder_start_token_id",
                                   "diversity_penalty",
                                   "do_sample",
                                   "dtype",
                                   "early_stopping",
                                   "embd_pdrop",
                                   "encoder_no_repeat_ngram_size",
                                   "eos_token_id",
                                   "exponential_decay_length_penalty",
                                   "finetuning_task",
                                   "forced_bos_token_id",
                                   "forced_eos_token_id",
                                   "gradient_checkpointing",
                                   "hidden_dropout",
                                   "id2label",
                                   "initializer_range",
                                   "is_decoder",
                                   "is_encoder_decoder",
                                   "label2id",
                                   "length_penalty",
                                   "max_length",
                                   "min_length",
                                   "model_type",
                                   "no_repeat_ngram_size",
                                   "num_beam_groups",
                                   "num_beams",
                                   "num_return_sequences",
                                   "output_attentions",
                                   "output_hidden_states",
                                   "output_scores",
                                   "pad_token_id",
                                   "prefix",
                                   "pretraining_tp",
                                   "problem_type",
                                   "pruned_heads",
                                   "remove_invalid_values",
                                   "repetition_penalty",
                                   "resid_pdrop",
                                   "return_dict",
                                   "return_dict_in_generate",
                                   "rope_interleaved",
                                   "sep_token_id",
                                   "suppress_tokens",
                                   "task_specific_params",
                                   "temperature",
                                   "tf_legacy_loss",
                                   "tokenizer_class",
                                   "top_k",
                                   "top_p",
                                   "torch_dtype",
                                   "torchscript",
                                   "transformers_version",
                                   "transformers.js_config",
                                   "typical_p",
                                   "unsloth_fixed",
                                   "unsloth_version",
                                   "use_bfloat16",
                                   "use_cache",
                                   "neftune_noise_alpha"};

// Inert only while they hold the value that changes nothing.
bool neutral(const std::string& key, const json::Node& value) {
    if (key == "rope_interleaved") return value.text() == "false";
    if (key == "pretraining_tp") return value.text() == "1";
    return true;
}

bool is_inert(const std::string& key, const json::Node& value) {
    return std::find(inert_keys.begin(), inert_keys.end(), key) != inert_keys.end() && neutral(key, value);
}

bool is_empty(const json::Node& value) {
    switch (value.kind()) {
        case json::Kind::null: return true;
        case json::Kind::boolean: return value.text() == "false";
        case json::Kind::string: return value.text().empty();
        case json::Kind::array:
        case json::Kind::object: return value.size() == 0;
        default: return false;
    }
}

std::string shortened(const json::Node& value) {
    if (value.kind() == json::Kind::object || value.kind() == json::Kind::array)
        return "an " + std::string(json::name(value.kind()));
    return value.text().size() > 40 ? value.text().substr(0, 40) + "..." : value.text();
}

void walk(Resolver& r, const json::Node& object, bool at_root) {
    for (size_t i = 0; i < object.size(); ++i) {
        const json::Node& value = *object.items()[i];
        const bool named = object.kind() == json::Kind::object;
        if (at_root && object.kind() == json::Kind::object && object.keys()[i] == "text_config")
            continue;  // walked by itself
        if (value.was_read()) {
            if (value.kind() == json::Kind::object || value.kind() == json::Kind::array)
                walk(r, value, false);
            continue;
        }
        if (!named || is_empty(value) || (at_root && is_inert(object.keys()[i], value))) continue;
        const std::string path = value.path();
        if (r.options.accepted_config_keys.contains(path)) {
            r.plan.notes.push_back("config key " + path + " = " + shortened(value) +
                                   " is not understood; accepted by request");
            continue;
        }
        Problem problem = value.problem(
            Code::config_unknown_key, "config key '" + path + "' is not understood by this model's plugins");
        problem.expected = "a known key, or a value of null, false or nothing";
        problem.found = shortened(value);
        problem.fix = "if it does not change the results, go on with --accept-config-key " + path;
        r.problems.add(problem);
    }
}

}  // namespace

void check_config_keys(Resolver& r) {
    const auto document = r.checkpoint.document("config.json");
    if (!document || !*document) return;
    const json::Node& root = (*document)->root();
    walk(r, root, true);
    if (const json::Node* text = root.find("text_config"); text && text->kind() == json::Kind::object)
        walk(r, *text, true);
}

}  // namespace mortise::plan
