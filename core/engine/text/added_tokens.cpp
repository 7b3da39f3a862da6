#include "engine/text/added_tokens.h"

#include <algorithm>

#include "engine/text/fields.h"
#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

constexpr size_t content_limit = 1024;  // bytes; bounds the search to text x limit

size_t previous_start(std::string_view text, size_t at) {
    do --at;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
    return at;
}

bool word_before(std::string_view text, size_t at) {
    if (at == 0) return false;
    size_t begin = previous_start(text, at);
    return is_word(next_code_point(text, begin));
}

bool word_behind(std::string_view text, size_t at) {
    return at < text.size() && is_word(next_code_point(text, at));
}

size_t skip_space_back(std::string_view text, size_t at) {
    while (at > 0) {
        const size_t begin = previous_start(text, at);
        size_t position = begin;
        if (!is_whitespace(next_code_point(text, position))) break;
        at = begin;
    }
    return at;
}

size_t skip_space(std::string_view text, size_t at) {
    while (at < text.size()) {
        size_t behind = at;
        if (!is_whitespace(next_code_point(text, behind))) break;
        at = behind;
    }
    return at;
}

}  // namespace

void AddedTokens::Trie::insert(std::string_view content, uint32_t id) {
    if (content.empty()) return;  // normalized away
    uint32_t at = 0;
    for (const char byte : content) {
        const auto [found, fresh] = nodes[at].next.try_emplace(byte, static_cast<uint32_t>(nodes.size()));
        const uint32_t child = found->second;
        if (fresh) nodes.emplace_back();  // invalidates found
        if (at == 0) roots[static_cast<uint8_t>(byte)] = child;
        at = child;
    }
    if (!nodes[at].id) nodes[at].id = id;  // of two with the same normalized content the first counts
}

size_t AddedTokens::Trie::longest(std::string_view text, size_t at, uint32_t& id) const {
    size_t best = 0;
    uint32_t node = roots[static_cast<uint8_t>(text[at])];
    for (size_t i = at + 1; node != 0; ++i) {
        if (nodes[node].id) {
            best = i - at;
            id = *nodes[node].id;
        }
        if (i == text.size()) break;
        const auto next = nodes[node].next.find(text[i]);
        node = next == nodes[node].next.end() ? 0 : next->second;
    }
    return best;
}

Status AddedTokens::add(const json::Node& node, const Vocabulary& vocabulary, const Normalizer* normalizer) {
    const Fields fields(node, "added token");
    AddedToken token;
    MORTISE_TRY(const auto id, fields.integer("id", 0, token_id_limit - 1));
    token.id = static_cast<uint32_t>(id);
    MORTISE_TRY(token.content, fields.string("content"));
    MORTISE_TRY(token.special, fields.flag("special", false));
    MORTISE_TRY(token.single_word, fields.flag("single_word", false));
    MORTISE_TRY(token.lstrip, fields.flag("lstrip", false));
    MORTISE_TRY(token.rstrip, fields.flag("rstrip", false));
    MORTISE_TRY(token.normalized, fields.flag("normalized", !token.special));
    MORTISE_CHECK(fields.finish());
    if (token.content.size() > content_limit)
        return fail(fields.invalid("content is longer than " + std::to_string(content_limit) + " bytes"));
    if (token.content.empty()) return {};  // the library ignores them
    const auto in_vocabulary = vocabulary.find(token.content);
    const auto owner = vocabulary.token(token.id);
    if ((in_vocabulary && *in_vocabulary != token.id) || (owner && *owner != token.content))
        return fail(fields.invalid("id " + std::to_string(token.id) + " of " + json::quote(token.content) +
                                   " contradicts the vocabulary"));
    const auto [same, fresh] = ids_.try_emplace(token.content, token.id);
    if (!fresh && same->second != token.id)
        return fail(fields.invalid(json::quote(token.content) + " has two ids"));
    if (const auto known = tokens_.find(token.id);
        known != tokens_.end() && known->second.content != token.content)
        return fail(fields.invalid("one id for " + json::quote(known->second.content) + " and " +
                                   json::quote(token.content)));
    token.text = token.content;
    if (token.normalized && normalizer) MORTISE_CHECK(normalizer->apply(token.text));
    (token.normalized ? normalized_ : raw_).insert(token.text, token.id);
    tokens_.insert_or_assign(token.id, std::move(token));
    return {};
}

Result<AddedTokens> AddedTokens::parse(const json::Node* list, const Vocabulary& vocabulary,
                                       const Normalizer* normalizer) {
    AddedTokens made;
    if (!list) return made;
    MORTISE_CHECK(list->require(json::Kind::array));
    Problems problems;
    for (const auto& item : list->items())
        if (auto added = made.add(*item, vocabulary, normalizer); !added) problems.add(added.error());
    MORTISE_CHECK(std::move(problems).status());
    return made;
}

std::vector<AddedTokens::Segment> AddedTokens::cut(std::string_view text, bool normalized) const {
    const Trie& trie = normalized ? normalized_ : raw_;
    std::vector<Segment> out;
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
        uint32_t id = 0;
        const size_t length = trie.longest(text, at, id);
        if (length == 0) {
            ++at;
            continue;
        }
        const AddedToken& token = tokens_.at(id);
        size_t begin = at, end = at + length;
        at = end;
        if (token.single_word && (word_before(text, begin) || word_behind(text, end))) continue;
        if (token.lstrip) begin = std::max(skip_space_back(text, begin), done);
        if (token.rstrip) end = skip_space(text, end);
        if (begin >= end) continue;  // the token before took all of it
        if (done < begin) out.push_back({{done, begin}, std::nullopt});
        out.push_back({{begin, end}, id});
        done = end;
    }
    if (done < text.size()) out.push_back({{done, text.size()}, std::nullopt});
    return out;
}

const AddedToken* AddedTokens::find(uint32_t id) const {
    const auto found = tokens_.find(id);
    return found == tokens_.end() ? nullptr : &found->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
    const auto found = ids_.find(std::string(content));
    return found == ids_.end() ? nullptr : find(found->second);
}

}  // namespace mortise::text
