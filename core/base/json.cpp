#include "base/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/json_scan.h"

namespace mortise::json {

std::string_view name(Kind kind) {
    constexpr std::array<std::string_view, 7> names = {"null",   "boolean", "integer", "real",
                                                       "string", "array",   "object"};
    return names[static_cast<size_t>(kind)];
}

std::string Node::path() const {
    if (!parent_) return "";
    size_t i = 0;
    while (parent_->items_[i].get() != this) ++i;
    std::string above = parent_->path();
    if (parent_->kind_ == Kind::array) return above + '[' + std::to_string(i) + ']';
    return above.empty() ? parent_->keys_[i] : above + '.' + parent_->keys_[i];
}

const Node* Node::lookup(std::string_view key) const {
    if (sorted_) {
        auto at = std::lower_bound(sorted_->begin(), sorted_->end(), key,
                                   [&](uint32_t i, std::string_view k) { return keys_[i] < k; });
        return at != sorted_->end() && keys_[*at] == key ? items_[*at].get() : nullptr;
    }
    for (size_t i = 0; i < keys_.size(); ++i) {
        if (keys_[i] == key) return items_[i].get();
    }
    return nullptr;
}

const Node* Node::find(std::string_view key) const {
    const Node* node = lookup(key);
    if (node) node->mark_read();
    return node;
}

const Node* Node::find_value(std::string_view key) const {
    const Node* node = find(key);
    return node && node->kind_ != Kind::null ? node : nullptr;
}

void Node::mark_all_read() const {
    mark_read();
    for (const auto& item : items_) item->mark_all_read();
}

Problem Node::problem(Code code, std::string what) const {
    Problem problem{.code = code, .what = std::move(what), .line = line_, .column = column_};
    if (file_) problem.file = *file_;
    return problem;
}

Problem Node::type_problem(std::string_view expected) const {
    std::string where = path();
    Problem problem = this->problem(
        Code::json_type, where.empty() ? "value of the wrong type" : "'" + where + "' has the wrong type");
    problem.expected = expected;
    problem.found = name(kind_);
    bool scalar = kind_ == Kind::boolean || kind_ == Kind::integer || kind_ == Kind::real;
    if (scalar) problem.found += " " + text_.substr(0, 80);
    if (kind_ == Kind::string) problem.found += " " + quote(text_.substr(0, 80));
    return problem;
}

Status Node::require(Kind kind) const {
    if (kind_ != kind) return fail(type_problem(name(kind)));
    return {};
}

Result<bool> Node::as_bool() const {
    if (kind_ != Kind::boolean) return fail(type_problem("boolean"));
    mark_read();
    return text_ == "true";
}

Result<int64_t> Node::as_int() const {
    mark_read();
    if (kind_ == Kind::integer) {
        int64_t value = 0;
        auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
        if (error == std::errc()) return value;
    }
    if (kind_ == Kind::real) {
        double value = 0;
        auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
        bool fits = error == std::errc() && std::abs(value) < 0x1p63;
        if (fits && value == std::floor(value)) return static_cast<int64_t>(value);
    }
    return fail(type_problem("64-bit integer"));
}

Result<double> Node::as_double() const {
    mark_read();
    const std::string* text = &text_;
    bool number = kind_ == Kind::integer || kind_ == Kind::real;
    // transformers 5 writes non-finite numbers as {"__float__": "Infinity"}.
    if (kind_ == Kind::object && keys_.size() == 1 && keys_[0] == "__float__" &&
        items_[0]->kind_ == Kind::string) {
        items_[0]->mark_read();
        text = &items_[0]->text_;
        number = *text == "Infinity" || *text == "-Infinity" || *text == "NaN";
    }
    if (!number) return fail(type_problem("number"));
    double value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc()) return fail(type_problem("number within the range of a double"));
    return value;
}

Result<std::string_view> Node::as_string() const {
    if (kind_ != Kind::string) return fail(type_problem("string"));
    mark_read();
    return std::string_view(text_);
}

