#include "engine/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "engine/text/jinja/python_text.h"

namespace mortise::text::jinja {
namespace {

Value mismatch(Machine& machine, std::string_view op, const Value& a, const Value& b) {
    for (const Value* value : {&a, &b})
        if (value->is(Kind::undefined)) return machine.fail(value->text());
    return machine.fail("unsupported operand types for " + std::string(op) + ": '" +
                        std::string(python_type(a)) + "' and '" + std::string(python_type(b)) + "'");
}

Value repeat(Machine& machine, const Value& value, int64_t count) {
    const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
    const size_t size = std::max<size_t>(value.size_hint(), 1) * (value.is(Kind::string) ? 1 : sizeof(Value));
    if (times > machine.limits().memory / size || !machine.grow(times * size))
        return machine.fail("the template repeats too much");
    if (value.is(Kind::string)) {
        std::string text;
        for (size_t i = 0; i < times; ++i) text += value.text();
        return Value::string(std::move(text));
    }
    List items;
    for (size_t i = 0; i < times; ++i) items.insert(items.end(), value.items().begin(), value.items().end());
    return value.is(Kind::tuple) ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value power(Machine& machine, int64_t base, int64_t exponent) {
    int64_t result = 1;
    if (exponent > 64 && base != 0 && base != 1 && base != -1) return machine.fail("integer beyond 64 bits");
    if (exponent > 64) exponent = 64 + exponent % 2;  // 0, 1 and -1 only
    for (int64_t i = 0; i < exponent; ++i)
        if (__builtin_mul_overflow(result, base, &result)) return machine.fail("integer beyond 64 bits");
    return Value::integer(result);
}

Value whole_arithmetic(Machine& machine, std::string_view op, int64_t a, int64_t b) {
    int64_t result = 0;
    bool overflow = false;
    if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
    if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
    if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
    if (op == "**")
        return b < 0 ? Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)))
                     : power(machine, a, b);
    if (op == "/" || op == "//" || op == "%") {
        if (b == 0) return machine.fail("division by zero");
        if (op == "/") return Value::real(static_cast<double>(a) / static_cast<double>(b));
        overflow = b == -1 && a == INT64_MIN;
        if (!overflow) {
            const int64_t rest = a % b, down = rest != 0 && (rest < 0) != (b < 0) ? 1 : 0;
            result = op == "%" ? rest + down * b : a / b - down;
        }
    }
    return overflow ? machine.fail("integer beyond 64 bits") : Value::integer(result);
}

Value real_arithmetic(Machine& machine, std::string_view op, double a, double b) {
    if (op == "+") return Value::real(a + b);
    if (op == "-") return Value::real(a - b);
    if (op == "*") return Value::real(a * b);
    if (op == "**") return Value::real(std::pow(a, b));
    if (b == 0) return machine.fail("division by zero");
    if (op == "/") return Value::real(a / b);
    if (op == "//") return Value::real(std::floor(a / b));
    double rest = std::fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return Value::real(rest);
}

Value add(Machine& machine, const Value& a, const Value& b) {
    if (a.is(Kind::string) && b.is(Kind::string)) {
        const bool safe = a.is_safe() || b.is_safe();
        const auto part = [&](const Value& v) {
            return safe && !v.is_safe() ? escape_html(v.text()) : v.text();
        };
        return machine.string(part(a) + part(b), safe);
    }
    if (a.kind() == b.kind() && a.is_sequence()) {
        List items = a.items();
        items.insert(items.end(), b.items().begin(), b.items().end());
        return machine.list(std::move(items), a.kind());
    }
    return mismatch(machine, "+", a, b);
}

}  // namespace

Value arithmetic(Machine& machine, std::string_view op, const Value& a, const Value& b) {
    if (!machine.step()) return {};
    if (a.is_whole() && b.is_whole()) return whole_arithmetic(machine, op, a.whole(), b.whole());
    if (a.is_number() && b.is_number()) return real_arithmetic(machine, op, a.as_real(), b.as_real());
    if (op == "+") return add(machine, a, b);
    if (op == "*" && b.is_whole() && (a.is(Kind::string) || a.is_sequence()))
        return repeat(machine, a, b.whole());
    if (op == "*" && a.is_whole() && (b.is(Kind::string) || b.is_sequence()))
        return repeat(machine, b, a.whole());
    if (op == "%" && a.is(Kind::string))
        return format_percent(machine, a.text(), b.is(Kind::tuple) ? b.items() : List{b},
                              b.is(Kind::dict) ? &b : nullptr);
    return mismatch(machine, op, a, b);
}

Value negate(Machine& machine, const Value& a) {
    if (a.is_whole() && a.whole() != INT64_MIN) return Value::integer(-a.whole());
    if (a.is(Kind::real)) return Value::real(-a.real());
    return a.is(Kind::undefined)
               ? machine.fail(a.text())
               : machine.fail("bad operand for unary -: '" + std::string(python_type(a)) + "'");
}

bool less(Machine& machine, const Value& a, const Value& b) {
    if (!machine.step(1 + std::min(a.weight(), b.weight()) / 64)) return false;
    if (a.is_whole() && b.is_whole()) return a.whole() < b.whole();
    if (a.is_number() && b.is_number()) return a.as_real() < b.as_real();
    if (a.is(Kind::string) && b.is(Kind::string))
        return a.text() < b.text();  // UTF-8 keeps the code point order
    if (a.kind() == b.kind() && a.is_sequence()) {
        for (size_t i = 0; i < a.items().size() && i < b.items().size(); ++i)
            if (!(a.items()[i] == b.items()[i])) return less(machine, a.items()[i], b.items()[i]);
        return a.items().size() < b.items().size();
    }
    mismatch(machine, "<", a, b);
    return false;
}

bool compare(Machine& machine, std::string_view op, const Value& a, const Value& b) {
    if (!machine.step(1 + std::min(a.weight(), b.weight()) / 64)) return false;
    if (op == "==") return a == b;
    if (op == "!=") return !(a == b);
    if (op == "in") return contains(machine, b, a);
    if (op == "not in") return !contains(machine, b, a);
    const bool unordered =
        a.is_number() && b.is_number() && (std::isnan(a.as_real()) || std::isnan(b.as_real()));
    if (unordered) return false;
    if (op == "<") return less(machine, a, b);
    if (op == ">") return less(machine, b, a);
    return op == "<=" ? !less(machine, b, a) : !less(machine, a, b);
}

bool contains(Machine& machine, const Value& container, const Value& item) {
    if (!machine.step(1 + container.size_hint() / 16)) return false;
    if (container.is(Kind::string)) {
        if (item.is(Kind::string)) return container.text().find(item.text()) != std::string::npos;
        machine.fail(item.is(Kind::undefined)
                         ? item.text()
                         : "'in <string>' requires a string, not '" + std::string(python_type(item)) + "'");
        return false;
    }
    if (container.is(Kind::dict)) return container.find(item) != nullptr;
    if (container.is(Kind::object) || container.is_number() || container.is(Kind::none)) {
        machine.fail("argument of type '" + std::string(python_type(container)) + "' is not iterable");
        return false;
    }
    const List items = machine.iterate(container);
    return std::find(items.begin(), items.end(), item) != items.end();
}

std::string text_of(Machine& machine, const Value& value) {
    if (value.depth() > 0 && !machine.grow(value.weight())) return "";
    return to_str(value);
}

}  // namespace mortise::text::jinja
