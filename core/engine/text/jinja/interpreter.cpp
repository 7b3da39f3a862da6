// Statements.
#include "engine/text/jinja/interpreter.h"

#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"

namespace mortise::text::jinja {

struct Macro final : Callable {
    Macro(Interpreter& runner, const Stmt& definition, std::shared_ptr<Scope> scope)
        : interpreter(runner), stmt(definition), closure(std::move(scope)) {}
    Value call(Machine&, const CallArguments& arguments) override {
        return interpreter.call_macro(stmt, closure, arguments, stmt.type == Stmt::Type::call);
    }
    std::string_view type_name() const override { return "Macro"; }

    Interpreter& interpreter;
    const Stmt& stmt;
    std::shared_ptr<Scope> closure;
};

std::string Interpreter::render(const Block& block, Scope variables) {
    std::string text;
    out_ = &text;
    auto globals = std::make_shared<Scope>(std::move(variables));
    machine_.keep(globals);
    auto scope = std::make_shared<Scope>();
    scope->parent = std::move(globals);
    machine_.keep(scope);
    run(block, scope);
    return text;
}

void Interpreter::write(std::string_view text) {
    if (machine_.failed()) return;
    if (captured_) {
        if (!machine_.grow(text.size())) return;
    } else if (out_->size() + text.size() > machine_.limits().output) {
        machine_.fail("the template writes more than " + std::to_string(machine_.limits().output) + " bytes");
        return;
    }
    out_->append(text);
}

std::string Interpreter::capture(const Block& block, const ScopePtr& scope) {
    std::string text;
    std::string* const outer = std::exchange(out_, &text);
    const bool captured = std::exchange(captured_, true);
    run(block, scope);
    out_ = outer;
    captured_ = captured;
    return text;
}

Interpreter::Flow Interpreter::run(const Block& block, const ScopePtr& scope) {
    for (const auto& stmt : block) {
        if (machine_.failed()) break;
        if (nesting_ >= nesting_limit) {
            machine_.fail("statements and macros are nested too deep");
            break;
        }
        ++nesting_;
        const Flow flow = run(*stmt, scope);
        --nesting_;
        if (flow != Flow::next) return flow;
    }
    return Flow::next;
}

Interpreter::Flow Interpreter::run(const Stmt& stmt, const ScopePtr& scope) {
    machine_.at(stmt.line);
    if (!machine_.step()) return Flow::next;
    switch (stmt.type) {
        case Stmt::Type::text: write(stmt.text); break;
        case Stmt::Type::output: write(text_of(machine_, evaluate(*stmt.expression, scope))); break;
        case Stmt::Type::if_: return run_if(stmt, scope);
        case Stmt::Type::for_: return run_for(stmt, scope);
        case Stmt::Type::set:
        case Stmt::Type::set_block: run_set(stmt, scope); break;
        case Stmt::Type::macro: scope->set(stmt.text, make_macro(stmt, scope)); break;
        case Stmt::Type::call: run_call(stmt, scope); break;
        case Stmt::Type::filter: {
            auto inner = std::make_shared<Scope>();
            inner->parent = scope;
            write(text_of(machine_,
                          filtered(stmt.filter.get(), machine_.string(capture(stmt.body, inner)), scope)));
            break;
        }
        case Stmt::Type::with: run_with(stmt, scope); break;
        case Stmt::Type::body: return run(stmt.body, scope);
        case Stmt::Type::break_: return Flow::break_;
        case Stmt::Type::continue_: return Flow::continue_;
    }
    return Flow::next;
}

Interpreter::Flow Interpreter::run_if(const Stmt& stmt, const ScopePtr& scope) {
    for (const auto& branch : stmt.branches)
        if (evaluate(*branch.condition, scope).truthy()) return run(branch.body, scope);
    return run(stmt.body, scope);
}

List Interpreter::loop_items(const Stmt& stmt, const ScopePtr& scope) {
    List items = machine_.iterate(evaluate(*stmt.expression, scope));
    if (!stmt.filter) return items;
    List kept;
    for (Value& item : items) {
        if (!machine_.step()) break;
        auto inner = std::make_shared<Scope>();
        inner->parent = scope;
        assign(stmt.target, item, inner);
        if (evaluate(*stmt.filter, inner).truthy()) kept.push_back(std::move(item));
    }
    return kept;
}

Interpreter::Flow Interpreter::run_for(const Stmt& stmt, const ScopePtr& scope) {
    auto loop = std::make_shared<Loop>();
    loop->items = loop_items(stmt, scope);
    loop->depth = ++loop_depth_;
    const Value handle = Value::object(loop);
    for (; loop->index < loop->items.size() && machine_.step(); ++loop->index) {
        auto inner = std::make_shared<Scope>();
        inner->parent = scope;
        inner->set("loop", handle);
        assign(stmt.target, loop->items[loop->index], inner);
        if (run(stmt.body, inner) == Flow::break_) break;
    }
    --loop_depth_;
    if (!loop->items.empty() || stmt.otherwise.empty()) return Flow::next;
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    return run(stmt.otherwise, inner);
}

void Interpreter::assign(const Target& target, const Value& value, const ScopePtr& scope) {
    if (machine_.failed()) return;
    if (!target.attribute.empty()) {
        const Value* owner = scope->find(target.names[0]);
        auto* space = owner ? owner->as<Namespace>() : nullptr;
        if (!space) return void(machine_.fail("cannot assign attribute on non-namespace object"));
        if (machine_.grow(sizeof(Value))) space->attributes.set(target.attribute, value);
        return;
    }
    if (!target.unpack) return scope->set(target.names[0], value);
    const List parts = machine_.iterate(value);
    if (parts.size() != target.names.size() && !machine_.failed())
        return void(machine_.fail("cannot unpack " + std::to_string(parts.size()) + " values into " +
                                  std::to_string(target.names.size()) + " names"));
    for (size_t i = 0; i < parts.size(); ++i) scope->set(target.names[i], parts[i]);
}

void Interpreter::run_set(const Stmt& stmt, const ScopePtr& scope) {
    if (stmt.type == Stmt::Type::set) return assign(stmt.target, evaluate(*stmt.expression, scope), scope);
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    Value text = machine_.string(capture(stmt.body, inner));
    assign(stmt.target, filtered(stmt.filter.get(), std::move(text), scope), scope);
}

void Interpreter::run_with(const Stmt& stmt, const ScopePtr& scope) {
    auto inner = std::make_shared<Scope>();
    inner->parent = scope;
    for (const auto& [name, expression] : stmt.assignments) inner->set(name, evaluate(*expression, scope));
    run(stmt.body, inner);
}

// A `call` tag: its body becomes the macro `caller` of the macro it calls.
void Interpreter::run_call(const Stmt& stmt, const ScopePtr& scope) {
    const Value callee = evaluate(*stmt.expression->kids[0], scope);
    CallArguments given = arguments(stmt.expression->arguments, scope);
    given.named.emplace_back("caller", make_macro(stmt, scope));
    write(text_of(machine_, machine_.call(callee, given)));
}

Value Interpreter::make_macro(const Stmt& stmt, const ScopePtr& scope) {
    machine_.keep(scope);  // the macro and its scope hold each other
    return machine_.grow(sizeof(Macro)) ? Value::object(std::make_shared<Macro>(*this, stmt, scope))
                                        : Value();
}

Value Interpreter::call_macro(const Stmt& stmt, const ScopePtr& closure, const CallArguments& given,
                              bool by_call_tag) {
    if (machine_.depth >= machine_.limits().depth) return machine_.fail("macros call each other too deep");
    auto scope = std::make_shared<Scope>();
    scope->parent = closure;
    const auto& parameters = stmt.parameters;
    std::vector<bool> filled(parameters.size());
    List rest;
    Value::Entries others;
    for (size_t i = 0; i < given.positional.size(); ++i) {
        if (i >= parameters.size()) {
            rest.push_back(given.positional[i]);
            continue;
        }
        scope->set(parameters[i].name, given.positional[i]);
        filled[i] = true;
    }
    for (const auto& [name, value] : given.named) {
        size_t at = 0;
        while (at < parameters.size() && parameters[at].name != name) ++at;
        if (at == parameters.size() && name == "caller" && !by_call_tag) {
            scope->set(name, value);
        } else if (at == parameters.size()) {
            others.emplace_back(Value::string(name), value);
        } else if (filled[at]) {
            return machine_.fail("macro '" + stmt.text + "' got two values for '" + name + "'");
        } else {
            scope->set(name, value);
            filled[at] = true;
        }
    }
    for (size_t i = 0; i < parameters.size(); ++i) {
        if (filled[i]) continue;
        scope->set(parameters[i].name,
                   parameters[i].fallback
                       ? evaluate(*parameters[i].fallback, scope)
                       : Value::undefined("parameter '" + parameters[i].name + "' was not provided"));
    }
    scope->set("varargs", machine_.list(std::move(rest), Kind::tuple));
    scope->set("kwargs", machine_.dict(std::move(others)));
    ++machine_.depth;
    Value text = machine_.string(capture(stmt.body, scope));
    --machine_.depth;
    return text;
}

Value Interpreter::filtered(const Expr* applied, Value value, const ScopePtr& scope) {
    if (!applied) return value;
    if (applied->kids[0]) value = filtered(applied->kids[0].get(), std::move(value), scope);
    return filter(*applied, std::move(value), scope);
}

}  // namespace mortise::text::jinja
