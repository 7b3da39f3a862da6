// Deployment YAML to values: strict, positions kept, paths made relative to the file.
#include <fmt/format.h>

#include <filesystem>

#include "base/codes.h"
#include "base/text.h"
#include "base/yaml.h"
#include "deploy/resolve.h"

namespace mortise::deploy {

namespace {

constexpr std::string_view family = "mortise.deploy/v1";
using Values = std::map<std::string, Value, std::less<>>;
using Environment = std::function<std::optional<std::string>(std::string_view)>;

// Adds the problem and gives an empty value.
Data refuse(Problem problem, Problems& problems) {
    problems.add(std::move(problem));
    return {};
}

template <class T>
Data scalar(Result<T> value, Problems& problems) {
    if (!value) {
        problems.add(value.error());
        return {};
    }
    if constexpr (std::is_same_v<T, std::string_view>)
        return std::string(*value);
    else
        return *value;
}

class Reader {
  public:
    Reader(const std::string& file, const Environment& environment, Problems& problems)
        : folder_(std::filesystem::path(file).parent_path()),
          environment_(environment),
          problems_(problems) {}

    Data read(const Setting& setting, const yaml::Node& node) {
        Data data = read_typed(setting, node);
        if (auto good = check_rule(setting, data); !good) {
            Problem problem = node.problem(Code::yaml_value,
                                           fmt::format("'{}' has a value that does not fit", setting.key));
            problem.expected = good.error().first().expected;
            problem.found = good.error().first().found;
            problem.fix = good.error().first().fix;
            return refuse(std::move(problem), problems_);
        }
        return data;
    }

  private:
    Data read_typed(const Setting& setting, const yaml::Node& node) {
        switch (setting.type) {
            case Type::boolean: return scalar(node.as_bool(), problems_);
            case Type::integer: return scalar(node.as_int(), problems_);
            case Type::real: return scalar(node.as_double(), problems_);
            case Type::text: return text(node);
            case Type::path: return path(node);
            case Type::text_list: return list(node, &Reader::text);
            case Type::path_list: return list(node, &Reader::path);
            case Type::text_map: return map(node);
            case Type::pin_map: return pins(node);
        }
        return {};
    }

    Data text(const yaml::Node& node) {
        auto value = node.as_string();
        if (value && value->find("${") != std::string_view::npos) {
            Problem problem = node.problem(
                Code::yaml_value, fmt::format("'{}' is no path: nothing is replaced in it", node.path()));
            problem.found = fmt::format("'{}'", *value);
            problem.fix = "write the value itself; ${env:NAME} works in paths only";
            return refuse(std::move(problem), problems_);
        }
        return scalar(std::move(value), problems_);
    }

    Data path(const yaml::Node& node) {
        auto value = node.as_string();
        if (!value) return scalar(std::move(value), problems_);
        std::string expanded;
        std::string_view rest = *value;
        for (size_t at; (at = rest.find("${")) != std::string_view::npos;) {
            size_t end = rest.find('}', at);
            bool known = rest.substr(at).starts_with("${env:") && end != std::string_view::npos;
            std::string_view name = known ? rest.substr(at + 6, end - at - 6) : "";
            auto content = known && environment_ ? environment_(name) : std::nullopt;
            if (!content || content->empty()) return no_replacement(node, *value, known ? name : "");
            expanded.append(rest.substr(0, at)).append(*content);
            rest.remove_prefix(end + 1);
        }
        expanded.append(rest);
        if (expanded.empty()) return std::string();
        return (folder_ / expanded).lexically_normal().string();  // an absolute path replaces the folder
    }

    Data no_replacement(const yaml::Node& node, std::string_view value, std::string_view variable) {
        Problem problem =
            node.problem(Code::yaml_value, fmt::format("'{}' cannot be completed", node.path()));
        problem.found = fmt::format("'{}'", value);
        problem.fix = variable.empty() ? "only ${env:NAME} is replaced"
                                       : fmt::format("set the environment variable {}", variable);
        return refuse(std::move(problem), problems_);
    }

    Data list(const yaml::Node& node, Data (Reader::*item)(const yaml::Node&)) {
        if (auto good = node.require(yaml::Kind::sequence); !good) {
            problems_.add(good.error());
            return {};
        }
        std::vector<std::string> out;
        for (const auto& child : node.items()) {
            Data data = (this->*item)(*child);
            if (auto* text = std::get_if<std::string>(&data)) out.push_back(std::move(*text));
        }
        return out;
    }

