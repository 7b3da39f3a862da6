// Reads tokenizer.json in two parts: vocabulary and merges, which are large, by events; all else as a tree.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace mortise::text {

struct TokenizerTables {
    std::vector<std::pair<std::string, uint32_t>> vocabulary;
    std::vector<std::pair<std::string, std::string>> merges;
};

struct TokenizerFile {
    json::Document tree;  // with "vocab" and "merges" of the model empty
    TokenizerTables tables;
};

// Errors: json_*; tokenizer_invalid (a vocabulary or merges of the wrong shape, for a model of merges).
Result<TokenizerFile> read_tokenizer_file(std::string_view text, const std::string& name);

}  // namespace mortise::text
