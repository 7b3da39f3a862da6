// Added tokens of tokenizer.json: they are cut out of the text before anything else, verbatim, with their
// flags. Thread-safe after construction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "engine/text/normalizer.h"
#include "engine/text/pattern.h"
#include "engine/text/vocabulary.h"

namespace mortise::text {

struct AddedToken {
    std::string content;
    std::string text;  // what decoding prints: the normalized content where that is what is looked for
    uint32_t id = 0;
    bool special = false;      // left out by decode(skip_special)
    bool single_word = false;  // no word character may touch it
    bool lstrip = false;       // takes the white space before it
    bool rstrip = false;       // takes the white space behind it
    bool normalized = false;   // looked for in the normalized text
};

class AddedTokens {
  public:
    struct Segment {
        Span span;
        std::optional<uint32_t> id;  // none: ordinary text
    };

    // `normalizer` may be null. Errors: tokenizer_invalid (an id or a content that contradicts the
    // vocabulary).
    static Result<AddedTokens> parse(const json::Node* list, const Vocabulary& vocabulary,
                                     const Normalizer* normalizer);

    // Effect: cuts `text` at the added tokens that are looked for before (false) or after (true)
    // normalization; the leftmost wins, then the longest.
    std::vector<Segment> cut(std::string_view text, bool normalized) const;

    const AddedToken* find(uint32_t id) const;
    const AddedToken* find(std::string_view content) const;
    const std::map<uint32_t, AddedToken>& all() const { return tokens_; }

  private:
    // A byte trie with one node table for each of the two searches.
    struct Trie {
        struct Node {
            std::map<char, uint32_t> next;
            std::optional<uint32_t> id;
        };
        std::vector<Node> nodes{Node{}};
        std::vector<uint32_t> roots = std::vector<uint32_t>(256);  // next of the root, 0 = none
        void insert(std::string_view content, uint32_t id);
        // Effect: length of the longest token at `at`, 0 = none.
        size_t longest(std::string_view text, size_t at, uint32_t& id) const;
    };
    Status add(const json::Node& node, const Vocabulary& vocabulary, const Normalizer* normalizer);

    std::map<uint32_t, AddedToken> tokens_;
    std::unordered_map<std::string, uint32_t> ids_;
    Trie raw_, normalized_;
};

}  // namespace mortise::text
