// chat: a conversation on the terminal. The cache keeps what both sides said; only what is new is computed.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/speaking.h"

namespace mortise::tool {

namespace {

class Chat : public Command {
  public:
    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto planned, session.plan(true));
        MORTISE_TRY(Voice voice, read_voice(session, planned->checkpoint()));
        if (!voice.tokenizer || !voice.chat_template)
            return fail(Problem{
                .code = Code::config_missing,
                .what = "the checkpoint has no tokenizer or no chat template",
                .file = planned->plan().path,
                .expected = "tokenizer.json, and chat_template.jinja or a template in tokenizer_config.json",
                .fix = "use mortise run --raw for a base model"});
        voice.options.tokenizer = &*voice.tokenizer;
        MORTISE_TRY(Running running, start(session, planned));
        MORTISE_TRY(const uint32_t sequence, running.engine->open_sequence());
        voice.options.on_piece = [](const engine::Piece& piece) {
            print(piece.text);
            std::fflush(stdout);
            return true;
        };
        const bool terminal = ::isatty(STDIN_FILENO) != 0;
        if (terminal) fmt::print(stderr, "Ctrl-D or /exit ends, /reset forgets the conversation.\n");
        return converse(running, sequence, voice, terminal);
    }

  private:
    Result<int> converse(Running& running, uint32_t sequence, Voice& voice, bool terminal) {
        std::vector<text::ChatMessage> messages;
        std::vector<int32_t> cached;  // what the sequence holds
        for (std::string words; ask(terminal, words);) {
            if (words == "/exit") break;
            if (words == "/reset") {
                messages.clear();
                continue;
            }
            if (words.empty()) continue;
            messages.push_back({"user", words});
            MORTISE_TRY(const auto ids, chat_ids(voice, messages));
            // Everything up to the first difference is in the cache already; at least one token must run.
            const size_t same = std::min<size_t>(
                std::mismatch(ids.begin(), ids.end(), cached.begin(), cached.end()).first - ids.begin(),
                ids.size() - 1);
            running.engine->truncate(sequence, std::min<uint64_t>(same, running.engine->length(sequence)));
            const auto held = static_cast<size_t>(running.engine->length(sequence));
            voice.options.history = std::span(ids).first(held);
            MORTISE_TRY(const auto reply, engine::generate(*running.engine, sequence,
                                                           std::span(ids).subspan(held), voice.options));
            line("");
            messages.push_back({"assistant", reply.text});
            cached = ids;
            cached.insert(cached.end(), reply.tokens.begin(), reply.tokens.end());
            if (reply.finish == engine::Finish::cache_full) {
                fmt::print(stderr, "the context of {} tokens is full; /reset starts again\n",
                           running.engine->max_length());
            }
        }
        return 0;
    }

    static bool ask(bool terminal, std::string& words) {
        if (terminal) fmt::print(stderr, "> ");
        return static_cast<bool>(std::getline(std::cin, words));
    }
};

const Registration registration(
    {.name = "chat",
     .summary = "talk with an instruct model",
     .examples = "  mortise chat models/my-checkpoint\n"
                 "  mortise chat models/my-checkpoint --temperature 0.7 --seed 1\n"
                 "  mortise chat org/name --max-model-len 8192\n",
     .uses = Uses::sampling,
     .takes_model = true},
    make_command<Chat>);

}  // namespace

}  // namespace mortise::tool
