// Byte-pair encoding of one piece of text. Thread-safe after construction.
//
// Formula: start with one symbol per character; while two neighbours have a merge, merge the pair of lowest
// rank, the leftmost of equals (Sennrich et al. 2016, as the `tokenizers` library applies it). A heap makes
// that n log n in the length of the piece.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/text/vocabulary.h"

namespace mortise::text {

struct BpeOptions {
    std::optional<std::string> unknown;  // token for a character that is not in the vocabulary
    std::string prefix;                  // continuing_subword_prefix
    std::string suffix;                  // end_of_word_suffix
    bool fuse_unknown = false;           // neighbouring unknown characters become one token
    bool byte_fallback = false;          // unknown characters become tokens "<0x..>" when all of those exist
    bool ignore_merges = false;          // a piece that is a token stays whole
};

class Bpe {
  public:
    using Merges = std::vector<std::pair<std::string, std::string>>;

    // Errors: tokenizer_invalid (a merge or the unknown token that is not in the vocabulary).
    static Result<Bpe> make(Vocabulary vocabulary, const Merges& merges, BpeOptions options);

    // Effect: appends the ids of `piece`. Requires: valid UTF-8, fewer than 2^31 bytes.
    void encode(std::string_view piece, std::vector<uint32_t>& ids) const;
    const Vocabulary& vocabulary() const { return vocabulary_; }

  private:
    struct Merge {
        uint64_t pair = no_pair;  // left id << 32 | right id
        uint32_t rank = 0, id = 0;
    };
    struct Symbol {
        uint32_t id;
        int32_t previous, next;  // -1 = none
        bool gone;
    };
    static constexpr uint64_t no_pair = ~uint64_t{0};

    Bpe(Vocabulary vocabulary, BpeOptions options);
    void insert(Merge merge);
    const Merge* find(uint32_t left, uint32_t right) const;
    void start(std::string_view piece, std::vector<Symbol>& symbols) const;
    bool append_bytes(std::string_view character, std::vector<Symbol>& symbols) const;
    std::optional<uint32_t> character_id(std::string_view character, bool first, bool last) const;

    Vocabulary vocabulary_;
    BpeOptions options_;
    std::optional<uint32_t> unknown_;
    std::array<std::optional<uint32_t>, 256> bytes_;
    std::vector<Merge> table_;  // open addressing; the size is a power of two
};

}  // namespace mortise::text
