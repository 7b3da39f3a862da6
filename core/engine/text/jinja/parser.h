// Tokens to tree: the grammar of jinja2 3.1 as far as published chat templates use it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/text/jinja/ast.h"

namespace mortise::text::jinja {

// Effect: the tree of `source`. `file` is used in messages.
// Errors: template_invalid (jinja2 refuses it too) and unsupported_template (it does not), with file and
// line.
Result<Block> parse_template(std::string_view source, const std::string& file);

}  // namespace mortise::text::jinja
