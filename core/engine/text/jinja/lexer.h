// Splits a template into tokens, with jinja2's rules for white space under trim_blocks and lstrip_blocks, the
// settings with which chat templates are published. Function without state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::text::jinja {

struct Token {
    enum class Type : uint8_t {
        data,  // text outside tags
        variable_begin,
        variable_end,
        block_begin,
        block_end,
        name,
        string,
        integer,
        real,
        op,
        end,
    };
    Type type;
    std::string text;  // strings without quotes and escapes; numbers without underscores
    int line = 0;
};

// Errors: template_invalid with the line.
Result<std::vector<Token>> tokenize(std::string_view source, const std::string& file);

}  // namespace mortise::text::jinja
