// Filters on sequences.
#include <algorithm>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/unicode.h"

namespace mortise::text::jinja {
namespace {

// What two values are compared by: an attribute, without regard to case unless told otherwise.
class Key {
  public:
    Key(const std::optional<Value>& path, bool case_sensitive)
        : path_(path && !path->is(Kind::none) ? path : std::nullopt), case_sensitive_(case_sensitive) {}
    Value of(Machine& machine, const Value& item) const {
        Value value = path_ ? attribute_path(machine, item, *path_) : item;
        if (value.is(Kind::string) && !case_sensitive_) value = Value::string(python_lower(value.text()));
        return value;
    }

  private:
    std::optional<Value> path_;
    bool case_sensitive_;
};

// A sort that a failing or inconsistent comparison cannot lead astray: merging by hand.
void sort_by(Machine& machine, std::vector<std::pair<Value, Value>>& items, bool reverse) {
    std::vector<std::pair<Value, Value>> buffer(items.size());
    const auto before = [&](const Value& a, const Value& b) {
        return reverse ? less(machine, a, b) : less(machine, b, a);
    };
    for (size_t width = 1; width < items.size() && !machine.failed(); width *= 2) {
        for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
            const size_t middle = std::min(begin + width, items.size()),
                         end = std::min(begin + 2 * width, items.size());
            size_t left = begin, right = middle;
            for (size_t out = begin; out < end; ++out) {
                const bool take_right =
                    right < end && (left >= middle || before(items[left].first, items[right].first));
                buffer[out] = items[take_right ? right++ : left++];
            }
        }
        items.swap(buffer);
    }
}

List sorted(Machine& machine, const List& items, const Key& key, bool reverse) {
    std::vector<std::pair<Value, Value>> keyed;
    for (const Value& item : items) keyed.emplace_back(key.of(machine, item), item);
    sort_by(machine, keyed, reverse);
    List out;
    for (auto& [by, item] : keyed) out.push_back(std::move(item));
    return out;
}

Value sort(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"reverse", "case_sensitive", "attribute"});
    const Key key(bound[2], flag_of(bound[1], false));
    return machine.list(sorted(machine, machine.iterate(self), key, flag_of(bound[0], false)));
}

Value dictsort(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"case_sensitive", "by", "reverse"});
    const std::string by = string_of(machine, bound[1], "key");
    if (by != "key" && by != "value") return machine.fail("dictsort: 'by' must be key or value");
    if (!self.is(Kind::dict)) return machine.fail("dictsort needs a dict");
    const Value index = Value::integer(by == "value");
    const Value pairs = call_method(machine, self, "items", {});
    return machine.list(
        sorted(machine, pairs.items(), Key(index, flag_of(bound[0], false)), flag_of(bound[2], false)));
}

Value unique(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"case_sensitive", "attribute"});
    const Key key(bound[1], flag_of(bound[0], false));
    List seen, out;
    for (const Value& item : machine.iterate(self)) {
        const Value by = key.of(machine, item);
        if (!machine.step(1 + seen.size() / 16)) break;
        if (std::find(seen.begin(), seen.end(), by) != seen.end()) continue;
        seen.push_back(by);
        out.push_back(item);
    }
    return machine.list(std::move(out), Kind::generator);
}

template <bool greatest>
Value extreme(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"case_sensitive", "attribute"});
    const Key key(bound[1], flag_of(bound[0], false));
    const List items = machine.iterate(self);
    if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
    Value best = items[0], best_key = key.of(machine, best);
    for (size_t i = 1; i < items.size() && !machine.failed(); ++i) {
        Value by = key.of(machine, items[i]);
        if (greatest ? !less(machine, best_key, by) : !less(machine, by, best_key)) continue;
        best = items[i];
        best_key = std::move(by);
    }
    return best;
}

Value sum(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"attribute", "start"});
    Value total = bound[1].value_or(Value::integer(0));
    for (const Value& item : machine.iterate(self)) {
        const bool by_path = bound[0] && !bound[0]->is(Kind::none);
        total = arithmetic(machine, "+", total, by_path ? attribute_path(machine, item, *bound[0]) : item);
    }
    return total;
}

Value first(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    const List items = machine.iterate(self);
    return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    if (self.is(Kind::generator)) return machine.fail("'generator' object is not reversible");
    const List items = machine.iterate(self);
    return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    return machine.list(machine.iterate(self));
}

Value reverse(Machine& machine, const Value& self, const CallArguments& arguments) {
    bind(machine, arguments, {});
    List items = machine.iterate(self);
    std::reverse(items.begin(), items.end());
    if (!self.is(Kind::string)) return machine.list(std::move(items), Kind::generator);
    std::string text;
    for (const Value& item : items) text += item.text();
    return machine.string(std::move(text));
}

