#include "engine/generate.h"

#include <chrono>
#include <optional>

#include "engine/text/stop.h"
#include "engine/text/stream_decoder.h"

namespace mortise::engine {
namespace {

using Clock = std::chrono::steady_clock;

double between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

class Generator {
  public:
    Generator(Engine& engine, uint32_t sequence, const GenerateOptions& options)
        : engine_(engine),
          sequence_(sequence),
          options_(options),
          sampler_(options.sampling),
          stop_tokens_(options.stop_tokens),
          stop_strings_(options.stop_strings) {
        if (options.tokenizer) decoder_.emplace(*options.tokenizer, options.skip_special);
        for (int32_t id : options.history) seen_.push_back(static_cast<uint32_t>(id));
    }

    Result<Generation> run(std::span<const int32_t> prompt);

  private:
    Result<uint32_t> next(std::span<const int32_t> tokens);
    // Effect: takes the token into the output; true when the output ends with it.
    Result<bool> accept(uint32_t token);
    Status finish_text();

    Engine& engine_;
    uint32_t sequence_;
    const GenerateOptions& options_;
    text::Sampler sampler_;
    text::StopTokens stop_tokens_;
    text::StopStrings stop_strings_;
    std::optional<text::StreamDecoder> decoder_;
    std::vector<uint32_t> seen_;
    Generation out_;
};

Result<uint32_t> Generator::next(std::span<const int32_t> tokens) {
    const Slice slice{sequence_, tokens, false};
    MORTISE_TRY(const auto logits, engine_.forward(std::span(&slice, 1)));
    return sampler_.next(logits, seen_);
}

Result<bool> Generator::accept(uint32_t token) {
    out_.tokens.push_back(static_cast<int32_t>(token));
    seen_.push_back(token);
    const bool stop = !options_.ignore_eos && stop_tokens_.contains(token);
    std::string text;
    if (decoder_ && !stop) {
        MORTISE_TRY(const std::string decoded, decoder_->push(token));
        text = stop_strings_.push(decoded);
    }
    out_.text += text;
    const bool go_on = !options_.on_piece || options_.on_piece({token, text});
    if (stop)
        out_.finish = Finish::stop_token;
    else if (stop_strings_.stopped())
        out_.finish = Finish::stop_string;
    else if (!go_on)
        out_.finish = Finish::cancelled;
    else
        return false;
    return true;
}

// Text that was held back, for half a character or a stop string that never came.
Status Generator::finish_text() {
    if (!decoder_ || stop_strings_.stopped()) return {};
    MORTISE_TRY(const std::string decoded, decoder_->flush());
    std::string rest = stop_strings_.push(decoded);
    if (stop_strings_.stopped())
        out_.finish = Finish::stop_string;
    else
        rest += stop_strings_.flush();
    out_.text += rest;
    if (!rest.empty() && options_.on_piece && out_.finish != Finish::cancelled)
        options_.on_piece({static_cast<uint32_t>(out_.tokens.back()), rest});
    return {};
}

Result<Generation> Generator::run(std::span<const int32_t> prompt) {
    const Clock::time_point start = Clock::now();
    Clock::time_point first = start;
    for (int32_t id : prompt) seen_.push_back(static_cast<uint32_t>(id));
    std::vector<int32_t> input(prompt.begin(), prompt.end());
    while (out_.tokens.size() < options_.max_tokens) {
        if (!out_.tokens.empty() && engine_.length(sequence_) == engine_.max_length()) {
            out_.finish = Finish::cache_full;
            break;
        }
        MORTISE_TRY(const uint32_t token, next(input));
        if (out_.tokens.empty()) first = Clock::now();
        MORTISE_TRY(const bool ends, accept(token));
        if (ends) break;
        input.assign(1, static_cast<int32_t>(token));
    }
    if (!out_.tokens.empty()) MORTISE_CHECK(finish_text());
    out_.stop_string = stop_strings_.matched();
    out_.timing = {prompt.size(), out_.tokens.size(), between(start, first), between(first, Clock::now())};
    return std::move(out_);
}

}  // namespace

std::string_view name(Finish finish) {
    switch (finish) {
        case Finish::max_tokens: return "max_tokens";
        case Finish::stop_token: return "stop_token";
        case Finish::stop_string: return "stop_string";
        case Finish::cancelled: return "cancelled";
        case Finish::cache_full: return "cache_full";
    }
    return "?";
}

Result<Generation> generate(Engine& engine, uint32_t sequence, std::span<const int32_t> prompt,
                            const GenerateOptions& options) {
    MORTISE_CHECK(text::check_sampling(options.sampling));
    if (prompt.empty()) return fail(Code::usage, "the prompt has no tokens");
    if (!options.stop_strings.empty() && !options.tokenizer)
        return fail(Problem{.code = Code::usage,
                            .what = "stop strings need a tokenizer",
                            .fix = "give stop tokens instead, or add tokenizer.json to the checkpoint"});
    return Generator(engine, sequence, options).run(prompt);
}

}  // namespace mortise::engine
