#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace mortise {

std::string to_string(const Problem& problem) {
    std::string text;
    if (!problem.file.empty()) {
        text += problem.file;
        if (problem.line > 0) {
            text += ':' + std::to_string(problem.line);
            if (problem.column > 0) text += ':' + std::to_string(problem.column);
        }
        text += ": ";
    }
    text += "error[E" + std::to_string(static_cast<unsigned>(problem.code)) + "]: ";
    if (!problem.tensor.empty()) text += problem.tensor + ": ";
    text += problem.what;
    if (!problem.expected.empty() && !problem.found.empty()) {
        text += " (expected " + problem.expected + ", found " + problem.found + ")";
    } else if (!problem.expected.empty()) {
        text += " (expected " + problem.expected + ")";
    } else if (!problem.found.empty()) {
        text += " (found " + problem.found + ")";
    }
    if (!problem.fix.empty()) text += "; " + problem.fix;
    return text;
}

std::string to_string(const Error& error) {
    std::string text;
    for (const Problem& problem : error.problems()) {
        if (!text.empty()) text += '\n';
        text += to_string(problem);
    }
    return text;
}

int Error::exit_code() const {
    switch (static_cast<unsigned>(code()) / 1000) {
        case 1: return 2;
        case 2: return 4;
        case 3: return 3;
        case 4: return 6;
        case 5: return 5;
        case 6: return 7;
        case 7: return 8;
        default: return 70;
    }
}

Error Error::in_file(std::string_view file) && {
    for (Problem& problem : problems_) {
        if (problem.file.empty()) problem.file = file;
    }
    return std::move(*this);
}

Error Error::in_tensor(std::string_view tensor) && {
    for (Problem& problem : problems_) {
        if (problem.tensor.empty()) problem.tensor = tensor;
    }
    return std::move(*this);
}

void invariant_broken(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: broken invariant of the program: %s\n", file, line, condition);
    std::abort();
}

}  // namespace mortise