Value join(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"d", "attribute"});
    const std::string separator = string_of(machine, bound[0], "");
    std::string text;
    bool next = false;
    for (const Value& item : machine.iterate(self)) {
        if (std::exchange(next, true)) text += separator;
        text += text_of(
            machine, bound[1] && !bound[1]->is(Kind::none) ? attribute_path(machine, item, *bound[1]) : item);
        if (text.size() > machine.limits().memory) break;
    }
    return machine.string(std::move(text));
}

Value batch(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"linecount", "fill_with"});
    const int64_t size = whole_of(machine, bound[0], 0);
    if (size < 1 || size > 100000) return machine.fail("batch: the size must be 1 to 100000");
    List out, row;
    for (const Value& item : machine.iterate(self)) {
        if (static_cast<int64_t>(row.size()) == size) out.push_back(machine.list(std::exchange(row, {})));
        row.push_back(item);
    }
    if (!row.empty() && bound[1] && !bound[1]->is(Kind::none))
        row.resize(static_cast<size_t>(size), *bound[1]);
    if (!row.empty()) out.push_back(machine.list(std::move(row)));
    return machine.list(std::move(out), Kind::generator);
}

CallArguments tail(const CallArguments& arguments, size_t skip) {
    CallArguments rest;
    rest.named = arguments.named;
    if (arguments.positional.size() > skip)
        rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(skip),
                               arguments.positional.end());
    return rest;
}

// map and the selecting filters take None and the like for an empty list, as jinja2 does.
List items_or_none(Machine& machine, const Value& value) {
    return value.truthy() ? machine.iterate(value) : List();
}

Value map(Machine& machine, const Value& self, const CallArguments& arguments) {
    List out;
    if (arguments.positional.empty()) {
        const auto bound = bind(machine, arguments, {"attribute", "default"});
        if (!bound[0]) return machine.fail("map needs a filter or an attribute");
        for (const Value& item : items_or_none(machine, self)) {
            Value found = attribute_path(machine, item, *bound[0]);
            out.push_back(found.is(Kind::undefined) && bound[1] ? *bound[1] : std::move(found));
        }
        return machine.list(std::move(out), Kind::generator);
    }
    const std::string name = to_str(arguments.positional[0]);
    const Filter filter = find_filter(name);
    if (!filter) return machine.fail("no filter is called '" + name + "'");
    const CallArguments rest = tail(arguments, 1);
    for (const Value& item : items_or_none(machine, self)) {
        if (!machine.step()) break;
        out.push_back(filter(machine, item, rest));
    }
    return machine.list(std::move(out), Kind::generator);
}

// select(test, ...), reject(...), selectattr(attribute, test, ...), rejectattr(...).
template <bool by_attribute, bool wanted>
Value choose(Machine& machine, const Value& self, const CallArguments& arguments) {
    constexpr size_t at = by_attribute ? 1 : 0;
    if (arguments.positional.size() < at) return machine.fail("an attribute is needed");
    Test test = nullptr;
    if (arguments.positional.size() > at) {
        const std::string name = to_str(arguments.positional[at]);
        test = find_test(name);
        if (!test) return machine.fail("no test is called '" + name + "'");
    }
    const CallArguments rest = tail(arguments, at + 1);
    List out;
    for (const Value& item : items_or_none(machine, self)) {
        if (!machine.step()) break;
        const Value value = by_attribute ? attribute_path(machine, item, arguments.positional[0]) : item;
        if ((test ? test(machine, value, rest) : value.truthy()) == wanted) out.push_back(item);
    }
    return machine.list(std::move(out), Kind::generator);
}

Value groupby(Machine& machine, const Value& self, const CallArguments& arguments) {
    const auto bound = bind(machine, arguments, {"attribute", "default", "case_sensitive"});
    if (!bound[0]) return machine.fail("groupby needs an attribute");
    const Key key(bound[0], flag_of(bound[2], false));
    List out, group;
    std::optional<Value> current;
    const auto close = [&] {
        if (!group.empty()) {
            Value grouper = attribute_path(machine, group.front(), *bound[0]);
            out.push_back(
                machine.list({std::move(grouper), machine.list(std::exchange(group, {}))}, Kind::tuple));
        }
    };
    if (bound[1]) return machine.fail("groupby with a default is not supported", Code::unsupported_template);
    for (const Value& item : sorted(machine, machine.iterate(self), key, false)) {
        Value by = key.of(machine, item);
        if (current && !(*current == by)) close();
        current = std::move(by);
        group.push_back(item);
    }
    close();
    return machine.list(std::move(out));
}

constexpr FilterEntry table[] = {
    {"batch", batch},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"join", join},
    {"last", last},
    {"list", list},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<true, false>},
    {"reverse", reverse},
    {"select", choose<false, true>},
    {"selectattr", choose<true, true>},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

Filter find_list_filter(std::string_view name) {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const auto& entry) { return entry.name == name; });
    return found == std::end(table) ? nullptr : found->filter;
}

}  // namespace mortise::text::jinja
