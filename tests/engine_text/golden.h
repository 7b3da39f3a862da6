// Golden tokenizers: folders under tests/golden/tokenizers, found at run time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/text/tokenizer.h"

namespace mortise::text::golden {

inline std::filesystem::path root() { return std::filesystem::path(MORTISE_SOURCE_DIR) / "tests/golden"; }

inline std::string read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(in) << path;
    return {std::istreambuf_iterator<char>(in), {}};
}

// Folders with cases.json (which the runtime must reproduce), or without (which it must refuse).
inline std::vector<std::string> tokenizers(bool with_cases) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root() / "tokenizers"))
        if (entry.is_directory() && std::filesystem::exists(entry.path() / "cases.json") == with_cases)
            names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

inline json::Document document(const std::filesystem::path& path) {
    auto parsed = json::Document::parse(read(path), path.filename().string());
    EXPECT_TRUE(parsed) << to_string(parsed.error());
    return std::move(*parsed);
}

inline Tokenizer tokenizer(const std::string& name) {
    const auto path = root() / "tokenizers" / name / "tokenizer.json";
    auto made = Tokenizer::parse(read(path), "tokenizer.json");
    EXPECT_TRUE(made) << to_string(made.error());
    return *made;
}

inline std::vector<uint32_t> ids(const json::Node& list) {
    std::vector<uint32_t> out;
    for (const auto& item : list.items()) out.push_back(static_cast<uint32_t>(item->as_int().value()));
    return out;
}

inline std::string string(const json::Node& object, std::string_view key) {
    const auto* found = object.find(key);
    return found ? std::string(found->as_string().value()) : "(missing)";
}

}  // namespace mortise::text::golden
