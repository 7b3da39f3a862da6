#include "registry/manifest.h"

#include <algorithm>
#include <array>

#include "base/yaml.h"

namespace mortise::registry {
namespace {

constexpr std::string_view family = "mortise.plugin/v1";

bool is_id(std::string_view id) {
    return !id.empty() && id.size() < 96 && std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    });
}

// Reads members of one map, collecting problems.
class Reader {
  public:
    Reader(const yaml::Node& map, Problems& problems) : map_(map), problems_(problems) {}

    std::string text(std::string_view key, bool required) {
        const yaml::Node* node = required ? yaml::require_key(map_, key, problems_) : map_.find_value(key);
        return node ? take(node->as_string()) : std::string();
    }
    std::string quoted(std::string_view key) {
        const yaml::Node* node = yaml::require_key(map_, key, problems_);
        return node ? take(node->as_quoted()) : std::string();
    }
    int integer(std::string_view key, int otherwise, int low, int high) {
        const yaml::Node* node = map_.find_value(key);
        if (!node) return otherwise;
        const auto value = node->as_int();
        if (!value) return problems_.add(value.error()), otherwise;
        if (*value >= low && *value <= high) return static_cast<int>(*value);
        Problem problem = node->problem(Code::yaml_value, std::string(key) + " is out of range");
        problem.expected = std::to_string(low) + " to " + std::to_string(high);
        problem.found = std::to_string(*value);
        problems_.add(problem);
        return otherwise;
    }
    std::vector<std::string> list(std::string_view key) {
        std::vector<std::string> out;
        const yaml::Node* node = map_.find_value(key);
        if (!node) return out;
        if (const auto ok = node->require(yaml::Kind::sequence); !ok) return problems_.add(ok.error()), out;
        for (const auto& item : node->items()) out.push_back(take(item->as_string()));
        return out;
    }

  private:
    std::string take(Result<std::string_view> text) {
        if (text) return std::string(*text);
        problems_.add(text.error());
        return {};
    }
    const yaml::Node& map_;
    Problems& problems_;
};

void read_provides(const yaml::Node& node, Manifest& manifest, Problems& problems) {
    constexpr std::array<std::string_view, 10> keys = {"interface", "id", "priority", "quant_method", "name_space",
                                                       "architectures", "model_type", "suffix", "device", "description"};
    if (!yaml::check_keys(node, keys, problems)) return;
    Reader reader(node, problems);
    Provides provides{.line = node.line()};
    const std::string interface_name = reader.text("interface", true);
    for (Interface kind : {Interface::scheme, Interface::architecture, Interface::kernels, Interface::container})
        if (name(kind) == interface_name) provides.kind = kind;
    if (provides.kind == Interface{}) {
        Problem problem = node.problem(Code::yaml_value, "unknown interface");
        problem.expected = "scheme, architecture, kernels or container";
        problem.found = interface_name;
        problems.add(problem);
    }
    provides.id = reader.text("id", true);
    provides.priority = reader.integer("priority", 50, 0, 100);
    provides.quant_methods = reader.list("quant_method");
    provides.name_spaces = reader.list("name_space");
    provides.architectures = reader.list("architectures");
    provides.model_types = reader.list("model_type");
    provides.suffixes = reader.list("suffix");
    provides.device = reader.text("device", provides.kind == Interface::kernels);
    manifest.provides.push_back(std::move(provides));
}

void read_plugin(const yaml::Node& root, Manifest& manifest, Problems& problems) {
    const yaml::Node* node = yaml::require_key(root, "plugin", problems);
    constexpr std::array<std::string_view, 6> keys = {"id", "version", "vendor", "license", "homepage", "description"};
    if (!node || !yaml::check_keys(*node, keys, problems)) return;
    Reader reader(*node, problems);
    manifest.id = reader.text("id", true);
    manifest.version = reader.quoted("version");
    manifest.vendor = reader.text("vendor", false);
    manifest.license = reader.text("license", false);
    manifest.description = reader.text("description", false);
    if (is_id(manifest.id)) return;
    Problem problem = node->problem(Code::manifest_invalid, "plugin.id is no id");
    problem.expected = "lower-case letters, digits, '.', '-', '_', at most 95";
    problem.found = manifest.id;
    problems.add(problem);
}

void read_library(const yaml::Node& root, Manifest& manifest, Problems& problems) {
    const yaml::Node* node = yaml::require_key(root, "library", problems);
    constexpr std::array<std::string_view, 3> keys = {"path", "sha256", "build_id"};
    if (!node || !yaml::check_keys(*node, keys, problems)) return;
    Reader reader(*node, problems);
    const std::string path = reader.text("path", true);
    manifest.sha256 = reader.text("sha256", false);
    if (path.empty() || path[0] == '/' || path.find("..") != std::string::npos) {
        Problem problem = node->problem(Code::manifest_invalid, "library.path must lie beside the manifest");
        problem.expected = "a file name without '..'";
        problem.found = path;
        return problems.add(problem);
    }
    manifest.library = manifest.path.substr(0, manifest.path.find_last_of('/') + 1) + path;
}

}  // namespace

std::string_view name(Interface kind) {
    switch (kind) {
        case Interface::scheme: return "scheme";
        case Interface::architecture: return "architecture";
        case Interface::kernels: return "kernels";
        case Interface::container: return "container";
    }
    return "?";
}

Result<Manifest> read_manifest(const std::string& path) {
    MORTISE_TRY(const yaml::Document document, yaml::Document::load(path));
    const yaml::Node& root = document.root();
    Problems problems;
    Manifest manifest{.path = path};
    constexpr std::array<std::string_view, 7> keys = {"manifest", "plugin", "library", "abi", "provides", "disable_env", "limits"};
    if (yaml::check_keys(root, keys, problems)) {
        Reader reader(root, problems);
        if (const std::string found = reader.text("manifest", true); found != family) {
            Problem problem = root.problem(Code::manifest_invalid, "not a manifest of this family");
            problem.expected = family;
            problem.found = found;
            problems.add(problem);
        }
        manifest.disable_env = reader.text("disable_env", false);
        read_plugin(root, manifest, problems);
        read_library(root, manifest, problems);
        if (const yaml::Node* list = yaml::require_key(root, "provides", problems)) {
            if (const auto ok = list->require(yaml::Kind::sequence); !ok) problems.add(ok.error());
            for (const auto& item : list->items()) read_provides(*item, manifest, problems);
        }
    }
    if (const Status ok = std::move(problems).status(); !ok) return std::unexpected(yaml::sorted(ok.error()));
    return manifest;
}

}  // namespace mortise::registry
