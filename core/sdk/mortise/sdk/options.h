// What a user says behind a dialect's name when it is to be written.
//
// A writer reads every option in its constructor and refuses the ones that nobody asked for. One thread.
#pragma once

#include <map>
#include <string>

#include "mortise/sdk/error.h"

namespace mortise::sdk {

// The options behind the dialect's name: "g64" and "compute=f32" of "dialect:g64:compute=f32".
class Options {
  public:
    Options(const mortise_option* options, uint64_t count) {
        for (uint64_t i = 0; i < count; ++i)
            left_[std::string(view(options[i].key))] = std::string(view(options[i].value));
    }
    // Effect: the value of "key=value"; "" when it is not given.
    std::string take(const std::string& key) {
        const auto found = left_.find(key);
        if (found == left_.end()) return {};
        std::string value = found->second;
        left_.erase(found);
        return value;
    }
    // Effect: true iff the bare word is given.
    bool take_flag(const std::string& word) {
        const auto found = left_.find(word);
        if (found == left_.end() || !found->second.empty()) return false;
        left_.erase(found);
        return true;
    }
    // Effect: the number N of a bare word "<prefix>N", or `otherwise`.
    uint64_t take_number(char prefix, uint64_t otherwise) {
        for (auto at = left_.begin(); at != left_.end(); ++at) {
            const std::string& word = at->first;
            if (word.size() < 2 || word.size() > 8 || word[0] != prefix || !at->second.empty()) continue;
            if (word.find_first_not_of("0123456789", 1) != std::string::npos) continue;
            otherwise = std::stoull(word.substr(1));
            left_.erase(at);
            break;
        }
        return otherwise;
    }
    // Effect: the dtype of "key=bf16", f16 or f32; 0 when it is not given. Errors: another word.
    uint32_t take_dtype(const std::string& key) {
        const std::string word = take(key);
        if (word.empty()) return 0;
        if (word == "bf16") return MORTISE_DTYPE_BF16;
        if (word == "f16") return MORTISE_DTYPE_F16;
        if (word == "f32") return MORTISE_DTYPE_F32;
        throw Refused({.what = "unknown value of the option '" + key + "'",
                       .expected = "bf16, f16 or f32",
                       .found = word});
    }
    // Errors: Refused, naming an option that nobody took. `known` says what there is.
    void finish(const std::string& known) const {
        if (left_.empty()) return;
        const auto& [key, value] = *left_.begin();
        throw Refused({.what = "unknown option '" + key + (value.empty() ? "'" : "=" + value + "'"),
                       .expected = known});
    }

  private:
    std::map<std::string, std::string> left_;
};

}  // namespace mortise::sdk
