#include "base/yaml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "base/file.h"
#include "base/text.h"

namespace mortise::yaml {

std::string_view name(Kind kind) {
    constexpr std::array<std::string_view, 7> names = {"null",   "boolean",  "integer", "real",
                                                       "string", "sequence", "map"};
    return names[static_cast<size_t>(kind)];
}

std::string Node::path() const {
    if (!parent_) return "";
    size_t i = 0;
    while (parent_->items_[i].get() != this) ++i;
    std::string above = parent_->path();
    if (parent_->kind_ == Kind::sequence) return above + '[' + std::to_string(i) + ']';
    return above.empty() ? parent_->keys_[i] : above + '.' + parent_->keys_[i];
}

const Node* Node::find(std::string_view key) const {
    for (size_t i = 0; i < keys_.size(); ++i) {
        if (keys_[i] != key) continue;
        items_[i]->mark_read();
        return items_[i].get();
    }
    return nullptr;
}

const Node* Node::find_value(std::string_view key) const {
    const Node* node = find(key);
    return node && node->kind_ != Kind::null ? node : nullptr;
}

Problem Node::problem(Code code, std::string what) const {
    Problem problem{.code = code, .what = std::move(what), .line = at_.line, .column = at_.column};
    if (file_) problem.file = *file_;
    return problem;
}

Problem Node::problem_at_key(size_t i, Code code, std::string what) const {
    Problem problem = this->problem(code, std::move(what));
    problem.line = key_positions_[i].line;
    problem.column = key_positions_[i].column;
    return problem;
}

Problem Node::type_problem(std::string_view expected) const {
    std::string where = path();
    Problem problem = this->problem(
        Code::yaml_type, where.empty() ? "value of the wrong type" : "'" + where + "' has the wrong type");
    problem.expected = expected;
    problem.found = name(kind_);
    bool scalar = kind_ != Kind::null && kind_ != Kind::sequence && kind_ != Kind::map;
    if (scalar) problem.found += " '" + text_.substr(0, 80) + "'";
    return problem;
}

Status Node::require(Kind kind) const {
    if (kind_ != kind) return fail(type_problem(name(kind)));
    return {};
}

Result<bool> Node::as_bool() const {
    if (kind_ != Kind::boolean) return fail(type_problem("true or false"));
    mark_read();
    return text_ == "true";
}

Result<int64_t> Node::as_int() const {
    int64_t value = 0;
    if (kind_ == Kind::integer) {
        auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
        if (error == std::errc()) {
            mark_read();
            return value;
        }
    }
    return fail(type_problem("64-bit integer"));
}

Result<double> Node::as_double() const {
    double value = 0;
    if (kind_ == Kind::integer || kind_ == Kind::real) {
        auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
        if (error == std::errc()) {
            mark_read();
            return value;
        }
    }
    return fail(type_problem("number"));
}

Result<std::string_view> Node::as_string() const {
    if (kind_ != Kind::string) {
        Problem problem = type_problem("string");
        bool bare = kind_ == Kind::boolean || kind_ == Kind::integer || kind_ == Kind::real;
        if (bare) problem.fix = "write it in quotes";
        return fail(std::move(problem));
    }
    mark_read();
    return std::string_view(text_);
}

Result<std::string_view> Node::as_quoted() const {
    if (kind_ == Kind::string && !quoted_) {
        Problem problem = type_problem("string in quotes");
        problem.fix = "write it in quotes";
        return fail(std::move(problem));
    }
    return as_string();
}

Result<Document> Document::load(const std::string& path) {
    MORTISE_TRY(File file, File::open(path));
    if (file.size() > max_bytes) {
        return fail(Problem{.code = Code::yaml_limits,
                            .what = "file is too large",
                            .file = path,
                            .expected = "at most " + human_bytes(max_bytes),
                            .found = human_bytes(file.size())});
    }
    MORTISE_TRY(std::string text, file.read_all(max_bytes));
    return parse(text, path);
}

bool check_keys(const Node& map, std::span<const std::string_view> allowed, Problems& problems) {
    if (Status status = map.require(Kind::map); !status) {
        problems.add(status.error());
        return false;
    }
    size_t before = problems.size();
    for (size_t i = 0; i < map.size(); ++i) {
        const std::string& key = map.keys()[i];
        if (key.starts_with("x-") || std::find(allowed.begin(), allowed.end(), key) != allowed.end())
            continue;
        std::string where = map.path();
        Problem problem =
            map.problem_at_key(i, Code::yaml_unknown_key,
                               "unknown key '" + key + "'" + (where.empty() ? "" : " in '" + where + "'"));
        problem.fix = did_you_mean(key, allowed);
        problems.add(std::move(problem));
    }
    return problems.size() == before;
}

const Node* require_key(const Node& map, std::string_view key, Problems& problems) {
    const Node* node = map.find(key);
    if (!node) {
        std::string where = map.path();
        problems.add(map.problem(Code::yaml_missing_key, "key '" + std::string(key) + "' is missing" +
                                                             (where.empty() ? "" : " in '" + where + "'")));
    }
    return node;
}

Error sorted(const Error& error) {
    std::vector<Problem> list = error.problems();
    std::stable_sort(list.begin(), list.end(), [](const Problem& a, const Problem& b) {
        return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
    });
    if (list.size() > max_problems) {
        size_t left = list.size() - max_problems;
        list.resize(max_problems);
        list.back().what += " (and " + std::to_string(left) + " more problems)";
    }
    return Error(std::move(list));
}

}  // namespace mortise::yaml
