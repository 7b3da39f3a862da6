// The part of JSON Schema (draft 7) that the published schemas use, for tests.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/yaml.h"

namespace mortise::test {

// Effect: what is wrong with `value` under `schema`: "path: why" each; empty = valid. A keyword that this
// checker does not know is reported too, so that it cannot be ignored by accident.
std::vector<std::string> violations(const json::Node& schema, const yaml::Node& value);

}  // namespace mortise::test
