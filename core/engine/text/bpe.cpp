#include "engine/text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "base/json.h"
#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

// Finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

struct Candidate {
    uint32_t rank;
    int32_t position;  // of the left symbol
    uint32_t id;       // of the merged token
    bool operator>(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : position > other.position;
    }
};

Problem unknown_token(std::string what, std::string found) {
    return {.code = Code::tokenizer_invalid, .what = std::move(what), .found = json::quote(found)};
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
    constexpr char digits[] = "0123456789ABCDEF";
    for (size_t byte = 0; byte < 256; ++byte)
        bytes_[byte] = vocabulary_.find(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
}

Result<Bpe> Bpe::make(Vocabulary vocabulary, const Merges& merges, BpeOptions options) {
    Bpe made(std::move(vocabulary), std::move(options));
    const Vocabulary& known = made.vocabulary_;
    const std::string& prefix = made.options_.prefix;
    if (made.options_.unknown) made.unknown_ = known.find(*made.options_.unknown);
    made.table_.resize(std::bit_ceil(merges.size() * 2 + 2));
    uint32_t rank = 0;
    for (const auto& [left, right] : merges) {
        const auto left_id = known.find(left), right_id = known.find(right);
        if (!left_id || !right_id)
            return fail(unknown_token(
                "merge " + std::to_string(rank) + " names a token that is not in the vocabulary",
                left_id ? right : left));
        if (!right.starts_with(prefix))
            return fail(unknown_token(
                "right side of merge " + std::to_string(rank) + " lacks the subword prefix", right));
        const std::string whole = left + right.substr(prefix.size());
        const auto id = known.find(whole);
        if (!id)
            return fail(unknown_token(
                "merge " + std::to_string(rank) + " makes a token that is not in the vocabulary", whole));
        made.insert({uint64_t{*left_id} << 32 | *right_id, rank++, *id});
    }
    return made;
}

void Bpe::insert(Merge merge) {
    size_t at = mix(merge.pair) & (table_.size() - 1);
    while (table_[at].pair != no_pair && table_[at].pair != merge.pair) at = (at + 1) & (table_.size() - 1);
    table_[at] = merge;  // of two equal merges the last counts
}

const Bpe::Merge* Bpe::find(uint32_t left, uint32_t right) const {
    const uint64_t pair = uint64_t{left} << 32 | right;
    for (size_t at = mix(pair) & (table_.size() - 1);; at = (at + 1) & (table_.size() - 1)) {
        if (table_[at].pair == pair) return &table_[at];
        if (table_[at].pair == no_pair) return nullptr;
    }
}

std::optional<uint32_t> Bpe::character_id(std::string_view character, bool first, bool last) const {
    if ((first || options_.prefix.empty()) && (!last || options_.suffix.empty()))
        return vocabulary_.find(character);
    std::string text(character);
    if (!first) text.insert(0, options_.prefix);
    if (last) text += options_.suffix;
    return vocabulary_.find(text);
}

bool Bpe::append_bytes(std::string_view character, std::vector<Symbol>& symbols) const {
    const auto known = [&](char byte) { return bytes_[static_cast<uint8_t>(byte)].has_value(); };
    if (!std::all_of(character.begin(), character.end(), known)) return false;
    for (const char byte : character) symbols.push_back({*bytes_[static_cast<uint8_t>(byte)], 0, 0, false});
    return true;
}

void Bpe::start(std::string_view piece, std::vector<Symbol>& symbols) const {
    bool pending = false;  // an unknown token that is not appended yet, because it may grow
    const auto flush = [&] {
        if (pending) symbols.push_back({*unknown_, 0, 0, false});
        pending = false;
    };
    for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        next_code_point(piece, at);
        const auto character = piece.substr(begin, at - begin);
        if (const auto id = character_id(character, begin == 0, at == piece.size())) {
            flush();
            symbols.push_back({*id, 0, 0, false});
            continue;
        }
        if (options_.byte_fallback) {
            std::string text(character);
            if (begin != 0) text.insert(0, options_.prefix);
            if (at == piece.size()) text += options_.suffix;
            // The library appends bytes before an unknown token that waits.
            if (append_bytes(text, symbols)) continue;
        }
        if (!unknown_) continue;  // without an unknown token the library drops the character
        if (!options_.fuse_unknown) flush();
        pending = true;
    }
    flush();
}

void Bpe::encode(std::string_view piece, std::vector<uint32_t>& ids) const {
    if (piece.empty()) return;
    if (options_.ignore_merges)
        if (const auto whole = vocabulary_.find(piece)) return ids.push_back(*whole);
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    start(piece, symbols);
    const auto count = static_cast<int32_t>(symbols.size());
    std::vector<Candidate> storage;
    storage.reserve(symbols.size());
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(std::greater<>(),
                                                                                 std::move(storage));
    const auto offer = [&](int32_t left) {
        if (left < 0 || symbols[static_cast<size_t>(left)].next < 0) return;
        const auto& a = symbols[static_cast<size_t>(left)];
        if (const Merge* merge = find(a.id, symbols[static_cast<size_t>(a.next)].id))
            queue.push({merge->rank, left, merge->id});
    };
    for (int32_t i = 0; i < count; ++i) {
        symbols[static_cast<size_t>(i)].previous = i - 1;
        symbols[static_cast<size_t>(i)].next = i + 1 < count ? i + 1 : -1;
    }
    for (int32_t i = 0; i < count; ++i) offer(i);
    while (!queue.empty()) {
        const Candidate top = queue.top();
        queue.pop();
        auto& left = symbols[static_cast<size_t>(top.position)];
        if (left.gone || left.next < 0) continue;
        auto& right = symbols[static_cast<size_t>(left.next)];
        const Merge* merge = find(left.id, right.id);
        if (!merge || merge->id != top.id) continue;  // the neighbours changed since the offer
        left.id = top.id;
        left.next = right.next;
        right.gone = true;
        if (right.next >= 0) symbols[static_cast<size_t>(right.next)].previous = top.position;
        offer(left.previous);
        offer(top.position);
    }
    for (const Symbol& symbol : symbols)
        if (!symbol.gone) ids.push_back(symbol.id);
}

}  // namespace mortise::text
