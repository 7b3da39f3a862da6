// Expressions.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"

namespace mortise::text::jinja {
Value Interpreter::evaluate(const Expr& expr, const ScopePtr& scope) {
    machine_.at(expr.line);
    if (!machine_.step()) return {};
    if (nesting_ >= nesting_limit) return machine_.fail("expressions and macros are nested too deep");
    ++nesting_;
    Value value = compute(expr, scope);
    --nesting_;
    machine_.at(expr.line);
    return value;
}

Value Interpreter::compute(const Expr& expr, const ScopePtr& scope) {
    using Type = Expr::Type;
    switch (expr.type) {
        case Type::constant: return expr.value;
        case Type::name: return name(expr, scope);
        case Type::attribute: return attribute(machine_, evaluate(*expr.kids[0], scope), expr.name);
        case Type::item: {
            const Value object = evaluate(*expr.kids[0], scope);
            return item(machine_, object, evaluate(*expr.kids[1], scope));
        }
        case Type::slice: {
            const Value object = evaluate(*expr.kids[0], scope), begin = optional(expr.kids[1], scope);
            const Value end = optional(expr.kids[2], scope);
            return slice(machine_, object, begin, end, optional(expr.kids[3], scope));
        }
        case Type::call: {
            const Value callee = evaluate(*expr.kids[0], scope);
            const CallArguments given = arguments(expr.arguments, scope);
            machine_.at(expr.line);
            return machine_.failed() ? Value() : machine_.call(callee, given);
        }
        case Type::filter: return filter(expr, evaluate(*expr.kids[0], scope), scope);
        case Type::test: return test(expr, scope);
        case Type::negate: return negate(machine_, evaluate(*expr.kids[0], scope));
        case Type::plus: {
            Value value = evaluate(*expr.kids[0], scope);
            return value.is_number() ? value : machine_.fail("bad operand for unary +");
        }
        case Type::not_: return Value::boolean(!evaluate(*expr.kids[0], scope).truthy());
        case Type::and_:
        case Type::or_: return logic(expr, scope);
        case Type::arithmetic: return chain(expr, scope);
        case Type::compare: return comparison(expr, scope);
        case Type::conditional:
            if (evaluate(*expr.kids[1], scope).truthy()) return evaluate(*expr.kids[0], scope);
            return expr.kids[2] ? evaluate(*expr.kids[2], scope)
                                : Value::undefined("the inline if-expression has no else");
        case Type::concat:
        case Type::list:
        case Type::tuple:
        case Type::dict: return literal(expr, scope);
    }
    return {};
}

Value Interpreter::name(const Expr& expr, const ScopePtr& scope) {
    const Value* found = scope->find(expr.name);
    return found ? *found : find_global(machine_, expr.name);
}

Value Interpreter::optional(const std::unique_ptr<Expr>& expr, const ScopePtr& scope) {
    return expr ? evaluate(*expr, scope) : Value::none();
}

Value Interpreter::logic(const Expr& expr, const ScopePtr& scope) {
    Value value;
    for (const auto& kid : expr.kids) {
        value = evaluate(*kid, scope);
        if (value.truthy() == (expr.type == Expr::Type::or_)) break;
    }
    return value;
}

Value Interpreter::chain(const Expr& expr, const ScopePtr& scope) {
    Value value = evaluate(*expr.kids[0], scope);
    for (size_t i = 0; i < expr.operators.size() && !machine_.failed(); ++i) {
        const Value right = evaluate(*expr.kids[i + 1], scope);
        if (!machine_.failed()) value = arithmetic(machine_, expr.operators[i], value, right);
    }
    return value;
}

Value Interpreter::comparison(const Expr& expr, const ScopePtr& scope) {
    Value left = evaluate(*expr.kids[0], scope);
    for (size_t i = 0; i < expr.operators.size() && !machine_.failed(); ++i) {
        Value right = evaluate(*expr.kids[i + 1], scope);
        if (machine_.failed() || !compare(machine_, expr.operators[i], left, right))
            return Value::boolean(false);
        left = std::move(right);
    }
    return Value::boolean(!machine_.failed());
}

Value Interpreter::literal(const Expr& expr, const ScopePtr& scope) {
    if (expr.type == Expr::Type::concat) {
        std::string text;
        for (const auto& kid : expr.kids) text += text_of(machine_, evaluate(*kid, scope));
        return machine_.string(std::move(text));
    }
    if (expr.type == Expr::Type::dict) {
        Value::Entries entries;
        for (size_t i = 0; i < expr.kids.size(); i += 2) {
            Value key = evaluate(*expr.kids[i], scope);
            if (key.is(Kind::list) || key.is(Kind::dict))
                return machine_.fail("unhashable type: '" + std::string(python_type(key)) + "'");
            entries.emplace_back(std::move(key), evaluate(*expr.kids[i + 1], scope));
        }
        return machine_.dict(std::move(entries));
    }
    List items;
    for (const auto& kid : expr.kids) items.push_back(evaluate(*kid, scope));
    return machine_.list(std::move(items), expr.type == Expr::Type::tuple ? Kind::tuple : Kind::list);
}

Value Interpreter::filter(const Expr& expr, Value self, const ScopePtr& scope) {
    const CallArguments given = arguments(expr.arguments, scope);
    machine_.at(expr.line);
    const Filter found = find_filter(expr.name);
    if (!found) return machine_.fail("no filter is called '" + expr.name + "'");
    if (!machine_.step(1 + self.size_hint() / 64)) return {};
    return found(machine_, self, given);
}

Value Interpreter::test(const Expr& expr, const ScopePtr& scope) {
    const Value self = evaluate(*expr.kids[0], scope);
    const CallArguments given = arguments(expr.arguments, scope);
    machine_.at(expr.line);
    const Test found = find_test(expr.name);
    if (!found) return machine_.fail("no test is called '" + expr.name + "'");
    return machine_.failed() ? Value() : Value::boolean(found(machine_, self, given));
}

CallArguments Interpreter::arguments(const Arguments& given, const ScopePtr& scope) {
    CallArguments made;
    for (const auto& value : given.positional) made.positional.push_back(evaluate(*value, scope));
    for (const auto& [name, value] : given.named) made.named.emplace_back(name, evaluate(*value, scope));
    if (given.more)
        for (Value& value : machine_.iterate(evaluate(*given.more, scope)))
            made.positional.push_back(std::move(value));
    if (given.more_named) {
        const Value named = evaluate(*given.more_named, scope);
        if (!named.is(Kind::dict)) return machine_.fail("arguments behind ** must be a dict"), made;
        for (const auto& [name, value] : named.entries())
            made.named.emplace_back(text_of(machine_, name), value);
    }
    return made;
}

}  // namespace mortise::text::jinja
