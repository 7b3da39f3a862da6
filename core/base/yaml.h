// Strict YAML with positions, for files that people write: manifests and deployments.
//
// A subset without surprises: no anchors, aliases, merge keys or tags, one document, keys are scalars and
// occur once, depth at most 16, size at most 256 KiB, UTF-8 without control characters. true and false are
// the only booleans. A bare 1.10 is a number and no string: versions must be quoted. Reading marks a node, so
// one Document belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::yaml {

enum class Kind : uint8_t { null, boolean, integer, real, string, sequence, map };
std::string_view name(Kind kind);

struct Position {
    int line = 0, column = 0;  // 1-based
};

class Node {
  public:
    Kind kind() const { return kind_; }
    bool quoted() const { return quoted_; }  // string in quotes, or a block of text
    int line() const { return at_.line; }
    int column() const { return at_.column; }
    // Path from the root: "server.models[1].path"; "" = root.
    std::string path() const;

    // Effect: the member called `key`, marked as read; null when absent or when this is no map.
    const Node* find(std::string_view key) const;
    // As find(), but null also when the value is null.
    const Node* find_value(std::string_view key) const;
    // Children in file order; for a map keys()[i] at key_positions()[i] belongs to items()[i].
    const std::vector<std::unique_ptr<Node>>& items() const { return items_; }
    const std::vector<std::string>& keys() const { return keys_; }
    const std::vector<Position>& key_positions() const { return key_positions_; }
    size_t size() const { return items_.size(); }

    // Exact values. Errors: yaml_type with file:line:column and what was found.
    Result<bool> as_bool() const;
    Result<int64_t> as_int() const;
    Result<double> as_double() const;            // integers are accepted
    Result<std::string_view> as_string() const;  // a bare number or boolean is none
    Result<std::string_view> as_quoted() const;  // a string in quotes: versions
    Status require(Kind kind) const;

    const std::string& text() const { return text_; }  // of a scalar as written, without quotes

    bool was_read() const { return read_; }
    void mark_read() const { read_ = true; }

    // Effect: a Problem with this node's file, line and column filled in.
    Problem problem(Code code, std::string what) const;
    Problem problem_at_key(size_t i, Code code, std::string what) const;

  private:
    friend class Builder;
    Problem type_problem(std::string_view expected) const;
    Kind kind_ = Kind::null;
    bool quoted_ = false;
    mutable bool read_ = false;
    Position at_;
    std::string text_;
    const Node* parent_ = nullptr;
    const std::string* file_ = nullptr;
    std::vector<std::unique_ptr<Node>> items_;
    std::vector<std::string> keys_;
    std::vector<Position> key_positions_;
};

// Owns a tree. Movable; nodes stay where they are.
class Document {
  public:
    // Effect: parses `text`; `name` is used in messages. An empty text is a null root.
    // Errors: yaml_syntax, yaml_duplicate_key, yaml_limits: up to 20 problems, sorted by position.
    static Result<Document> parse(std::string_view text, std::string name);
    // Errors: as parse(), and file_*.
    static Result<Document> load(const std::string& path);
    const Node& root() const { return *root_; }
    const std::string& name() const { return *name_; }

  private:
    friend class Builder;
    Document() = default;
    std::unique_ptr<std::string> name_;
    std::unique_ptr<Node> root_;
};

inline constexpr size_t max_bytes = 256u << 10;
inline constexpr size_t max_problems = 20;

// Effect: adds a yaml_unknown_key for every key of `map` that is not in `allowed` and does not begin with
// "x-", with the nearest allowed key; a yaml_type when `map` is no map. Returns whether nothing was added.
bool check_keys(const Node& map, std::span<const std::string_view> allowed, Problems& problems);

// Effect: the member, or null and a yaml_missing_key at the position of `map`.
const Node* require_key(const Node& map, std::string_view key, Problems& problems);

// Effect: the problems in order of position, at most max_problems of them; the last says how many are left
// out.
Error sorted(const Error& error);

}  // namespace mortise::yaml
