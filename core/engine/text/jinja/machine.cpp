#include "engine/text/jinja/machine.h"

#include "engine/text/jinja/builtins.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {

const Value* Scope::find(std::string_view name) const {
    for (const Scope* scope = this; scope; scope = scope->parent.get())
        for (const auto& [known, value] : scope->variables)
            if (known == name) return &value;
    return nullptr;
}

void Scope::set(std::string_view name, Value value) {
    for (auto& [known, old] : variables)
        if (known == name) return void(old = std::move(value));
    variables.emplace_back(name, std::move(value));
}

Machine::~Machine() {
    for (const auto& scope : captured_) scope->variables.clear();
    for (const auto& space : namespaces_) space->attributes.variables.clear();
}

Value Machine::fail(std::string what, Code code) {
    if (!error_) error_.emplace(Problem{.code = code, .what = std::move(what), .file = file_, .line = line_});
    return {};
}

Value Machine::raise(std::string message) {
    if (!error_)
        error_.emplace(Problem{.code = Code::template_invalid,
                               .what = "the chat template refuses this conversation",
                               .file = file_,
                               .line = line_,
                               .found = std::move(message)});
    return {};
}

bool Machine::step(size_t cost) {
    if (failed()) return false;
    steps_ += static_cast<int64_t>(cost);
    if (steps_ <= limits_.steps) return true;
    fail("the template needs more than " + std::to_string(limits_.steps) + " steps");
    return false;
}

bool Machine::grow(size_t bytes) {
    if (failed()) return false;
    memory_ += bytes;
    if (memory_ <= limits_.memory) return step(bytes / 256);
    fail("the template needs more than " + std::to_string(limits_.memory) + " bytes");
    return false;
}

Value Machine::string(std::string text, bool safe) {
    return grow(text.size()) ? Value::string(std::move(text), safe) : Value();
}

Value Machine::list(List items, Kind kind) {
    if (!grow(items.size() * sizeof(Value))) return {};
    Value made = kind == Kind::tuple       ? Value::tuple(std::move(items))
                 : kind == Kind::generator ? Value::generator(std::move(items))
                                           : Value::list(std::move(items));
    return check(std::move(made));
}

// A list of two times the same list of two times the same list ... is small and prints without end.
Value Machine::check(Value made) {
    if (made.depth() > limits_.depth) return fail("lists or dicts are nested too deep");
    return made.weight() <= limits_.memory ? made : fail("lists or dicts are too large");
}

Value Machine::dict(Value::Entries entries) {
    if (!grow(entries.size() * 2 * sizeof(Value)) || !step(entries.size() * entries.size() / 8)) return {};
    return check(Value::dict(std::move(entries)));
}

Value Machine::make_namespace(Scope attributes) {
    auto made = std::make_shared<Namespace>();
    made->attributes = std::move(attributes);
    namespaces_.push_back(made);
    return grow(sizeof(Namespace)) ? Value::object(std::move(made)) : Value();
}

List Machine::iterate(const Value& value) {
    if (failed()) return {};
    if (!grow(value.size_hint() * sizeof(Value))) return {};
    switch (value.kind()) {
        case Kind::undefined: return {};
        case Kind::list:
        case Kind::tuple: return value.items();
        case Kind::generator: return value.take_items();
        case Kind::dict: {
            List keys;
            for (const auto& [key, item] : value.entries()) keys.push_back(key);
            return keys;
        }
        case Kind::string: {
            List characters;
            for (size_t i = 0; i < value.text().size();) {
                const size_t begin = i;
                next_code_point(value.text(), i);
                characters.push_back(Value::string(value.text().substr(begin, i - begin)));
            }
            return characters;
        }
        default: fail("'" + std::string(python_type(value)) + "' object is not iterable"); return {};
    }
}

Value Machine::call(const Value& callee, const CallArguments& arguments) {
    if (!step()) return {};
    if (auto* callable = callee.as<Callable>()) return callable->call(*this, arguments);
    if (callee.is(Kind::undefined)) return fail(callee.text());
    return fail("'" + std::string(python_type(callee)) + "' object is not callable");
}

}  // namespace mortise::text::jinja
