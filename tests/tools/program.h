// Runs the built command line as a user does.
#pragma once

#include <string>
#include <vector>

namespace mortise::test {

struct Outcome {
    int exit_code = -1;  // 128 + signal when it died of one
    std::string out, err;
};

// Effect: runs `mortise arguments...` without a shell, with `variables` ("NAME=value") added to a clean
// environment that has PATH and HOME only.
Outcome mortise(const std::vector<std::string>& arguments, const std::vector<std::string>& variables = {});

size_t count_lines(const std::string& text);

}  // namespace mortise::test