// Builds the tree of one Document from scanner events.
class Builder {
  public:
    static Result<Document> build(std::string_view text, std::string name);

  private:
    Builder(Document& document, Scanner& scanner) : document_(document), scanner_(scanner) {}
    void take(const Event& event);
    Node* append(Kind kind);
    void finish(Node& object);

    Document& document_;
    Scanner& scanner_;
    std::vector<Node*> open_;
    std::string key_;
};

Node* Builder::append(Kind kind) {
    auto node = std::make_unique<Node>();
    Node* raw = node.get();
    raw->kind_ = kind;
    raw->line_ = scanner_.line();
    raw->column_ = scanner_.column();
    raw->file_ = document_.name_.get();
    if (open_.empty()) {
        document_.root_ = std::move(node);
        return raw;
    }
    Node& parent = *open_.back();
    raw->parent_ = &parent;
    if (parent.kind_ == Kind::object) parent.keys_.push_back(std::move(key_));
    parent.items_.push_back(std::move(node));
    return raw;
}

void Builder::finish(Node& object) {
    object.items_.shrink_to_fit();
    object.keys_.shrink_to_fit();
    if (object.keys_.size() <= 16) return;
    object.sorted_ = std::make_unique<std::vector<uint32_t>>(object.keys_.size());
    auto& sorted = *object.sorted_;
    for (size_t i = 0; i < sorted.size(); ++i) sorted[i] = static_cast<uint32_t>(i);
    std::sort(sorted.begin(), sorted.end(),
              [&](uint32_t a, uint32_t b) { return object.keys_[a] < object.keys_[b]; });
}

void Builder::take(const Event& event) {
    using Type = Event::Type;
    switch (event.type) {
        case Type::key: key_ = event.text; return;
        case Type::begin_object: open_.push_back(append(Kind::object)); return;
        case Type::begin_array: open_.push_back(append(Kind::array)); return;
        case Type::end_object:
        case Type::end_array:
            finish(*open_.back());
            open_.pop_back();
            return;
        case Type::null: append(Kind::null)->text_ = event.text; return;
        case Type::boolean: append(Kind::boolean)->text_ = event.text; return;
        case Type::integer: append(Kind::integer)->text_ = event.text; return;
        case Type::real: append(Kind::real)->text_ = event.text; return;
        case Type::string: append(Kind::string)->text_ = event.text; return;
    }
}

Result<Document> Builder::build(std::string_view text, std::string name) {
    Document document;
    document.name_ = std::make_unique<std::string>(std::move(name));
    Scanner scanner(text, *document.name_, {.non_finite = true});
    Builder builder(document, scanner);
    Event event;
    for (;;) {
        switch (scanner.next(event)) {
            case Scanner::Step::event: builder.take(event); break;
            case Scanner::Step::done: return document;
            case Scanner::Step::failed: return fail(scanner.take_problem());
        }
    }
}

Result<Document> Document::parse(std::string_view text, std::string name, size_t max_bytes) {
    if (text.size() > max_bytes) {
        return fail(Problem{.code = Code::json_limits,
                            .what = "document is too large",
                            .file = std::move(name),
                            .expected = "at most " + std::to_string(max_bytes) + " bytes",
                            .found = std::to_string(text.size())});
    }
    return Builder::build(text, std::move(name));
}

Status parse_events(std::string_view text, const std::string& name,
                    const std::function<Status(const Event&)>& sink) {
    Scanner scanner(text, name, {});
    Event event;
    for (;;) {
        switch (scanner.next(event)) {
            case Scanner::Step::event:
                if (Status status = sink(event); !status) {
                    return std::unexpected(std::move(status).error().in_file(name));
                }
                break;
            case Scanner::Step::done: return {};
            case Scanner::Step::failed: return fail(scanner.take_problem());
        }
    }
}

}  // namespace mortise::json
