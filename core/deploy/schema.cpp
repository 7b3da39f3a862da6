// The table of settings as JSON Schema, so that editors complete and check deployment files.
#include "base/json.h"
#include "base/text.h"
#include "deploy/resolve.h"

namespace mortise::deploy {

namespace {

void range(json::Writer& out, std::string_view rule) {
    size_t dots = rule.find("..");
    if (dots == std::string_view::npos) return;
    out.key("minimum").raw(rule.substr(0, dots)).key("maximum").raw(rule.substr(dots + 2));
}

// Keys that begin with x- belong to the user.
void free_keys(json::Writer& out) {
    out.key("patternProperties").begin_object().key("^x-").begin_object().end_object().end_object();
}

void list_of_texts(json::Writer& out) {
    out.entry("type", "array").key("items").begin_object().entry("type", "string").end_object();
}

void pin_map(json::Writer& out) {
    out.entry("type", "object").key("additionalProperties").begin_object();
    out.entry("type", "object").entry("additionalProperties", false).entry("minProperties", 1);
    free_keys(out);
    out.key("properties").begin_object();
    for (const char* name : {"version", "sha256"}) {
        out.key(name).begin_object().entry("type", "string").end_object();
    }
    out.end_object().end_object();
}

void default_value(json::Writer& out, const Setting& setting) {
    if (setting.fallback.empty()) return;
    if (auto data = parse_text(setting, setting.fallback)) out.key("default").raw(to_json(*data));
}

void describe(json::Writer& out, const Setting& setting) {
    out.begin_object().entry("description", setting.help);
    switch (setting.type) {
        case Type::boolean: out.entry("type", "boolean"); break;
        case Type::integer:
            out.entry("type", "integer");
            range(out, setting.rule);
            break;
        case Type::real:
            out.entry("type", "number");
            range(out, setting.rule);
            break;
        case Type::text:
            out.entry("type", "string");
            if (setting.rule.empty()) break;
            out.key("enum").begin_array();
            for (std::string_view choice : split(setting.rule, '|')) out.value(choice);
            out.end_array();
            break;
        case Type::path: out.entry("type", "string"); break;
        case Type::text_list:
        case Type::path_list: list_of_texts(out); break;
        case Type::text_map:
            out.entry("type", "object").key("additionalProperties").begin_object();
            out.entry("type", "string").end_object();
            break;
        case Type::pin_map: pin_map(out); break;
    }
    default_value(out, setting);
    out.end_object();
}

}  // namespace

std::string json_schema() {
    json::Writer out(2);
    out.begin_object().entry("$schema", "http://json-schema.org/draft-07/schema#");
    out.entry("title", "Mortise deployment").entry("type", "object");
    out.entry("additionalProperties", false).key("required").begin_array().value("deployment").end_array();
    free_keys(out);
    out.key("properties").begin_object();
    out.key("deployment").begin_object().entry("description", "family and version of this file");
    out.entry("const", "mortise.deploy/v1").end_object();
    std::string_view section;
    for (const Setting& setting : settings()) {
        size_t dot = setting.key.find('.');
        if (setting.key.substr(0, dot) != section) {
            if (!section.empty()) out.end_object().end_object();
            section = setting.key.substr(0, dot);
            out.key(section).begin_object().entry("type", "object");
            out.entry("additionalProperties", false);
            free_keys(out);
            out.key("properties").begin_object();
        }
        out.key(setting.key.substr(dot + 1));
        describe(out, setting);
    }
    out.end_object().end_object().end_object().end_object();
    return out.take() + "\n";
}

}  // namespace mortise::deploy
