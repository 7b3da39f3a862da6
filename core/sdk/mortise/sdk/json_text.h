// JSON as a writer's config needs it.
//
// Pure functions over values; what reads a config, one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "mortise/sdk/config.h"

namespace mortise::sdk {

// Effect: a JSON string; null for "".
inline std::string json_text(const std::string& text) {
    std::string out;
    for (const char c : text) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
        if (static_cast<unsigned char>(c) < 0x20)
            out += escaped;
        else
            out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    }
    return text.empty() ? "null" : '"' + out + '"';
}
// Effect: names as a JSON list.
inline std::string json_list(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ",") + json_text(name);
    return "[" + list + "]";
}
// Effect: a number; no value for 0.
inline std::string json_number(uint64_t number) { return number == 0 ? "" : std::to_string(number); }
// Effect: numbers as a JSON list; no value for none.
inline std::string json_numbers(const std::vector<uint64_t>& numbers) {
    std::string list;
    for (const uint64_t number : numbers) list += (list.empty() ? "[" : ",") + std::to_string(number);
    return list.empty() ? "" : list + "]";
}
using JsonMembers = std::vector<std::pair<std::string, std::string>>;
// Effect: a JSON object; members without a value are left out.
inline std::string json_object(const JsonMembers& members) {
    std::string text;
    for (const auto& [key, value] : members)
        if (!value.empty()) text += (text.empty() ? "\"" : ",\"") + key + "\":" + value;
    return "{" + text + "}";
}

// Effect: a part of a config as it was read.
inline std::string json_of(const Config& node) {
    if (!node) return "null";
    if (node.is_bool()) return node.as<bool>() ? "true" : "false";
    if (node.is_string()) return node.as<std::string>().empty() ? "\"\"" : json_text(node.as<std::string>());
    if (node.is_number()) {
        char text[32];
        std::snprintf(text, sizeof text, "%.17g", node.as<double>());
        return text;
    }
    JsonMembers members;
    std::string items;
    for (uint64_t i = 0; i < node.size(); ++i) {
        const std::string item = json_of(node.at(i));
        if (node.is_object()) members.emplace_back(node.key(i), item);
        items += (i == 0 ? "" : ",") + item;
    }
    return node.is_object() ? json_object(members) : "[" + items + "]";
}

}  // namespace mortise::sdk
