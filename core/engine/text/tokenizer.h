// tokenizer.json: text to ids and back, equal to the `tokenizers` library. BPE models only.
//
// Thread-safe after construction: encode and decode may run on any number of threads at once. Copies share
// the tables.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::text {

class Tokenizer {
  public:
    // Effect: the tokenizer that the bytes of a tokenizer.json describe. `name` is used in messages.
    //   "truncation" and "padding" are not applied: they are settings of a training run.
    // Errors: json_*; tokenizer_invalid; unsupported_tokenizer (Unigram, WordPiece, WordLevel, dropout, parts
    // that
    //   only those use, unknown options).
    static Result<Tokenizer> parse(std::string_view json, std::string name);

    // Effect: the ids of `text`. Special tokens inside the text are recognized. `add_special`: frame the text
    // as the
    //   post-processor says (begin-of-text and the like). Bytes that are no UTF-8 count as U+FFFD.
    // Errors: value_range (more than 256 MiB, or a pattern that backtracks without end).
    Result<std::vector<uint32_t>> encode(std::string_view text, bool add_special) const;
    Result<std::vector<uint32_t>> encode_pair(std::string_view first, std::string_view second,
                                              bool add_special) const;

    // Effect: the text of `ids`; ids that no token has are left out. `skip_special`: special tokens are left
    // out. Errors: value_range (a decoder's pattern backtracks without end).
    Result<std::string> decode(std::span<const uint32_t> ids, bool skip_special) const;

    std::optional<std::string> token(uint32_t id) const;          // as the file writes it: "Ġthe"
    std::optional<uint32_t> id_of(std::string_view token) const;  // of a whole token; added ones verbatim
    bool is_special(uint32_t id) const;
    std::vector<uint32_t> special_ids() const;  // ascending
    size_t vocab_size() const;                  // number of tokens, added ones included
    uint32_t id_end() const;                    // highest id + 1; a model's head may have more rows

  private:
    struct Tables;
    explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
    Status append(std::string_view text, std::vector<uint32_t>& ids) const;
    std::shared_ptr<const Tables> tables_;
};

}  // namespace mortise::text
