// Errors as values. Every fallible function of the core returns Result<T>; nothing of ours throws.
//
// An Error is one or more Problems: all problems of a kind are reported together, not one per run.
// Thread-safe: values, no shared state.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mortise {

// Stable numbers: printed as E2107, documented in docs of the code table (core/base/codes.h), never reused.
// The thousands say whose fault it is and give the exit code of the command line:
//   1xxx usage (2) · 2xxx checkpoint refused (4) · 3xxx configuration YAML (3) · 4xxx plugin (6)
//   5xxx sound but unsupported here (5) · 6xxx memory, disk, device (7) · 7xxx I/O (8) · 9xxx our bug (70)
enum class Code : uint16_t;

// One thing that is wrong. Empty fields are left out of the text.
struct Problem {
    Code code{};
    std::string what;      // one sentence, no full stop: "scale has the wrong shape"
    std::string file;      // path, or "" when the input is no file
    std::string tensor;    // tensor, module or part name
    int line = 0;          // 1-based; 0 = none
    int column = 0;        // 1-based; 0 = none
    std::string expected;  // "F32 [256,1]"
    std::string found;     // "F32 [1,256]"
    std::string fix;       // what to do about it, one sentence
};

// Effect: "file:line:column: error[E2107]: tensor: what (expected E, found F); fix" in one line.
std::string to_string(const Problem& problem);

class Error {
  public:
    // Requires: nothing. Effect: an error of exactly one problem.
    Error(Problem problem) { problems_.push_back(std::move(problem)); }
    Error(Code code, std::string what) : Error(Problem{.code = code, .what = std::move(what)}) {}
    // Requires: problems not empty.
    explicit Error(std::vector<Problem> problems) : problems_(std::move(problems)) {}

    Code code() const { return problems_.front().code; }
    const Problem& first() const { return problems_.front(); }
    const std::vector<Problem>& problems() const { return problems_; }
    int exit_code() const;

    // Effect: fills `file` of every problem that names none. For callers that know where the bytes came from.
    Error in_file(std::string_view file) &&;
    Error in_tensor(std::string_view tensor) &&;

  private:
    std::vector<Problem> problems_;
};

std::string to_string(const Error& error);  // one problem per line

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// Effect: return fail(Problem{...}) or fail(code, "what").
inline std::unexpected<Error> fail(Problem problem) { return std::unexpected(Error(std::move(problem))); }
inline std::unexpected<Error> fail(Code code, std::string what) {
    return std::unexpected(Error(code, std::move(what)));
}

// Collects problems; becomes an Error when there were any.
class Problems {
  public:
    void add(Problem problem) { list_.push_back(std::move(problem)); }
    void add(const Error& error) {
        list_.insert(list_.end(), error.problems().begin(), error.problems().end());
    }
    bool empty() const { return list_.empty(); }
    size_t size() const { return list_.size(); }
    // Effect: success if nothing was added, else all of it.
    Status status() && {
        if (list_.empty()) return {};
        return std::unexpected(Error(std::move(list_)));
    }

  private:
    std::vector<Problem> list_;
};

// A broken invariant of ours, never of user data: prints and aborts with file and line.
[[noreturn]] void invariant_broken(const char* condition, const char* file, int line);
#define MORTISE_INVARIANT(condition) \
    ((condition) ? void() : ::mortise::invariant_broken(#condition, __FILE__, __LINE__))

// Unwraps a Result or returns its error: MORTISE_TRY(auto x, f()); MORTISE_CHECK(g());
#define MORTISE_CONCAT_(a, b) a##b
#define MORTISE_CONCAT(a, b) MORTISE_CONCAT_(a, b)
#define MORTISE_TRY_(declaration, expression, temporary)                  \
    auto temporary = (expression);                                        \
    if (!temporary) return std::unexpected(std::move(temporary).error()); \
    declaration = std::move(*temporary)
#define MORTISE_TRY(declaration, expression) \
    MORTISE_TRY_(declaration, expression, MORTISE_CONCAT(mortise_try_, __LINE__))
#define MORTISE_CHECK(expression)                                      \
    do {                                                               \
        if (auto mortise_status = (expression); !mortise_status)       \
            return std::unexpected(std::move(mortise_status).error()); \
    } while (false)

}  // namespace mortise

#include "base/codes.h"
