#include "deploy/schema_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <set>

namespace mortise::test {

namespace {

class Checker {
  public:
    std::vector<std::string> found;

    void check(const json::Node& schema, const yaml::Node& value) {
        static const std::set<std::string> known = {"$schema",
                                                    "title",
                                                    "description",
                                                    "default",
                                                    "type",
                                                    "properties",
                                                    "patternProperties",
                                                    "required",
                                                    "enum",
                                                    "const",
                                                    "items",
                                                    "minimum",
                                                    "maximum",
                                                    "additionalProperties",
                                                    "minProperties",
                                                    "pattern",
                                                    "examples",
                                                    "$id"};
        for (const std::string& keyword : schema.keys()) {
            if (!known.contains(keyword)) say(value, "schema keyword not covered by the checker: " + keyword);
        }
        if (!check_type(schema, value)) return;
        check_scalar(schema, value);
        if (value.kind() == yaml::Kind::map) check_map(schema, value);
        if (const auto* items = schema.find("items")) {
            for (const auto& child : value.items()) check(*items, *child);
        }
    }

  private:
    void say(const yaml::Node& value, const std::string& why) { found.push_back(value.path() + ": " + why); }

    static bool matches(std::string_view type, yaml::Kind kind) {
        switch (kind) {
            case yaml::Kind::null: return type == "null";
            case yaml::Kind::boolean: return type == "boolean";
            case yaml::Kind::integer: return type == "integer" || type == "number";
            case yaml::Kind::real: return type == "number";
            case yaml::Kind::string: return type == "string";
            case yaml::Kind::sequence: return type == "array";
            case yaml::Kind::map: return type == "object";
        }
        return false;
    }

    bool check_type(const json::Node& schema, const yaml::Node& value) {
        const auto* type = schema.find("type");
        if (!type) return true;
        bool good = type->items().empty() && matches(type->text(), value.kind());
        for (const auto& choice : type->items()) good = good || matches(choice->text(), value.kind());
        if (!good) say(value, fmt::format("is {}", yaml::name(value.kind())));
        return good;
    }

    void check_scalar(const json::Node& schema, const yaml::Node& value) {
        if (const auto* choices = schema.find("enum")) {
            bool good = std::ranges::any_of(choices->items(),
                                            [&](auto& item) { return item->text() == value.text(); });
            if (!good) say(value, "'" + value.text() + "' is not in the enum");
        }
        if (const auto* only = schema.find("const"); only && only->text() != value.text())
            say(value, "is not the constant");
        if (const auto* least = schema.find("minimum");
            least && value.as_double().value() < least->as_double().value()) {
            say(value, "too small");
        }
        if (const auto* most = schema.find("maximum");
            most && value.as_double().value() > most->as_double().value()) {
            say(value, "too large");
        }
        const auto* pattern = schema.find("pattern");
        if (pattern && !std::regex_search(value.text(), std::regex(pattern->text())))
            say(value, "does not match the pattern");
    }

    void check_map(const json::Node& schema, const yaml::Node& value) {
        if (const auto* least = schema.find("minProperties");
            least && value.size() < static_cast<size_t>(least->as_int().value())) {
            say(value, "too few members");
        }
        if (const auto* required = schema.find("required")) {
            for (const auto& key : required->items()) {
                if (!value.find(key->text())) say(value, "lacks " + key->text());
            }
        }
        for (size_t i = 0; i < value.size(); ++i) check_member(schema, value, i);
    }

    void check_member(const json::Node& schema, const yaml::Node& value, size_t i) {
        const std::string& key = value.keys()[i];
        const auto* properties = schema.find("properties");
        if (const auto* own = properties ? properties->find(key) : nullptr)
            return check(*own, *value.items()[i]);
        if (const auto* patterns = schema.find("patternProperties")) {
            for (size_t p = 0; p < patterns->size(); ++p) {
                if (std::regex_search(key, std::regex(patterns->keys()[p])))
                    return check(*patterns->items()[p], *value.items()[i]);
            }
        }
        const auto* others = schema.find("additionalProperties");
        if (others && others->kind() == json::Kind::object) return check(*others, *value.items()[i]);
        if (others && others->text() == "false") say(value, "has the unknown key " + key);
    }
};

}  // namespace

std::vector<std::string> violations(const json::Node& schema, const yaml::Node& value) {
    Checker checker;
    checker.check(schema, value);
    return checker.found;
}

}  // namespace mortise::test
