#include "mortise/loading.h"

#include <charconv>

namespace mortise::tool {

Result<Running> start(Session& session) {
    MORTISE_TRY(auto planned, session.plan(true));
    return start(session, std::move(planned));
}

Result<Running> start(Session& session, std::shared_ptr<const plan::Planned> planned) {
    Running running{.planned = std::move(planned)};
    Progress bar("load", running.planned->checkpoint().catalog.total_bytes(), session.progress());
    MORTISE_TRY(running.model, load::load(running.planned, session.team(),
                                          [&](uint64_t done, uint64_t) { bar.update(done); }));
    bar.finish();
    MORTISE_TRY(running.engine, engine::Engine::make(running.model, session.team()));
    return running;
}

Result<load::Receipt> verify(Session& session, const plan::Planned& planned) {
    Progress bar("check", planned.checkpoint().catalog.total_bytes(), session.progress());
    return load::verify(load::Origin(planned), session.team(),
                        [&](uint64_t done, uint64_t) { bar.update(done); });
}

Result<std::vector<int32_t>> parse_ids(std::string_view text) {
    std::vector<int32_t> ids;
    for (const char* at = text.data(); at < text.data() + text.size();) {
        int32_t id = 0;
        const auto [end, error] = std::from_chars(at, text.data() + text.size(), id);
        if (error != std::errc() || id < 0 || (end < text.data() + text.size() && *end != ','))
            return fail(Problem{.code = Code::usage,
                                .what = "--token-ids is no list of token ids",
                                .expected = "1,2,3",
                                .found = std::string(text)});
        ids.push_back(id);
        at = end + 1;
    }
    if (ids.empty())
        return fail(Problem{.code = Code::usage, .what = "--token-ids is empty", .expected = "1,2,3"});
    return ids;
}

Result<text::Tokenizer> open_tokenizer(const checkpoint::Checkpoint& checkpoint) {
    if (!checkpoint.has_file("tokenizer.json"))
        return fail(Problem{.code = Code::config_missing,
                            .what = "the checkpoint has no tokenizer.json",
                            .file = checkpoint.path,
                            .expected = "tokenizer.json beside the weights",
                            .found = "no such file",
                            .fix = "add the tokenizer of the model, or pass --token-ids"});
    MORTISE_TRY(const std::string bytes, checkpoint.file("tokenizer.json"));
    return text::Tokenizer::parse(bytes, checkpoint.file_origin("tokenizer.json"));
}

}  // namespace mortise::tool
