// run: one prompt, one continuation.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/speaking.h"

namespace mortise::tool {

namespace {

class Run : public Command {
  public:
    void declare(CLI::App& app) override {
        auto* prompt =
            app.add_option("-p,--prompt", prompt_, "text; an instruct model's template is put around it");
        app.add_option("--token-ids", ids_, "tokens instead of text, as 1,2,3")->excludes(prompt);
        app.add_flag("--raw", raw_, "no template: the model continues the text")->needs(prompt);
    }

    Result<int> run(Session& session) override {
        if (prompt_.empty() == ids_.empty())
            return fail(Problem{.code = Code::usage,
                                .what = "run needs --prompt or --token-ids",
                                .fix = "see mortise run --help"});
        MORTISE_TRY(const auto planned, session.plan(true));
        MORTISE_TRY(Voice voice, read_voice(session, planned->checkpoint()));
        MORTISE_TRY(const auto prompt, prompt_ids(voice));
        MORTISE_TRY(Running running, start(session, planned));
        MORTISE_TRY(const uint32_t sequence, running.engine->open_sequence());
        if (voice.tokenizer) voice.options.tokenizer = &*voice.tokenizer;
        if (!session.json())
            voice.options.on_piece = [](const engine::Piece& piece) {
                print(piece.text);
                std::fflush(stdout);
                return true;
            };
        MORTISE_TRY(const auto result, engine::generate(*running.engine, sequence, prompt, voice.options));
        if (session.json())
            print_json(result, voice.tokenizer.has_value());
        else
            finish(session, result, voice.tokenizer.has_value());
        return 0;
    }

  private:
    Result<std::vector<int32_t>> prompt_ids(const Voice& voice) const {
        if (!ids_.empty()) return parse_ids(ids_);
        if (voice.chat_template && voice.tokenizer && !raw_) return chat_ids(voice, {{"user", prompt_}});
        return plain_ids(voice, prompt_);
    }

    static void print_json(const engine::Generation& result, bool has_text) {
        json::Writer w;
        w.begin_object().key("token_ids").begin_array();
        for (int32_t token : result.tokens) w.value(token);
        w.end_array().key("text");
        if (has_text)
            w.value(result.text);
        else
            w.null();
        w.entry("finish", engine::name(result.finish)).entry("prompt_tokens", result.timing.prompt_tokens);
        w.entry("first_token_s", result.timing.first_token_s)
            .entry("decode_tps", result.timing.decode_tps())
            .end_object();
        line(w.take());
    }

    static void finish(Session& session, const engine::Generation& result, bool has_text) {
        if (!has_text)
            for (size_t i = 0; i < result.tokens.size(); ++i)
                print((i ? "," : "") + std::to_string(result.tokens[i]));
        line("");
        std::fflush(stdout);  // before what goes to standard error
        if (!session.progress().silent)
            fmt::print(stderr, "{} ({})\n", describe(result.timing), engine::name(result.finish));
    }

    std::string prompt_, ids_;
    bool raw_ = false;
};

const Registration registration(
    {.name = "run",
     .summary = "continue one prompt",
     .examples =
         "  mortise run models/my-checkpoint -p \"What is the capital of France?\"\n"
         "  mortise run models/my-checkpoint -p \"Once upon a time\" --raw --temperature 0\n"
         "  mortise run models/my-checkpoint --token-ids 1,2,3 --max-tokens 8 --temperature 0 --json\n",
     .uses = Uses::sampling,
     .takes_model = true},
    make_command<Run>);

}  // namespace

}  // namespace mortise::tool
