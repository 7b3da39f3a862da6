#include "mortise/speaking.h"

#include <fmt/format.h>

#include "engine/text/generation_config.h"

namespace mortise::tool {
namespace {

constexpr int64_t default_max_tokens = 256;

Result<text::GenerationConfig> generation_config(const checkpoint::Checkpoint& checkpoint) {
    MORTISE_TRY(const json::Document* own, checkpoint.document("generation_config.json"));
    text::GenerationConfig config;
    if (own) {
        MORTISE_TRY(config, text::read_generation_config(own->root()));
    }
    if (!config.eos_token_ids.empty()) return config;
    MORTISE_TRY(const json::Document* model, checkpoint.document("config.json"));
    if (model) {
        MORTISE_TRY(config.eos_token_ids, text::read_eos_token_ids(model->root()));
    }
    return config;
}

Result<engine::GenerateOptions> options_of(const Session& session, const text::GenerationConfig& config) {
    const deploy::Sampling& flags = session.deployment().sampling;
    engine::GenerateOptions options;
    options.sampling = text::sampling_of(config);
    if (flags.temperature) options.sampling.temperature = static_cast<float>(*flags.temperature);
    if (flags.top_k) options.sampling.top_k = static_cast<uint32_t>(*flags.top_k);
    if (flags.top_p) options.sampling.top_p = static_cast<float>(*flags.top_p);
    if (flags.min_p) options.sampling.min_p = static_cast<float>(*flags.min_p);
    if (flags.repetition_penalty)
        options.sampling.repetition_penalty = static_cast<float>(*flags.repetition_penalty);
    if (flags.seed) options.sampling.seed = static_cast<uint64_t>(*flags.seed);
    MORTISE_CHECK(text::check_sampling(options.sampling));
    options.max_tokens =
        static_cast<uint64_t>(flags.max_tokens.value_or(config.max_new_tokens.value_or(default_max_tokens)));
    options.stop_tokens = config.eos_token_ids;
    options.stop_strings = flags.stop.empty() ? config.stop_strings : flags.stop;
    options.ignore_eos = flags.ignore_eos;
    return options;
}

Status read_template(const checkpoint::Checkpoint& checkpoint, Voice& voice) {
    MORTISE_TRY(const json::Document* config, checkpoint.document("tokenizer_config.json"));
    std::optional<std::string> file;
    if (checkpoint.has_file("chat_template.jinja")) {
        MORTISE_TRY(file, checkpoint.file("chat_template.jinja"));
    }
    const auto jinja = file ? std::optional<std::string_view>(*file) : std::nullopt;
    MORTISE_TRY(const auto source,
                text::find_chat_template(jinja, config ? &config->root() : nullptr, false));
    if (config) {
        MORTISE_TRY(voice.special_tokens, text::read_special_tokens(config->root()));
    }
    if (!source) return {};
    MORTISE_TRY(auto parsed, text::ChatTemplate::parse(source->text, source->name));
    voice.chat_template = std::move(parsed);
    return {};
}

std::vector<int32_t> signed_ids(const std::vector<uint32_t>& ids) { return {ids.begin(), ids.end()}; }

}  // namespace

Result<Voice> read_voice(const Session& session, const checkpoint::Checkpoint& checkpoint) {
    Voice voice;
    MORTISE_TRY(const auto config, generation_config(checkpoint));
    MORTISE_TRY(voice.options, options_of(session, config));
    if (!checkpoint.has_file("tokenizer.json")) return voice;
    MORTISE_TRY(auto tokenizer, open_tokenizer(checkpoint));
    voice.tokenizer = std::move(tokenizer);
    MORTISE_CHECK(read_template(checkpoint, voice));
    return voice;
}

Result<std::vector<int32_t>> chat_ids(const Voice& voice, const std::vector<text::ChatMessage>& messages) {
    text::ChatInput input;
    input.messages = text::chat_messages(messages);
    input.add_generation_prompt = true;
    input.special_tokens = voice.special_tokens;
    input.now = text::local_time();
    MORTISE_TRY(const std::string rendered, voice.chat_template->render(input));
    // The template writes the special tokens itself.
    MORTISE_TRY(const auto ids, voice.tokenizer->encode(rendered, false));
    return signed_ids(ids);
}

Result<std::vector<int32_t>> plain_ids(const Voice& voice, const std::string& text) {
    if (!voice.tokenizer)
        return fail(Problem{.code = Code::config_missing,
                            .what = "the checkpoint has no tokenizer.json",
                            .fix = "pass --token-ids instead of text"});
    MORTISE_TRY(const auto ids, voice.tokenizer->encode(text, true));
    return signed_ids(ids);
}

std::string describe(const engine::Timing& timing) {
    return fmt::format("{} prompt tokens in {:.2f} s, {} tokens at {:.1f} tok/s", timing.prompt_tokens,
                       timing.first_token_s, timing.generated, timing.decode_tps());
}

}  // namespace mortise::tool
