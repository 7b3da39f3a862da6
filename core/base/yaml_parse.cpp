// Document::parse over the event interface of yaml-cpp: it alone gives anchors, tags, positions and repeated
// keys, all of which the node interface hides.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "base/text.h"
#include "base/yaml.h"

namespace mortise::yaml {
namespace {

constexpr size_t max_depth = 16;

Kind kind_of_plain(std::string_view text) {
    if (text.empty() || text == "~" || text == "null") return Kind::null;
    if (text == "true" || text == "false") return Kind::boolean;
    // Decimal numbers only: what other versions of YAML read as octal or base 60 stays text.
    std::string_view rest = text.starts_with('-') ? text.substr(1) : text;
    auto digits = [&] {
        size_t n = std::min(rest.find_first_not_of("0123456789"), rest.size());
        rest.remove_prefix(n);
        return n;
    };
    bool leading_zero = rest.size() > 1 && rest[0] == '0' && rest[1] >= '0' && rest[1] <= '9';
    if (digits() == 0 || leading_zero) return Kind::string;
    if (rest.empty()) return Kind::integer;
    if (rest[0] == '.') {
        rest.remove_prefix(1);
        if (digits() == 0) return Kind::string;
    }
    if (!rest.empty() && (rest[0] == 'e' || rest[0] == 'E')) {
        rest.remove_prefix(1);
        if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
        if (digits() == 0) return Kind::string;
    }
    return rest.empty() ? Kind::real : Kind::string;
}

Position position(const YAML::Mark& mark) {
    if (mark.is_null()) return {1, 1};
    return {mark.line + 1, mark.column + 1};
}

Position position_of(std::string_view text, size_t offset) {
    auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(offset), '\n');
    size_t newline = offset == 0 ? std::string_view::npos : text.rfind('\n', offset - 1);
    size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    return {static_cast<int>(line) + 1, static_cast<int>(offset - start) + 1};
}

struct Stop {};  // thrown through the parser when going on makes no sense; never leaves this file

}  // namespace

// Builds the tree of one Document from parser events and collects what is wrong.
class Builder : public YAML::EventHandler {
  public:
    static Result<Document> build(std::string_view text, std::string name);

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) stop(Code::yaml_syntax, "more than one document", position(mark));
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, "?", anchor, ""); }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        complain(Code::yaml_syntax, "aliases are not allowed", position(mark));
        scalar(mark, "!", 0, "");
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        scalar(mark, tag, anchor, value);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(Kind::sequence, mark, tag, anchor);
    }
    void OnSequenceEnd() override { open_.pop_back(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { open_.pop_back(); }

  private:
    struct Frame {
        Node* node;
        bool expects_key;
    };
    explicit Builder(Document& document) : document_(document) {}

    void complain(Code code, std::string what, Position at, std::string fix = {}) {
        problems_.add(Problem{.code = code,
                              .what = std::move(what),
                              .file = *document_.name_,
                              .line = at.line,
                              .column = at.column,
                              .fix = std::move(fix)});
    }
    [[noreturn]] void stop(Code code, std::string what, Position at) {
        complain(code, std::move(what), at);
        throw Stop();
    }
    void check_bytes(std::string_view text);
    void check_decoration(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor);
    void scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value);
    void key(const YAML::Mark& mark, const std::string& value);
    void open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor);
    Node* append(Kind kind, const YAML::Mark& mark);
    void parse(std::string_view text);

    Document& document_;
    Problems problems_;
    std::vector<Frame> open_;
    int documents_ = 0;
};

void Builder::check_decoration(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) complain(Code::yaml_syntax, "anchors are not allowed", position(mark));
    if (!tag.empty() && tag != "?" && tag != "!") {
        complain(Code::yaml_syntax, "tags are not allowed", position(mark));
    }
}

void Builder::key(const YAML::Mark& mark, const std::string& value) {
    Frame& frame = open_.back();
    Node& map = *frame.node;
    if (value == "<<") complain(Code::yaml_syntax, "merge keys are not allowed", position(mark));
    for (size_t i = 0; i < map.keys_.size(); ++i) {
        if (map.keys_[i] != value) continue;
        complain(
            Code::yaml_duplicate_key,
            "key '" + value + "' occurs twice, first on line " + std::to_string(map.key_positions_[i].line),
            position(mark));
        break;
    }
    map.keys_.push_back(value);
    map.key_positions_.push_back(position(mark));
    frame.expects_key = false;
}

void Builder::scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                     const std::string& value) {
    check_decoration(mark, tag, anchor);
    if (!open_.empty() && open_.back().expects_key) return key(mark, value);
    bool quoted = tag == "!";
    Node* node = append(quoted ? Kind::string : kind_of_plain(value), mark);
    node->quoted_ = quoted;
    node->text_ = value;
}

void Builder::open(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_decoration(mark, tag, anchor);
    if (!open_.empty() && open_.back().expects_key) {
        stop(Code::yaml_syntax, "a key must be a scalar", position(mark));
    }
    if (open_.size() >= max_depth) {
        stop(Code::yaml_limits, "nested deeper than " + std::to_string(max_depth), position(mark));
    }
    open_.push_back({append(kind, mark), kind == Kind::map});
}

Node* Builder::append(Kind kind, const YAML::Mark& mark) {
    auto node = std::make_unique<Node>();
    Node* raw = node.get();
    raw->kind_ = kind;
    raw->at_ = position(mark);
    raw->file_ = document_.name_.get();
    if (open_.empty()) {
        document_.root_ = std::move(node);
        return raw;
    }
    Frame& frame = open_.back();
    raw->parent_ = frame.node;
    frame.expects_key = frame.node->kind_ == Kind::map;
    frame.node->items_.push_back(std::move(node));
    return raw;
}

void Builder::check_bytes(std::string_view text) {
    if (text.size() > max_bytes) {
        stop(Code::yaml_limits, "text is larger than " + human_bytes(max_bytes), {1, 1});
    }
    size_t invalid = first_invalid_utf8(text);
    if (invalid != text.size()) stop(Code::yaml_syntax, "text is not UTF-8", position_of(text, invalid));
    bool line_start = true, found = false;
    for (size_t i = 0; i < text.size(); ++i) {
        auto c = static_cast<unsigned char>(text[i]);
        bool c1 = c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F || c1) {
            complain(Code::yaml_syntax, "control character", position_of(text, i));
            found = true;
        } else if (c == '\t' && line_start && text.find_first_not_of(" \t\r", i) != std::string_view::npos &&
                   text[text.find_first_not_of(" \t\r", i)] != '\n') {
            complain(Code::yaml_syntax, "line begins with a tab", position_of(text, i), "indent with spaces");
            found = true;
        }
        line_start = c == '\n';
        if (problems_.size() >= max_problems) break;
    }
    if (found) throw Stop();
}

void Builder::parse(std::string_view text) {
    try {
        check_bytes(text);
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(*this)) {
        }
    } catch (const Stop&) {
    } catch (const YAML::Exception& error) {
        complain(Code::yaml_syntax, error.msg, position(error.mark));
    }
}

Result<Document> Builder::build(std::string_view text, std::string name) {
    Document document;
    document.name_ = std::make_unique<std::string>(std::move(name));
    Builder builder(document);
    builder.parse(text);
    if (Status status = std::move(builder.problems_).status(); !status) {
        return std::unexpected(sorted(status.error()));
    }
    if (!document.root_) builder.append(Kind::null, YAML::Mark());
    return document;
}

Result<Document> Document::parse(std::string_view text, std::string name) {
    return Builder::build(text, std::move(name));
}

}  // namespace mortise::yaml
