// Turns ids into text as they come, never printing half a character. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"

namespace mortise::text {

// Decodes the ids that are not printed yet together with the last printed ones (a decoder may treat the first
// token in another way) and prints what is new as soon as it does not end with U+FFFD: the sign of a
// character that is not complete. The chunks are those of the `tokenizers` library's DecodeStream.
class StreamDecoder {
  public:
    StreamDecoder(Tokenizer tokenizer, bool skip_special)
        : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

    // Effect: the text that became final with `id`, often empty. Errors: as Tokenizer::decode.
    Result<std::string> push(uint32_t id);
    // Effect: what is held back, with U+FFFD for bytes that never became a character. Afterwards as new.
    Result<std::string> flush();

  private:
    Status start_printed();

    Tokenizer tokenizer_;
    bool skip_special_;
    std::vector<uint32_t> ids_;  // printed_ids_ of them are context, the others wait
    size_t printed_ids_ = 0;
    std::string printed_;  // text of the context
};

}  // namespace mortise::text
