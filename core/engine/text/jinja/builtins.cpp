// Lookup tables of filters, and the global functions.
#include "engine/text/jinja/builtins.h"

#include <algorithm>
#include <ctime>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"

namespace mortise::text::jinja {
namespace {

constexpr int64_t range_limit = 100'000;  // as jinja2's sandbox

Value range(Machine& machine, const CallArguments& arguments) {
    const auto& given = arguments.positional;
    if (given.empty() || given.size() > 3 || !arguments.named.empty())
        return machine.fail("range needs one to three integers");
    for (const Value& value : given)
        if (!value.is_whole()) return machine.fail("range needs integers");
    const int64_t begin = given.size() > 1 ? given[0].whole() : 0,
                  end = given[given.size() > 1 ? 1 : 0].whole();
    const int64_t step = given.size() > 2 ? given[2].whole() : 1;
    if (step == 0) return machine.fail("range() step must not be zero");
    List items;
    for (int64_t i = begin; step > 0 ? i < end : i > end;) {
        if (static_cast<int64_t>(items.size()) == range_limit) return machine.fail("range is too large");
        items.push_back(Value::integer(i));
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return machine.list(std::move(items));
}

Value make_dict(Machine& machine, const CallArguments& arguments) {
    Value::Entries entries;
    if (arguments.positional.size() > 1) return machine.fail("dict expected at most 1 argument");
    for (const Value& source : arguments.positional) {
        if (source.is(Kind::dict)) {
            entries = source.entries();
            continue;
        }
        for (const Value& pair : machine.iterate(source)) {
            if (!pair.is_sequence() || pair.items().size() != 2) return machine.fail("dict needs pairs");
            entries.emplace_back(pair.items()[0], pair.items()[1]);
        }
    }
    for (const auto& [name, value] : arguments.named) entries.emplace_back(Value::string(name), value);
    return machine.dict(std::move(entries));
}

Value make_namespace(Machine& machine, const CallArguments& arguments) {
    Scope attributes;
    const Value source = make_dict(machine, arguments);
    if (machine.failed()) return {};
    for (const auto& [name, value] : source.entries()) attributes.set(to_str(name), value);
    return machine.make_namespace(std::move(attributes));
}

Value raise_exception(Machine& machine, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"message"});
    return machine.raise(bound[0] ? text_of(machine, *bound[0]) : "");
}

Value strftime_now(Machine& machine, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"format"});
    if (!bound[0] || !bound[0]->is(Kind::string)) return machine.fail("strftime_now needs a format");
    const std::string format = bound[0]->text();
    if (format.empty()) return Value::string("");
    char buffer[1024];
    const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &machine.now());
    return size ? machine.string({buffer, size}) : machine.fail("strftime_now: the text is too long");
}

Known known(bool found, std::string_view name, std::initializer_list<std::string_view> elsewhere) {
    if (found) return Known::yes;
    return std::find(elsewhere.begin(), elsewhere.end(), name) != elsewhere.end() ? Known::elsewhere
                                                                                  : Known::no;
}

}  // namespace

Filter find_filter(std::string_view name) {
    if (const Filter found = find_text_filter(name)) return found;
    if (const Filter found = find_list_filter(name)) return found;
    return find_value_filter(name);
}

Known known_filter(std::string_view name) {
    return known(
        find_filter(name) != nullptr, name,
        {"filesizeformat", "pprint", "random", "slice", "striptags", "urlize", "wordwrap", "xmlattr"});
}

Known known_test(std::string_view name) { return known(find_test(name) != nullptr, name, {}); }

Value find_global(Machine& machine, std::string_view name) {
    static constexpr std::pair<std::string_view, GlobalFunction::Function> table[] = {
        {"range", range},
        {"dict", make_dict},
        {"namespace", make_namespace},
        {"raise_exception", raise_exception},
        {"strftime_now", strftime_now}};
    for (const auto& [known_name, function] : table)
        if (known_name == name) return Value::object(std::make_shared<GlobalFunction>(function));
    for (const char* other : {"lipsum", "cycler", "joiner"})
        if (name == other)
            return machine.fail("'" + std::string(name) + "' is not supported in chat templates here",
                                Code::unsupported_template);
    return Value::undefined("'" + std::string(name) + "' is undefined");
}

std::vector<std::optional<Value>> bind(Machine& machine, const CallArguments& arguments,
                                       std::initializer_list<std::string_view> names) {
    std::vector<std::optional<Value>> bound(names.size());
    if (arguments.positional.size() > names.size()) machine.fail("too many arguments");
    for (size_t i = 0; i < std::min(arguments.positional.size(), names.size()); ++i)
        bound[i] = arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            machine.fail("unexpected argument '" + name + "'");
            continue;
        }
        auto& place = bound[static_cast<size_t>(found - names.begin())];
        if (place) machine.fail("argument '" + name + "' is given twice");
        place = value;
    }
    return bound;
}

bool flag_of(const std::optional<Value>& value, bool otherwise) {
    return value ? value->truthy() : otherwise;
}

int64_t whole_of(Machine& machine, const std::optional<Value>& value, int64_t otherwise) {
    if (!value) return otherwise;
    if (value->is_whole()) return value->whole();
    machine.fail("an integer is required, not '" + std::string(python_type(*value)) + "'");
    return otherwise;
}

std::string string_of(Machine& machine, const std::optional<Value>& value, std::string_view otherwise) {
    return value ? text_of(machine, *value) : std::string(otherwise);
}

}  // namespace mortise::text::jinja
