// Attributes, items, slices: how a template reaches into a value.
#include <algorithm>
#include <charconv>

#include "engine/text/jinja/builtins.h"
#include "engine/text/jinja/objects.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

Value missing(const Value& object, const std::string& name) {
    return Value::undefined("'" + std::string(python_type(object)) + " object' has no attribute '" + name +
                            "'");
}

size_t length_of(const Value& sequence) {
    return sequence.is(Kind::string) ? code_point_count(sequence.text()) : sequence.items().size();
}

Value character_at(const Value& text, size_t index) {
    size_t at = byte_offset(text.text(), index);
    const size_t begin = at;
    next_code_point(text.text(), at);
    return Value::string(text.text().substr(begin, at - begin));
}

Value element(const Value& object, int64_t index) {
    const auto size = static_cast<int64_t>(length_of(object));
    if (index < 0) index += size;
    if (index < 0 || index >= size)
        return Value::undefined("'" + std::string(python_type(object)) + " object' has no element " +
                                std::to_string(index));
    return object.is(Kind::string) ? character_at(object, static_cast<size_t>(index))
                                   : object.items()[static_cast<size_t>(index)];
}

}  // namespace

Value attribute(Machine& machine, const Value& object, const std::string& name) {
    if (!machine.step(1 + (object.is(Kind::dict) ? object.size_hint() / 16 : 0))) return {};
    if (object.is(Kind::undefined)) return machine.fail(object.text());
    if (const auto* space = object.as<Namespace>()) {
        const Value* found = space->attributes.find(name);
        return found ? *found : missing(object, name);
    }
    if (auto* loop = object.as<Loop>()) {
        if (auto found = loop->attribute(machine, name)) return *found;
    }
    if (has_method(object, name)) return Value::object(std::make_shared<BoundMethod>(object, name));
    if (object.is(Kind::dict))
        if (const Value* found = object.find(name)) return *found;
    return missing(object, name);
}

Value item(Machine& machine, const Value& object, const Value& key) {
    if (!machine.step(1 + object.size_hint() / 64)) return {};
    if (object.is(Kind::undefined)) return machine.fail(object.text());
    if (object.is(Kind::dict))
        if (const Value* found = object.find(key)) return *found;
    if (key.is_whole() && (object.is(Kind::string) || object.is_sequence()))
        return element(object, key.whole());
    if (key.is(Kind::string) && !object.is(Kind::dict)) return attribute(machine, object, key.text());
    if (key.is(Kind::string) && has_method(object, key.text()))
        return Value::object(std::make_shared<BoundMethod>(object, key.text()));
    return missing(object, to_str(key));
}

Value slice(Machine& machine, const Value& object, const Value& begin, const Value& end,
            const Value& stride) {
    if (machine.failed()) return {};
    if (!object.is(Kind::string) && !object.is_sequence())
        return object.is(Kind::undefined) ? machine.fail(object.text())
                                          : Value::undefined("a slice of no sequence is used");
    for (const Value* bound : {&begin, &end, &stride})
        if (!bound->is_whole() && !bound->is(Kind::none) && !bound->is(Kind::undefined))
            return machine.fail("slice indices must be integers");
    const auto size = static_cast<int64_t>(length_of(object));
    const int64_t step = stride.is_whole() ? stride.whole() : 1;
    if (step == 0) return machine.fail("slice step cannot be zero");
    if (step == INT64_MIN) return machine.fail("integer beyond 64 bits");
    const auto bound = [&](const Value& value, int64_t otherwise) {
        if (!value.is_whole()) return otherwise;
        const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
        const int64_t at = value.whole() < 0 ? std::max(value.whole(), -size - 1) + size : value.whole();
        return std::clamp(at, low, std::max(low, high));
    };
    const int64_t first = bound(begin, step < 0 ? size - 1 : 0), last = bound(end, step < 0 ? -1 : size);
    if (object.is(Kind::string) && step == 1) {
        if (first >= last) return Value::string("");
        const auto from = byte_offset(object.text(), static_cast<size_t>(first));
        const auto to = from + byte_offset(std::string_view(object.text()).substr(from),
                                           static_cast<size_t>(last - first));
        return machine.string(object.text().substr(from, to - from));
    }
    const auto points = object.is(Kind::string) ? code_points(object.text()) : std::vector<char32_t>();
    std::string text;
    List items;
    for (int64_t i = first; step < 0 ? i > last : i < last;) {
        object.is(Kind::string) ? append_utf8(text, points[static_cast<size_t>(i)])
                                : items.push_back(object.items()[static_cast<size_t>(i)]);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return object.is(Kind::string) ? machine.string(std::move(text))
                                   : machine.list(std::move(items), object.kind());
}

Value attribute_path(Machine& machine, const Value& object, const Value& path) {
    if (path.is_whole()) return item(machine, object, path);
    Value found = object;
    for (const auto& part : split_at(to_str(path), ".", -1, false)) {
        int64_t index = 0;
        const auto* end = part.data() + part.size();
        const bool number =
            !part.empty() && std::from_chars(part.data(), end, index).ptr == end && index >= 0;
        found = item(machine, found, number ? Value::integer(index) : Value::string(part));
        if (machine.failed()) return {};
    }
    return found;
}

}  // namespace mortise::text::jinja
