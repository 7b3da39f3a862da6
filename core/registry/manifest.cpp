#include "registry/manifest.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/text.h"
#include "base/yaml.h"
#include "mortise/abi_base.h"
#include "registry/manifest_keys.h"

namespace mortise::registry {

namespace {

using yaml::Node;

bool is_id(std::string_view text) {
    return !text.empty() && text.size() < sizeof(mortise_note::id) &&
           std::ranges::all_of(
               text,
               [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                          c == '_';
               });
}

// Semantic Versioning 2.0.0: three numbers, then maybe -prerelease and +build.
bool is_version(std::string_view text) {
    if (text.size() >= sizeof(mortise_note::version)) return false;
    const std::string_view core = text.substr(0, text.find_first_of("-+"));
    const auto numbers = split(core, '.');
    const auto is_number = [](std::string_view s) {
        return !s.empty() && std::ranges::all_of(s, [](char c) { return c >= '0' && c <= '9'; });
    };
    return numbers.size() == 3 && std::ranges::all_of(numbers, is_number);
}

bool is_hex_digest(std::string_view text) {
    return text.size() == 64 &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Reads members of the manifest; what is wrong goes to `problems` and the value stays empty.
class Reader {
  public:
    explicit Reader(Problems& problems) : problems_(problems) {}

    void wrong(const Node& node, std::string what, std::string expected, std::string found,
               std::string fix = {}) {
        Problem problem = node.problem(Code::manifest_invalid, std::move(what));
        problem.expected = std::move(expected);
        problem.found = std::move(found);
        problem.fix = std::move(fix);
        problems_.add(std::move(problem));
    }

    std::string text(const Node* node) {
        if (!node) return {};
        auto value = node->as_string();
        if (value) return std::string(*value);
        problems_.add(value.error());
        return {};
    }

    std::string quoted(const Node* node) {
        if (!node) return {};
        auto value = node->as_quoted();
        if (value) return std::string(*value);
        problems_.add(value.error());
        return {};
    }

    // A string, or a sequence of strings that is not empty.
    std::vector<std::string> texts(const Node* node) {
        std::vector<std::string> out;
        if (!node) return out;
        if (node->kind() != yaml::Kind::sequence) {
            out.push_back(text(node));
            return out;
        }
        if (node->size() == 0) wrong(*node, node->path() + " is empty", "at least one string", "[]");
        for (const auto& item : node->items()) out.push_back(text(item.get()));
        return out;
    }

    std::string id(const Node* node) {
        std::string out = text(node);
        if (node && !out.empty() && !is_id(out))
            wrong(*node, node->path() + " is no id", "a-z, 0-9, '.', '-' and '_', at most 95",
                  "'" + out + "'");
        return out;
    }

    std::vector<std::string> ids(const Node* node) {
        std::vector<std::string> out = texts(node);
        for (const std::string& each : out)
            if (!each.empty() && !is_id(each))
                wrong(*node, node->path() + " holds what is no id", "a-z, 0-9, '.', '-' and '_', at most 95",
                      "'" + each + "'");
        return out;
    }

    Problems& problems() { return problems_; }

  private:
    Problems& problems_;
};

void read_plugin(const Node& node, Reader& reader, Manifest& out) {
    if (!yaml::check_keys(node, keys::plugin, reader.problems()) && node.kind() != yaml::Kind::map) return;
    out.id = reader.id(yaml::require_key(node, "id", reader.problems()));
    const Node* version = yaml::require_key(node, "version", reader.problems());
    out.version = reader.quoted(version);
    if (!out.version.empty() && !is_version(out.version))
        reader.wrong(*version, "plugin.version is no version", "\"major.minor.patch\"",
                     "\"" + out.version + "\"");
    out.vendor = reader.text(node.find("vendor"));
    out.license = reader.text(node.find("license"));
    out.homepage = reader.text(node.find("homepage"));
    out.description = reader.text(node.find("description"));
}

void read_library(const Node& node, Reader& reader, Manifest& out) {
    if (!yaml::check_keys(node, keys::library, reader.problems()) && node.kind() != yaml::Kind::map) return;
    const Node* path = yaml::require_key(node, "path", reader.problems());
    out.library = reader.text(path);
    const auto steps = split(out.library, '/');
    const bool climbs = std::ranges::find(steps, "..") != steps.end();
    if (path && path->kind() == yaml::Kind::string &&
        (out.library.empty() || out.library.starts_with('/') || climbs))
        reader.wrong(*path, "library.path leaves the folder of the manifest", "a path below that folder",
                     "'" + out.library + "'", "put the library beside its manifest");
    const Node* digest = node.find("sha256");
    out.sha256 = reader.text(digest);
    if (!out.sha256.empty() && !is_hex_digest(out.sha256))
        reader.wrong(*digest, "library.sha256 is no SHA-256", "64 lower-case hexadecimal digits",
                     "'" + out.sha256 + "'");
}

void read_abi(const Node* node, Reader& reader, Manifest& out) {
    const std::string text = reader.quoted(node);
    if (text.empty()) return;
    const auto numbers = split(text, '.');
    const auto number = [](std::string_view digits, uint32_t& value) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return error == std::errc{} && end == digits.data() + digits.size();
    };
    if (numbers.size() != 2 || !number(numbers[0], out.abi_major) || !number(numbers[1], out.abi_minor))
        reader.wrong(*node, "abi is no version of the plugin ABI", "\"major.minor\"", "\"" + text + "\"");
}

void read_scheme(const Node& node, Reader& reader, Provides& out) {
    out.quant_methods = reader.texts(node.find("quant_method"));
    out.name_spaces = reader.texts(node.find("name_space"));
    if (out.quant_methods.empty() && out.name_spaces.empty())
        reader.wrong(node, "scheme '" + out.id + "' says of no checkpoint that it could be its own",
                     "quant_method or name_space", "neither");
}

// "hex:47475546" or the text itself.
std::string bytes_of(const Node& node, const std::string& text, Reader& reader) {
    if (!text.starts_with("hex:")) return text;
    std::string out;
    for (size_t i = 4; i < text.size(); i += 2) {
        unsigned value = 0;
        const char* end = text.data() + std::min(i + 2, text.size());
        const auto [stop, error] = std::from_chars(text.data() + i, end, value, 16);
        if (error != std::errc{} || stop != text.data() + i + 2) {
            reader.wrong(node, "first_bytes is malformed", "hex: and pairs of hexadecimal digits",
                         "'" + text + "'");
            return {};
        }
        out.push_back(static_cast<char>(value));
    }
    return out;
}

void read_container(const Node& node, Reader& reader, Provides& out) {
    out.suffixes = reader.texts(node.find("suffix"));
    const Node* first = node.find("first_bytes");
    for (const std::string& text : reader.texts(first))
        out.first_bytes.push_back(bytes_of(*first, text, reader));
    if (out.suffixes.empty() && out.first_bytes.empty())
        reader.wrong(node, "container '" + out.id + "' does not say which files are its own",
                     "suffix or first_bytes", "neither");
}

void read_interface(const Node& node, Reader& reader, Provides& out) {
    Problems& problems = reader.problems();
    switch (out.kind) {
        case Interface::scheme:
            yaml::check_keys(node, keys::scheme, problems);
            return read_scheme(node, reader, out);
        case Interface::architecture:
            yaml::check_keys(node, keys::architecture, problems);
            out.architectures = reader.texts(yaml::require_key(node, "architectures", problems));
            out.model_types = reader.texts(node.find("model_type"));
            return;
        case Interface::kernels:
            yaml::check_keys(node, keys::kernels, problems);
            out.device = reader.text(yaml::require_key(node, "device", problems));
            return;
        case Interface::container:
            yaml::check_keys(node, keys::container, problems);
            return read_container(node, reader, out);
    }
}

void read_provided(const Node& node, Reader& reader, Manifest& manifest) {
    if (auto map = node.require(yaml::Kind::map); !map) return reader.problems().add(map.error());
    Provides out;
    out.line = node.line();
    out.id = reader.id(yaml::require_key(node, "id", reader.problems()));
    if (const Node* priority = node.find("priority")) {
        const auto value = priority->as_int();
        if (!value)
            reader.problems().add(value.error());
        else if (*value < 0 || *value > 100)
            reader.wrong(*priority, priority->path() + " is out of range", "0 to 100",
                         std::to_string(*value));
        else
            out.priority = static_cast<int>(*value);
    }
    const Node* interface = yaml::require_key(node, "interface", reader.problems());
    const std::string kind = reader.text(interface);
    const auto at = std::ranges::find(keys::interfaces, kind);
    if (at == keys::interfaces.end()) {
        if (!kind.empty())
            reader.wrong(*interface, "unknown interface '" + kind + "'",
                         "scheme, architecture, kernels or container", "'" + kind + "'",
                         did_you_mean(kind, keys::interfaces));
        return;
    }
    out.kind = static_cast<Interface>(at - keys::interfaces.begin() + 1);
    read_interface(node, reader, out);
    const auto same = [&](const Provides& other) { return other.kind == out.kind && other.id == out.id; };
    if (!out.id.empty() && std::ranges::any_of(manifest.provides, same))
        reader.wrong(node, kind + " '" + out.id + "' is provided twice", "each id once per interface",
                     "a second one");
    manifest.provides.push_back(std::move(out));
}

void read_root(const Node& root, Reader& reader, Manifest& out) {
    Problems& problems = reader.problems();
    if (!yaml::check_keys(root, keys::root, problems) && root.kind() != yaml::Kind::map) return;
    const Node* family = yaml::require_key(root, "manifest", problems);
    if (const std::string text = reader.text(family); !text.empty() && text != keys::family)
        reader.wrong(*family, "unknown kind of manifest", std::string(keys::family), text);
    if (const Node* node = yaml::require_key(root, "plugin", problems)) read_plugin(*node, reader, out);
    if (const Node* node = yaml::require_key(root, "library", problems)) read_library(*node, reader, out);
    read_abi(yaml::require_key(root, "abi", problems), reader, out);
    out.disable_env = reader.text(root.find("disable_env"));
    out.needs = reader.ids(root.find("requires"));
    out.conflicts = reader.ids(root.find("conflicts"));
    const Node* provides = yaml::require_key(root, "provides", problems);
    if (!provides) return;
    if (auto list = provides->require(yaml::Kind::sequence); !list) return problems.add(list.error());
    if (provides->size() == 0) reader.wrong(*provides, "provides is empty", "at least one entry", "[]");
    for (const auto& item : provides->items()) read_provided(*item, reader, out);
}

// A manifest is the plugin's, not the user's configuration: its problems count as the plugin's.
Error as_manifest_error(const Error& error) {
    std::vector<Problem> problems = error.problems();
    for (Problem& problem : problems)
        if (static_cast<int>(problem.code) / 1000 == 3) problem.code = Code::manifest_invalid;
    return Error(std::move(problems));
}

}  // namespace

std::string_view name(Interface kind) { return keys::interfaces[static_cast<size_t>(kind) - 1]; }

Result<Manifest> parse_manifest(std::string_view text, const std::string& path) {
    auto document = yaml::Document::parse(text, path);
    if (!document) return std::unexpected(as_manifest_error(document.error()));
    Manifest out;
    out.path = path;
    Problems problems;
    Reader reader(problems);
    read_root(document->root(), reader, out);
    if (auto status = std::move(problems).status(); !status)
        return std::unexpected(as_manifest_error(yaml::sorted(status.error())));
    return out;
}

// A link to a manifest stands for the file it leads to: the library lies beside that one.
Result<Manifest> read_manifest(const std::string& path) {
    namespace fs = std::filesystem;
    MORTISE_TRY(const std::string text, read_file(path, yaml::max_bytes + 1));
    MORTISE_TRY(Manifest out, parse_manifest(text, path));
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    const fs::path library = (error ? fs::path(path) : real).parent_path() / out.library;
    const fs::path target = fs::canonical(library, error);
    out.library = (error ? library.lexically_normal() : target).string();
    return out;
}

}  // namespace mortise::registry
