#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>

namespace mortise::engine {
namespace {

constexpr uint64_t rows_at_once = 128;  // keeps the logits buffer small

// Closes the sequence on every way out.
class Sequence {
  public:
    Sequence(Engine& engine, uint32_t id) : engine_(engine), id_(id) {}
    ~Sequence() { engine_.close_sequence(id_); }
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;
    uint32_t id() const { return id_; }

  private:
    Engine& engine_;
    uint32_t id_;
};

// Sum over the tokens [score_from, window.size()) of a pass, each predicted from those before it.
Result<double> score_pass(Engine& engine, std::span<const int32_t> window, uint64_t score_from) {
    MORTISE_TRY(const uint32_t id, engine.open_sequence());
    const Sequence sequence(engine, id);
    double sum = 0;
    for (uint64_t at = 0; at + 1 < window.size();) {
        // The row of token t scores token t + 1; rows that score nothing need no logits.
        const bool scores = at + 1 >= score_from;
        const uint64_t limit =
            scores ? window.size() - 1 : std::min<uint64_t>(score_from - 1, window.size() - 1);
        const uint64_t count = std::min(rows_at_once, limit - at);
        const Slice slice{id, window.subspan(at, count), scores};
        MORTISE_TRY(const auto logits, engine.forward(std::span(&slice, 1)));
        const uint64_t width = engine.vocabulary();
        for (uint64_t i = 0; scores && i < count; ++i)
            sum += negative_log_likelihood(logits.subspan(i * width, width), window[at + i + 1]);
        at += count;
    }
    return sum;
}

}  // namespace

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
    const double top = *std::ranges::max_element(logits);
    double sum = 0;
    for (float value : logits) sum += std::exp(static_cast<double>(value) - top);
    return top + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(token)]);
}

Result<Perplexity> perplexity(Engine& engine, std::span<const int32_t> tokens,
                              const PerplexityOptions& options) {
    const uint64_t longest = engine.max_length();
    const uint64_t window = options.window ? std::min(options.window, longest) : longest;
    const uint64_t stride = options.stride ? options.stride : window;
    if (tokens.size() < 2) return fail(Code::usage, "perplexity needs at least two tokens");
    if (stride > window || window < 2)
        return fail(Code::usage, "perplexity needs a stride of at most the window");
    Perplexity result;
    result.tokens = tokens.size();
    double sum = 0;
    uint64_t end = 0;
    for (uint64_t begin = 0; end < tokens.size(); begin += stride) {
        const uint64_t until = std::min<uint64_t>(begin + window, tokens.size());
        const uint64_t score_from =
            std::max<uint64_t>(end, begin + 1) - begin;  // the first of a pass has no context
        MORTISE_TRY(const double part, score_pass(engine, tokens.subspan(begin, until - begin), score_from));
        sum += part;
        result.scored += until - begin - score_from;
        end = until;
        if (options.progress) options.progress(end, tokens.size());
    }
    result.mean_nll = sum / static_cast<double>(result.scored);
    result.value = std::exp(result.mean_nll);
    return result;
}

}  // namespace mortise::engine
