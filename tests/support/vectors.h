// The golden byte vectors that several rooms share.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "support/temp_folder.h"

namespace mortise::test {

inline const json::Node& format_vectors() {
    static const json::Document document =
        json::Document::parse(read_bytes(MORTISE_SOURCE_DIR "/tests/golden/vectors/format_vectors.json"),
                              "format_vectors.json")
            .value();
    return document.root();
}

inline std::string from_hex(std::string_view hex) {
    auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    std::string bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    }
    return bytes;
}

// A number of the vectors; non-finite ones are the strings "nan", "inf", "-inf".
inline double number(const json::Node& node) {
    if (node.kind() != json::Kind::string) return node.as_double().value();
    const std::string& text = node.text();
    if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
    return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

}  // namespace mortise::test
