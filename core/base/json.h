// Strict JSON with positions, and a record of what was read.
//
// Stricter than the grammar: duplicate keys, invalid UTF-8, depth above 64, trailing text and oversized
// input are errors. Numbers keep their exact text: integers stay integers; one beyond 64 bits is a real.
// One thing is laxer, in a Document only: NaN, Infinity and -Infinity are reals, because the Python writer
// that makes model configs emits them.
// A Node knows its line and column and whether anybody looked at it: a key of a model's config that nobody
// reads is reported by the plan. Reading marks the node, so one Document belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::json {

enum class Kind : uint8_t { null, boolean, integer, real, string, array, object };
std::string_view name(Kind kind);  // "integer"

class Node {
  public:
    Kind kind() const { return kind_; }
    int line() const { return line_; }      // 1-based
    int column() const { return column_; }  // 1-based
    // Path from the root as users write it: "quantization_config.config_groups.group_0.targets[1]"; "" =
    // root.
    std::string path() const;

    // Effect: the member called `key`, marked as read; null when absent or when this is no object.
    const Node* find(std::string_view key) const;
    // As find(), but null also when the member is JSON null: for keys whose absence and null mean the same.
    const Node* find_value(std::string_view key) const;
    // Children in file order; for an object keys()[i] belongs to items()[i]. Marks nothing.
    const std::vector<std::unique_ptr<Node>>& items() const { return items_; }
    const std::vector<std::string>& keys() const { return keys_; }
    size_t size() const { return items_.size(); }

    // Exact values. Errors: json_type with file:line:column and what was found.
    Result<bool> as_bool() const;
    Result<int64_t> as_int() const;    // a real with integral value is accepted
    Result<double> as_double() const;  // integers are accepted, and {"__float__": "Infinity"} for non-finite
    Result<std::string_view> as_string() const;
    Status require(Kind kind) const;

    // Unchecked text of a scalar as written ("1e-05", "true"), string contents for strings.
    const std::string& text() const { return text_; }

    bool was_read() const { return read_; }
    void mark_read() const { read_ = true; }
    void mark_all_read() const;  // this node and everything below it

    // Effect: a Problem with this node's file, line and column filled in.
    Problem problem(Code code, std::string what) const;

  private:
    friend class Builder;
    friend class Document;
    const Node* lookup(std::string_view key) const;
    Problem type_problem(std::string_view expected) const;
    Kind kind_ = Kind::null;
    int line_ = 0, column_ = 0;
    mutable bool read_ = false;
    std::string text_;
    const Node* parent_ = nullptr;
    const std::string* file_ = nullptr;  // owned by the Document
    std::vector<std::unique_ptr<Node>> items_;
    std::vector<std::string> keys_;
    std::unique_ptr<std::vector<uint32_t>> sorted_;  // of large objects: positions in order of their keys
};

// Owns a tree. Movable; nodes stay where they are.
class Document {
  public:
    Document(Document&&) noexcept = default;
    Document& operator=(Document&&) noexcept = default;
    // Effect: parses `text`. `name` is used in messages (a path, or "a place inside a container").
    // Errors: json_invalid, json_duplicate_key, json_limits, each with line and column.
    static Result<Document> parse(std::string_view text, std::string name, size_t max_bytes = 256u << 20);
    const Node& root() const { return *root_; }
    const std::string& name() const { return *name_; }

  private:
    friend class Builder;
    Document() = default;
    std::unique_ptr<std::string> name_;
    std::unique_ptr<Node> root_;
};

// Event interface for documents too large for a tree (tensor headers). Same strictness.
struct Event {
    enum class Type : uint8_t {
        null,
        boolean,
        integer,
        real,
        string,
        key,
        begin_object,
        end_object,
        begin_array,
        end_array
    };
    Type type;
    std::string_view text;    // key, string contents, or number text; valid during the call
    uint64_t unsigned_value;  // integer >= 0
    bool negative;            // integer < 0: unsigned_value is its magnitude
};
// Effect: calls `sink` for each event; the sink's error ends the parse and is returned with `name` as file.
Status parse_events(std::string_view text, const std::string& name,
                    const std::function<Status(const Event&)>& sink);

// Writing. Effect: `text` as a JSON string literal with quotes.
std::string quote(std::string_view text);

// A small writer for results (--json) and files that we create. Keys keep insertion order.
class Writer {
  public:
    explicit Writer(int indent = 0) : indent_(indent) {}  // 0 = one line
    Writer& begin_object();
    Writer& end_object();
    Writer& begin_array();
    Writer& end_array();
    Writer& key(std::string_view name);
    Writer& value(std::string_view text);
    Writer& value(const char* text) { return value(std::string_view(text)); }
    Writer& value(bool flag);
    // Shortest text that reads back as the same double; NaN and infinity are null.
    Writer& value(double number);
    Writer& value(int64_t number);
    Writer& value(uint64_t number);
    Writer& value(int number) { return value(int64_t{number}); }
    template <class T>
    Writer& entry(std::string_view name, const T& content) {
        return key(name).value(content);
    }
    Writer& null();
    Writer& raw(std::string_view json);  // one complete value, copied verbatim
    std::string take() { return std::move(out_); }

  private:
    void separate();
    Writer& begin(char bracket);
    Writer& end(char bracket);
    int indent_;
    bool after_key_ = false;
    std::vector<bool> first_;
    std::string out_;
};

}  // namespace mortise::json
