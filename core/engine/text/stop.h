// When generation ends: stop tokens, and stop strings in the streamed text. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::text {

// Holds back text that may become a stop string. What is printed does not depend on how the text was cut into
// chunks: the stop string that ends first counts (of those the longest), and nothing from its begin on is
// printed.
class StopStrings {
  public:
    // Empty strings are passed over.
    explicit StopStrings(std::vector<std::string> stops);

    // Effect: the text that may be printed now. After a stop: nothing.
    std::string push(std::string_view text);
    // Effect: what is held back; the text ends without a stop string.
    std::string flush();
    bool stopped() const { return stopped_; }
    const std::string& matched() const { return matched_; }  // the stop string, once stopped

  private:
    std::vector<std::string> stops_;  // longest first
    std::string held_;                // a proper prefix of a stop string, the longest that the text ends with
    std::string matched_;
    bool stopped_ = false;
};

class StopTokens {
  public:
    explicit StopTokens(std::vector<uint32_t> ids);
    bool contains(uint32_t id) const;
    const std::vector<uint32_t>& ids() const { return ids_; }  // ascending, each once

  private:
    std::vector<uint32_t> ids_;
};

}  // namespace mortise::text
