// The files of a checkpoint folder that a GGUF file carries in its metadata.
// Thread-safe: pure functions of the file.
#pragma once

#include <optional>
#include <string>

#include "file.h"

namespace gguf {

// Effect: config.json in the words of the model's own config. A key <arch>.* that has no meaning here is
// copied under its own name, so that the core accounts for it like for any other unknown key. An architecture
// that is not known here gives its name as model_type and nothing else. Errors: Refused: a key is missing or
// contradicts a tensor; Unsupported: a variant of a known architecture. `source` gives the factors of a rope
// table, which is a tensor in this format.
std::string config_json(const File& file, const mortise::sdk::Source& source);

// Effect: tokenizer.json, or nothing when the file has no vocabulary or a kind that is not BPE; `why` then
// says so. Errors: Refused: lists that do not fit each other.
std::optional<std::string> tokenizer_json(const File& file, std::string& why);
std::string tokenizer_config_json(const File& file);
std::optional<std::string> chat_template(const File& file);  // the only one, or the default one
std::string generation_config_json(const File& file);

// The token with the id under tokenizer.ggml.<role>_token_id. Errors: Refused: out of range.
std::optional<uint32_t> special_token(const File& file, std::string_view role);

}  // namespace gguf
