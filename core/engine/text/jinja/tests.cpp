// The tests of `x is test`.
#include <algorithm>

#include "engine/text/jinja/builtins.h"
#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"

namespace mortise::text::jinja {
namespace {

using Arguments = const CallArguments&;

template <Kind kind>
bool of_kind(Machine&, const Value& self, Arguments) {
    return self.is(kind);
}

bool defined(Machine&, const Value& self, Arguments) { return !self.is(Kind::undefined); }
bool is_true(Machine&, const Value& self, Arguments) { return self.is(Kind::boolean) && self.whole(); }
bool is_false(Machine&, const Value& self, Arguments) { return self.is(Kind::boolean) && !self.whole(); }
bool number(Machine&, const Value& self, Arguments) { return self.is_number(); }
bool callable(Machine&, const Value& self, Arguments) { return self.as<Callable>() != nullptr; }
bool escaped(Machine&, const Value& self, Arguments) { return self.is_safe(); }
bool sequence(Machine&, const Value& self, Arguments) {
    return self.is_sequence() || self.is(Kind::string) || self.is(Kind::dict) || self.is(Kind::undefined);
}
bool iterable(Machine&, const Value& self, Arguments) {
    return self.is_sequence() || self.is(Kind::string) || self.is(Kind::dict) || self.is(Kind::generator) ||
           self.is(Kind::undefined);
}

std::optional<int64_t> whole(Machine& machine, const Value& self) {
    if (self.is_whole()) return self.whole();
    machine.fail("an integer is required, not '" + std::string(python_type(self)) + "'");
    return std::nullopt;
}
bool odd(Machine& machine, const Value& self, Arguments) { return whole(machine, self).value_or(0) % 2 != 0; }
bool even(Machine& machine, const Value& self, Arguments) {
    return whole(machine, self).value_or(1) % 2 == 0;
}

Value operand(Machine& machine, Arguments arguments) {
    if (arguments.positional.size() == 1) return arguments.positional[0];
    return machine.fail("the test needs one argument");
}

bool divisible(Machine& machine, const Value& self, Arguments arguments) {
    const Value rest = arithmetic(machine, "%", self, operand(machine, arguments));
    return rest.is_number() && rest.as_real() == 0;
}

bool same(Machine& machine, const Value& self,
          Arguments arguments) {  // Python's `is`: constants and equal scalars
    const Value other = operand(machine, arguments);
    return self.kind() == other.kind() && self == other;
}

bool is_lower(Machine& machine, const Value& self, Arguments) {
    return call_method(machine, Value::string(text_of(machine, self)), "islower", {}).truthy();
}
bool is_upper(Machine& machine, const Value& self, Arguments) {
    return call_method(machine, Value::string(text_of(machine, self)), "isupper", {}).truthy();
}
bool is_filter(Machine& machine, const Value& self, Arguments) {
    return find_filter(text_of(machine, self)) != nullptr;
}
bool is_test(Machine& machine, const Value& self, Arguments) {
    return find_test(text_of(machine, self)) != nullptr;
}
bool in(Machine& machine, const Value& self, Arguments arguments) {
    return contains(machine, operand(machine, arguments), self);
}

enum class Op : uint8_t { eq, ne, lt, le, gt, ge };
template <Op op>
bool ordered(Machine& machine, const Value& self, Arguments arguments) {
    static constexpr std::string_view names[] = {"==", "!=", "<", "<=", ">", ">="};
    return compare(machine, names[static_cast<size_t>(op)], self, operand(machine, arguments));
}

struct Entry {
    std::string_view name;
    Test test;
};
constexpr Entry table[] = {
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisible},
    {"defined", defined},
    {"undefined", of_kind<Kind::undefined>},
    {"filter", is_filter},
    {"test", is_test},
    {"none", of_kind<Kind::none>},
    {"boolean", of_kind<Kind::boolean>},
    {"false", is_false},
    {"true", is_true},
    {"integer", of_kind<Kind::integer>},
    {"float", of_kind<Kind::real>},
    {"lower", is_lower},
    {"upper", is_upper},
    {"string", of_kind<Kind::string>},
    {"mapping", of_kind<Kind::dict>},
    {"number", number},
    {"sequence", sequence},
    {"iterable", iterable},
    {"callable", callable},
    {"sameas", same},
    {"escaped", escaped},
    {"in", in},
    {"==", ordered<Op::eq>},
    {"eq", ordered<Op::eq>},
    {"equalto", ordered<Op::eq>},
    {"!=", ordered<Op::ne>},
    {"ne", ordered<Op::ne>},
    {">", ordered<Op::gt>},
    {"gt", ordered<Op::gt>},
    {"greaterthan", ordered<Op::gt>},
    {">=", ordered<Op::ge>},
    {"ge", ordered<Op::ge>},
    {"<", ordered<Op::lt>},
    {"lt", ordered<Op::lt>},
    {"lessthan", ordered<Op::lt>},
    {"<=", ordered<Op::le>},
    {"le", ordered<Op::le>},
};

}  // namespace

Test find_test(std::string_view name) {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const auto& entry) { return entry.name == name; });
    return found == std::end(table) ? nullptr : found->test;
}

}  // namespace mortise::text::jinja
