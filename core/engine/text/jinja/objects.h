// Internal to the interpreter: the values that are no data.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/text/jinja/builtins.h"
#include "engine/text/jinja/machine.h"

namespace mortise::text::jinja {

// A method with the value it belongs to: text.split.
struct BoundMethod final : Callable {
    BoundMethod(Value owner, std::string method) : self(std::move(owner)), name(std::move(method)) {}
    Value call(Machine& machine, const CallArguments& arguments) override {
        return call_method(machine, self, name, arguments);
    }
    std::string_view type_name() const override { return "method"; }

    Value self;
    std::string name;
};

struct GlobalFunction final : Callable {
    using Function = Value (*)(Machine&, const CallArguments&);
    explicit GlobalFunction(Function code) : function(code) {}
    Value call(Machine& machine, const CallArguments& arguments) override {
        return function(machine, arguments);
    }
    std::string_view type_name() const override { return "function"; }

    Function function;
};

// The variable `loop` inside a for.
struct Loop final : Object {
    std::optional<Value> attribute(Machine& machine, const std::string& name) const;
    std::string_view type_name() const override { return "LoopContext"; }

    List items;
    size_t index = 0;
    int depth = 1;
    std::optional<List> last_changed;  // arguments of the last changed()
};

}  // namespace mortise::text::jinja
