#include "engine/text/vocabulary.h"

#include <algorithm>

#include "base/json.h"

namespace mortise::text {

Result<Vocabulary> Vocabulary::make(std::vector<std::pair<std::string, uint32_t>> entries) {
    Vocabulary made;
    uint32_t end = 0;
    for (const auto& [token, id] : entries) {
        if (id >= token_id_limit)
            return fail(Problem{.code = Code::tokenizer_invalid,
                                .what = "token id out of range",
                                .expected = "below " + std::to_string(token_id_limit),
                                .found = json::quote(token) + ": " + std::to_string(id)});
        end = std::max(end, id + 1);
    }
    made.tokens_.resize(end);
    made.present_.resize(end);
    made.ids_.reserve(entries.size());
    for (auto& [token, id] : entries) {
        if (made.present_[id])
            return fail(Problem{.code = Code::tokenizer_invalid,
                                .what = "one id for two tokens",
                                .found = std::to_string(id) + ": " + json::quote(made.tokens_[id]) + " and " +
                                         json::quote(token)});
        made.present_[id] = true;
        made.tokens_[id] = std::move(token);
        made.ids_.emplace(made.tokens_[id], id);
    }
    return made;
}

}  // namespace mortise::text
