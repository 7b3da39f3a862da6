// Writes one JSON object, a member a line.
#pragma once

#include <string>
#include <string_view>

#include "text.h"

namespace gguf {

class JsonObject {
  public:
    // `json`: the value's text as it shall stand there.
    JsonObject& raw(std::string_view key, std::string_view json) {
        out_ += out_.empty() ? "{\n  " : ",\n  ";
        ((out_ += quote(key)) += ": ") += json;
        return *this;
    }
    JsonObject& text(std::string_view key, std::string_view value) { return raw(key, quote(value)); }
    JsonObject& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
    JsonObject& integer(std::string_view key, int64_t value) { return raw(key, std::to_string(value)); }
    std::string finish() && { return out_.empty() ? "{}\n" : std::move(out_) + "\n}\n"; }

  private:
    std::string out_;
};

}  // namespace gguf