    Data map(const yaml::Node& node) {
        if (auto good = node.require(yaml::Kind::map); !good) {
            problems_.add(good.error());
            return {};
        }
        std::map<std::string, std::string> out;
        for (size_t i = 0; i < node.size(); ++i) {
            Data data = text(*node.items()[i]);
            if (auto* value = std::get_if<std::string>(&data)) out.emplace(node.keys()[i], std::move(*value));
        }
        return out;
    }

    Data pins(const yaml::Node& node) {
        if (auto good = node.require(yaml::Kind::map); !good) {
            problems_.add(good.error());
            return {};
        }
        std::map<std::string, Pin> out;
        constexpr std::string_view allowed[] = {"version", "sha256"};
        for (size_t i = 0; i < node.size(); ++i) {
            const yaml::Node& entry = *node.items()[i];
            if (!yaml::check_keys(entry, allowed, problems_)) continue;
            Pin pin;
            if (const auto* version = entry.find_value("version")) take(version->as_quoted(), pin.version);
            if (const auto* digest = entry.find_value("sha256")) take(digest->as_string(), pin.sha256);
            if (pin == Pin{}) {
                problems_.add(
                    entry.problem(Code::yaml_missing_key,
                                  fmt::format("'{}' pins neither version nor sha256", entry.path())));
            }
            out.emplace(node.keys()[i], std::move(pin));
        }
        return out;
    }

    void take(Result<std::string_view> value, std::string& out) {
        if (value)
            out = *value;
        else
            problems_.add(value.error());
    }

    std::filesystem::path folder_;
    const Environment& environment_;
    Problems& problems_;
};

std::vector<std::string_view> known_sections() {
    std::vector<std::string_view> out = {"deployment"};
    for (const Setting& setting : settings()) {
        std::string_view section = setting.key.substr(0, setting.key.find('.'));
        if (section != out.back()) out.push_back(section);
    }
    return out;
}

std::vector<std::string_view> known_keys(std::string_view section) {
    std::vector<std::string_view> out;
    for (const Setting& setting : settings()) {
        size_t dot = setting.key.find('.');
        if (setting.key.substr(0, dot) == section) out.push_back(setting.key.substr(dot + 1));
    }
    return out;
}

void check_family(const yaml::Node& root, Problems& problems) {
    const yaml::Node* node = yaml::require_key(root, "deployment", problems);
    if (!node || node->text() == family) return;
    Problem problem = node->problem(Code::yaml_value, "this is no deployment that this version reads");
    problem.expected = family;
    problem.found = fmt::format("'{}'", node->text());
    problems.add(std::move(problem));
}

void read_section(Reader& reader, const std::string& file, std::string_view section, const yaml::Node& node,
                  Values& values, Problems& problems) {
    if (!yaml::check_keys(node, known_keys(section), problems) && node.kind() != yaml::Kind::map) return;
    for (size_t i = 0; i < node.size(); ++i) {
        const Setting* setting = find_setting(fmt::format("{}.{}", section, node.keys()[i]));
        const yaml::Node& value = *node.items()[i];
        if (!setting || value.kind() == yaml::Kind::null) continue;  // a null says: as if it were not there
        values.insert_or_assign(
            std::string(setting->key),
            Value{reader.read(*setting, value), fmt::format("{}:{}:{}", file, value.line(), value.column())});
    }
}

}  // namespace

Result<Values> read_deployment(const std::string& file, const Environment& environment) {
    MORTISE_TRY(yaml::Document document, yaml::Document::load(file));
    const yaml::Node& root = document.root();
    Problems problems;
    Values values;
    MORTISE_CHECK(root.require(yaml::Kind::map));
    yaml::check_keys(root, known_sections(), problems);
    check_family(root, problems);
    Reader reader(file, environment, problems);
    for (size_t i = 0; i < root.size(); ++i) {
        std::string_view section = root.keys()[i];
        if (section == "deployment" || known_keys(section).empty()) continue;
        if (root.items()[i]->kind() == yaml::Kind::null) continue;
        read_section(reader, file, section, *root.items()[i], values, problems);
    }
    if (auto status = std::move(problems).status(); !status)
        return std::unexpected(yaml::sorted(status.error()));
    return values;
}

}  // namespace mortise::deploy
