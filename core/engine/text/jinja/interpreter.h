// Internal to the template: walks the tree. One rendering, one thread.
#pragma once

#include <string>
#include <vector>

#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/builtins.h"
#include "engine/text/jinja/machine.h"

namespace mortise::text::jinja {

class Interpreter {
  public:
    // Requires: machine outlives this.
    explicit Interpreter(Machine& machine) : machine_(machine) {}

    // Effect: renders `block` into the returned text. Look at machine.failed() afterwards.
    std::string render(const Block& block, Scope variables);

  private:
    friend struct Macro;
    using ScopePtr = std::shared_ptr<Scope>;
    enum class Flow : uint8_t { next, break_, continue_ };

    Flow run(const Block& block, const ScopePtr& scope);
    Flow run(const Stmt& stmt, const ScopePtr& scope);
    Flow run_if(const Stmt& stmt, const ScopePtr& scope);
    Flow run_for(const Stmt& stmt, const ScopePtr& scope);
    void run_set(const Stmt& stmt, const ScopePtr& scope);
    void run_call(const Stmt& stmt, const ScopePtr& scope);
    void run_with(const Stmt& stmt, const ScopePtr& scope);
    List loop_items(const Stmt& stmt, const ScopePtr& scope);
    Value make_macro(const Stmt& stmt, const ScopePtr& scope);
    Value call_macro(const Stmt& stmt, const ScopePtr& closure, const CallArguments& arguments,
                     bool by_call_tag);
    std::string capture(const Block& block, const ScopePtr& scope);
    Value filtered(const Expr* filter, Value value, const ScopePtr& scope);
    void write(std::string_view text);
    void assign(const Target& target, const Value& value, const ScopePtr& scope);

    Value evaluate(const Expr& expr, const ScopePtr& scope);
    Value compute(const Expr& expr, const ScopePtr& scope);
    Value name(const Expr& expr, const ScopePtr& scope);
    Value optional(const std::unique_ptr<Expr>& expr, const ScopePtr& scope);
    Value logic(const Expr& expr, const ScopePtr& scope);
    Value chain(const Expr& expr, const ScopePtr& scope);
    Value comparison(const Expr& expr, const ScopePtr& scope);
    Value literal(const Expr& expr, const ScopePtr& scope);
    Value filter(const Expr& expr, Value self, const ScopePtr& scope);
    Value test(const Expr& expr, const ScopePtr& scope);
    CallArguments arguments(const Arguments& given, const ScopePtr& scope);

    Machine& machine_;
    std::string* out_ = nullptr;
    bool captured_ = false;  // out_ is not the final text
    // The call stack holds so many evaluations and statements inside each other; the other limits allow more.
    static constexpr int nesting_limit = 1000;
    int nesting_ = 0;  // evaluations and statements inside each other
    int loop_depth_ = 0;
};

}  // namespace mortise::text::jinja
