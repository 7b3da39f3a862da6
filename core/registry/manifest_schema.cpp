// The manifest as JSON Schema, so that editors complete and check it.
#include <span>

#include "base/json.h"
#include "registry/manifest.h"
#include "registry/manifest_keys.h"

namespace mortise::registry {

namespace {

using json::Writer;
using Keys = std::span<const std::string_view>;

constexpr const char* id_pattern = "^[a-z0-9._-]{1,95}$";

void text(Writer& out, const char* pattern = nullptr) {
    out.begin_object().entry("type", "string");
    if (pattern) out.entry("pattern", pattern);
    out.end_object();
}

// A string or a list of strings.
void texts(Writer& out, const char* pattern = nullptr) {
    out.begin_object().key("oneOf").begin_array();
    text(out, pattern);
    out.begin_object().entry("type", "array").entry("minItems", 1).key("items");
    text(out, pattern);
    out.end_object().end_array().end_object();
}

// A map with these keys and no others, x- keys aside; `member` writes the schema of one key.
template <class Member>
void map(Writer& out, Keys allowed, Keys required, const Member& member) {
    out.begin_object().entry("type", "object").entry("additionalProperties", false);
    out.key("patternProperties").begin_object().key("^x-").begin_object().end_object().end_object();
    if (!required.empty()) {
        out.key("required").begin_array();
        for (std::string_view key : required) out.value(key);
        out.end_array();
    }
    out.key("properties").begin_object();
    for (std::string_view key : allowed) {
        out.key(key);
        member(key);
    }
    out.end_object().end_object();
}

void provided(Writer& out, std::string_view interface, Keys allowed, Keys required) {
    map(out, allowed, required, [&](std::string_view key) {
        if (key == "interface") {
            out.begin_object().entry("const", interface).end_object();
        } else if (key == "id") {
            text(out, id_pattern);
        } else if (key == "priority") {
            out.begin_object().entry("type", "integer").entry("minimum", 0).entry("maximum", 100);
            out.entry("default", default_priority).end_object();
        } else if (key == "description" || key == "device") {
            text(out);
        } else {
            texts(out);
        }
    });
}

void provides(Writer& out) {
    constexpr std::string_view scheme[] = {"interface", "id"};
    constexpr std::string_view architecture[] = {"interface", "id", "architectures"};
    constexpr std::string_view kernels[] = {"interface", "id", "device"};
    constexpr std::string_view container[] = {"interface", "id"};
    out.begin_object().entry("type", "array").entry("minItems", 1).key("items").begin_object();
    out.key("oneOf").begin_array();
    provided(out, "scheme", keys::scheme, scheme);
    provided(out, "architecture", keys::architecture, architecture);
    provided(out, "kernels", keys::kernels, kernels);
    provided(out, "container", keys::container, container);
    out.end_array().end_object().end_object();
}

void plugin(Writer& out) {
    constexpr std::string_view required[] = {"id", "version"};
    map(out, keys::plugin, required, [&](std::string_view key) {
        text(out, key == "id"        ? id_pattern
                  : key == "version" ? "^[0-9]+\\.[0-9]+\\.[0-9]+([-+].+)?$"
                                     : nullptr);
    });
}

void library(Writer& out) {
    constexpr std::string_view required[] = {"path"};
    map(out, keys::library, required,
        [&](std::string_view key) { text(out, key == "sha256" ? "^[0-9a-f]{64}$" : nullptr); });
}

void member(Writer& out, std::string_view key) {
    if (key == "manifest") {
        out.begin_object().entry("const", keys::family).end_object();
    } else if (key == "plugin") {
        plugin(out);
    } else if (key == "library") {
        library(out);
    } else if (key == "provides") {
        provides(out);
    } else if (key == "abi") {
        text(out, "^[0-9]+\\.[0-9]+$");
    } else if (key == "disable_env") {
        text(out);
    } else {
        texts(out, id_pattern);
    }
}

}  // namespace

std::string manifest_schema() {
    constexpr std::string_view required[] = {"manifest", "plugin", "library", "abi", "provides"};
    Writer out(2);
    out.begin_object().entry("$schema", "http://json-schema.org/draft-07/schema#");
    out.entry("title", "Manifest of a Mortise plugin");
    out.key("allOf").begin_array();
    map(out, keys::root, required, [&](std::string_view key) { member(out, key); });
    out.end_array().end_object();
    return out.take() + "\n";
}

}  // namespace mortise::registry
