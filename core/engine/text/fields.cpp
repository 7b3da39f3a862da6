#include "engine/text/fields.h"

#include "engine/text/unicode.h"

namespace mortise::text {

Result<const json::Node*> Fields::member(std::string_view key) const {
    MORTISE_CHECK(node_.require(json::Kind::object));
    if (const auto* found = node_.find_value(key)) return found;
    return fail(invalid("member '" + std::string(key) + "' is missing"));
}

Result<std::string> Fields::string(std::string_view key) const {
    MORTISE_TRY(const auto* found, member(key));
    MORTISE_TRY(const auto value, found->as_string());
    return std::string(value);
}

Result<char32_t> Fields::character(std::string_view key) const {
    MORTISE_TRY(const auto value, string(key));
    const auto points = code_points(value);
    if (points.size() == 1) return points.front();
    auto problem = invalid("member '" + std::string(key) + "' must be one character");
    problem.found = json::quote(value);
    return fail(std::move(problem));
}

Result<int64_t> Fields::integer(std::string_view key, int64_t low, int64_t high) const {
    MORTISE_TRY(const auto* found, member(key));
    MORTISE_TRY(const auto value, found->as_int());
    if (value >= low && value <= high) return value;
    auto problem =
        found->problem(Code::tokenizer_invalid, what_ + ": '" + std::string(key) + "' is out of range");
    problem.expected = std::to_string(low) + " to " + std::to_string(high);
    problem.found = std::to_string(value);
    return fail(std::move(problem));
}

Result<bool> Fields::flag(std::string_view key, bool otherwise) const {
    const auto* found = node_.find_value(key);
    return found ? found->as_bool() : Result<bool>(otherwise);
}

Result<std::string> Fields::string_or(std::string_view key, std::string_view otherwise) const {
    const auto* found = node_.find_value(key);
    if (!found) return std::string(otherwise);
    MORTISE_TRY(const auto value, found->as_string());
    return std::string(value);
}

Problem Fields::unsupported(std::string what, std::string fix) const {
    auto problem = node_.problem(Code::unsupported_tokenizer, what_ + ": " + what);
    problem.fix = std::move(fix);
    return problem;
}

Status Fields::finish() const {
    Problems problems;
    for (size_t i = 0; i < node_.keys().size(); ++i) {
        const auto& item = *node_.items()[i];
        if (!item.was_read() && item.kind() != json::Kind::null)
            problems.add(item.problem(Code::unsupported_tokenizer,
                                      what_ + ": unknown member '" + node_.keys()[i] + "'"));
    }
    return std::move(problems).status();
}

Result<std::string> component_type(const json::Node& node, std::string_view role) {
    return Fields(node, std::string(role)).string("type");
}

}  // namespace mortise::text
