// The two-way table of a BPE model's tokens. Thread-safe after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mortise::text {

constexpr uint32_t token_id_limit = 1u << 24;

class Vocabulary {
  public:
    // Errors: tokenizer_invalid (id out of range, one id for two tokens).
    static Result<Vocabulary> make(std::vector<std::pair<std::string, uint32_t>> entries);
    Vocabulary(Vocabulary&&) = default;
    Vocabulary& operator=(Vocabulary&&) = default;
    Vocabulary(const Vocabulary&) = delete;  // ids_ looks into tokens_

    std::optional<uint32_t> find(std::string_view token) const {
        const auto found = ids_.find(token);
        return found == ids_.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<std::string_view> token(uint32_t id) const {
        if (id >= tokens_.size() || !present_[id]) return std::nullopt;
        return tokens_[id];
    }
    size_t size() const { return ids_.size(); }
    uint32_t id_end() const { return static_cast<uint32_t>(tokens_.size()); }  // highest id + 1

  private:
    Vocabulary() = default;
    std::vector<std::string> tokens_;
    std::vector<bool> present_;
    std::unordered_map<std::string_view, uint32_t> ids_;
};

}  // namespace mortise::text
