// Internal to the interpreter: budgets, the first error, and the making of values that count against the
// budgets. One rendering, one thread.
//
// Errors stick: after the first one every operation gives undefined and the interpreter winds up.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/text/jinja/value.h"

namespace mortise::text::jinja {

struct Limits {
    int64_t steps = 1'000'000;         // nodes evaluated, and work in proportion
    size_t output = size_t{1} << 20;   // bytes rendered
    size_t memory = size_t{64} << 20;  // bytes of all values made on the way
    int depth = 64;                    // macro calls inside each other, lists inside lists
};

struct Scope {
    std::vector<std::pair<std::string, Value>> variables;
    std::shared_ptr<Scope> parent;

    const Value* find(std::string_view name) const;
    void set(std::string_view name, Value value);
};

struct CallArguments;

struct Callable : Object {
    virtual Value call(class Machine& machine, const CallArguments& arguments) = 0;
};

struct Namespace final : Object {
    Scope attributes;
    std::string_view type_name() const override { return "Namespace"; }
};

class Machine {
  public:
    Machine(const Limits& limits, const std::tm& now, std::string file)
        : limits_(limits), now_(now), file_(std::move(file)) {}
    ~Machine();  // breaks the cycles that scopes, macros and namespaces make
    Machine(const Machine&) = delete;

    bool failed() const { return error_.has_value(); }
    const Error& error() const { return *error_; }
    Value fail(std::string what, Code code = Code::template_invalid);  // undefined, always
    Value raise(std::string message);                                  // the template's own refusal
    void at(int line) { line_ = line; }
    // Effect: false when the budget is used up (which is an error).
    bool step(size_t cost = 1);
    bool grow(size_t bytes);

    Value string(std::string text, bool safe = false);
    Value list(List items, Kind kind = Kind::list);
    Value dict(Value::Entries entries);
    Value make_namespace(Scope attributes);
    void keep(const std::shared_ptr<Scope>& scope) { captured_.push_back(scope); }

    // Effect: the items that a loop over `value` sees. Error when it cannot be iterated.
    List iterate(const Value& value);
    Value call(const Value& callee, const CallArguments& arguments);

    const Limits& limits() const { return limits_; }
    const std::tm& now() const { return now_; }
    int depth = 0;  // macro calls in progress

  private:
    Value check(Value made);
    const Limits limits_;
    const std::tm now_;
    const std::string file_;
    int line_ = 0;
    int64_t steps_ = 0;
    size_t memory_ = 0;
    std::optional<Error> error_;
    std::vector<std::shared_ptr<Scope>> captured_;
    std::vector<std::shared_ptr<Namespace>> namespaces_;
};

}  // namespace mortise::text::jinja
