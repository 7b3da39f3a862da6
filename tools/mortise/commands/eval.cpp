// eval: logits of given tokens, or the perplexity of a text.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "checkpoint/write.h"
#include "engine/perplexity.h"
#include "mortise/command.h"
#include "mortise/loading.h"
#include "mortise/output.h"

namespace mortise::tool {

namespace {

class Eval : public Command {
  public:
    void declare(CLI::App& app) override {
        auto* ids = app.add_option("--token-ids", ids_, "tokens, as 1,2,3");
        app.add_option("--logits-out", out_, "safetensors file for `logits` F32 [T,V]")->needs(ids);
        auto* text = app.add_option("--text", text_, "file whose perplexity is computed");
        app.add_option("--stride", stride_,
                       "new tokens of each window of the perplexity; 0 = windows do not overlap")
            ->needs(text);
        ids->excludes(text);
    }

    Result<int> run(Session& session) override {
        if (ids_.empty() == text_.empty())
            return fail(Problem{.code = Code::usage,
                                .what = "eval needs --token-ids or --text",
                                .fix = "see mortise eval --help"});
        return text_.empty() ? logits(session) : perplexity(session);
    }

  private:
    Result<int> logits(Session& session) {
        MORTISE_TRY(const auto ids, parse_ids(ids_));
        MORTISE_TRY(Running running, start(session));
        MORTISE_TRY(const uint32_t sequence, running.engine->open_sequence());
        const engine::Slice slice{sequence, ids, true};
        MORTISE_TRY(const auto logits, running.engine->forward({&slice, 1}));
        const auto rows = static_cast<int64_t>(ids.size()),
                   columns = static_cast<int64_t>(running.engine->vocabulary());
        if (!out_.empty()) {
            MORTISE_TRY(auto file, checkpoint::SafetensorsWriter::create(
                                       out_, {{"logits", DType::f32, {rows, columns}}}));
            MORTISE_CHECK(file.write("logits", 0, std::as_bytes(logits)));
            MORTISE_CHECK(file.close());
        }
        const auto last = logits.subspan(static_cast<size_t>((rows - 1) * columns));
        const auto best = std::max_element(last.begin(), last.end()) - last.begin();
        if (session.json()) {
            json::Writer w;
            w.begin_object()
                .entry("schema", "mortise.eval/v1")
                .entry("rows", rows)
                .entry("vocabulary", columns);
            w.entry("next", int64_t{best}).entry("logits_out", out_).end_object();
            line(w.take());
        } else {
            line(fmt::format("{} rows of {} logits{}; most likely next token {}", rows, columns,
                             out_.empty() ? "" : " in " + out_, best));
        }
        return 0;
    }

    Result<int> perplexity(Session& session) {
        MORTISE_TRY(const std::string text, read_file(text_));
        MORTISE_TRY(Running running, start(session));
        MORTISE_TRY(const text::Tokenizer tokenizer, open_tokenizer(running.planned->checkpoint()));
        MORTISE_TRY(const auto encoded, tokenizer.encode(text, true));
        const std::vector<int32_t> ids(encoded.begin(), encoded.end());
        mortise::Progress bar("eval", ids.size(), session.progress(Progress::Unit::items));
        MORTISE_TRY(const auto result,
                    engine::perplexity(
                        *running.engine, ids,
                        {.stride = stride_, .progress = [&](uint64_t done, uint64_t) { bar.update(done); }}));
        bar.finish();
        if (session.json()) {
            json::Writer w;
            w.begin_object()
                .entry("schema", "mortise.eval/v1")
                .entry("perplexity", result.value)
                .entry("mean_nll", result.mean_nll);
            w.entry("tokens", result.tokens).entry("scored", result.scored).end_object();
            line(w.take());
        } else {
            line(fmt::format("perplexity {:.6f} over {} of {} tokens", result.value,
                             with_commas(result.scored), with_commas(result.tokens)));
        }
        return 0;
    }

    std::string ids_, out_, text_;
    uint64_t stride_ = 0;
};

const Registration registration(
    {.name = "eval",
     .summary = "logits of given tokens, or the perplexity of a text",
     .examples =
         "  mortise eval models/my-checkpoint --token-ids 1,2,3 --logits-out logits.safetensors\n"
         "  mortise eval models/my-checkpoint --text book.txt\n"
         "  mortise eval models/my-checkpoint --text book.txt --kernels reference --activations exact\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Eval>);

}  // namespace

}  // namespace mortise::tool
