// Reads one component of tokenizer.json and refuses members that nobody read: an option that is overlooked
// gives wrong ids without a sign. One thread at a time (reading marks the nodes).
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace mortise::text {

class Fields {
  public:
    // `what` names the component in messages: "normalizer 'Replace'". Requires: node outlives this.
    Fields(const json::Node& node, std::string what) : node_(node), what_(std::move(what)) {}

    // Errors: tokenizer_invalid when absent, json_type when of another type.
    Result<const json::Node*> member(std::string_view key) const;
    Result<std::string> string(std::string_view key) const;
    Result<char32_t> character(std::string_view key) const;  // a string of one code point
    Result<int64_t> integer(std::string_view key, int64_t low, int64_t high) const;
    // Absent and null give `otherwise`.
    Result<bool> flag(std::string_view key, bool otherwise) const;
    Result<std::string> string_or(std::string_view key, std::string_view otherwise) const;
    // Effect: the member is known and changes nothing here.
    void ignore(std::string_view key) const { node_.find(key); }

    Problem invalid(std::string what) const {
        return node_.problem(Code::tokenizer_invalid, what_ + ": " + what);
    }
    Problem unsupported(std::string what, std::string fix) const;
    // Effect: success iff each member was read. Errors: unsupported_tokenizer, naming them all.
    Status finish() const;

    const json::Node& node() const { return node_; }

  private:
    const json::Node& node_;
    std::string what_;
};

// Effect: the member "type" of a component of kind `role` ("normalizer").
Result<std::string> component_type(const json::Node& node, std::string_view role);

}  // namespace mortise::text
