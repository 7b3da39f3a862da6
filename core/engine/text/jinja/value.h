// Values of the template language: what Python's jinja2 would compute with, without any host object.
//
// Immutable (a template can only make new ones), cheap to copy. A value may be shared between threads once
// made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace mortise::text::jinja {

class Value;
using List = std::vector<Value>;

enum class Kind : uint8_t {
    undefined,
    none,
    boolean,
    integer,
    real,
    string,
    list,
    tuple,
    dict,
    generator,  // what map() and select() give: true, without a length, gone once read
    object,     // namespace, loop, macro, function: see objects.h
};

struct Object {
    virtual ~Object() = default;
    virtual std::string_view type_name() const = 0;
};

class Value {
  public:
    using Entries = std::vector<std::pair<Value, Value>>;

    Value() = default;                         // undefined, without a name
    static Value undefined(std::string hint);  // hint: what was looked for, for messages
    static Value none() { return Value(Kind::none); }
    static Value boolean(bool flag);
    static Value integer(int64_t number);
    static Value real(double number);
    static Value string(std::string text, bool safe = false);
    static Value list(List items) { return sequence(Kind::list, std::move(items)); }
    static Value tuple(List items) { return sequence(Kind::tuple, std::move(items)); }
    static Value generator(List items) { return sequence(Kind::generator, std::move(items)); }
    // Effect: a dict in the order of `entries`; of equal keys the last value counts, at the first one's
    // place.
    static Value dict(Entries entries);
    static Value object(std::shared_ptr<Object> object);
    static Value from_json(const json::Node& node);  // integers beyond 64 bits become reals

    Kind kind() const { return kind_; }
    bool is(Kind kind) const { return kind_ == kind; }
    bool is_number() const { return kind_ == Kind::boolean || kind_ == Kind::integer || kind_ == Kind::real; }
    bool is_whole() const { return kind_ == Kind::boolean || kind_ == Kind::integer; }
    bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }
    // Effect: marked as HTML by `safe` or `escape`: `+` escapes what is added to it.
    bool is_safe() const { return safe_; }

    // Requires: the kind in the name.
    int64_t whole() const { return number_; }
    double real() const { return real_; }  // of a real
    double as_real() const { return kind_ == Kind::real ? real_ : static_cast<double>(number_); }
    // Of a string; of an undefined value the message that its use deserves.
    const std::string& text() const;
    const List& items() const { return static_cast<const Container*>(data_.get())->items; }
    List take_items() const;  // of a generator: afterwards it is empty
    const Entries& entries() const { return static_cast<const Container*>(data_.get())->entries; }
    template <class T>
    T* as() const {
        return kind_ == Kind::object ? dynamic_cast<T*>(static_cast<Object*>(data_.get())) : nullptr;
    }

    const Value* find(const Value& key) const;  // in a dict; null when absent
    const Value* find(std::string_view key) const;
    bool truthy() const;
    int depth() const;         // 0 for scalars, else 1 + the deepest item
    size_t size_hint() const;  // bytes or items of this value alone, for budgets
    // Effect: bytes and items of all that is printed or compared with this value; shared parts count each
    // time.
    size_t weight() const;

    friend bool operator==(const Value& a, const Value& b);

  private:
    struct Container {
        List items;
        Entries entries;
        int depth = 1;
        size_t weight = 1;
        void count(const Value& part);
    };
    explicit Value(Kind kind) : kind_(kind) {}
    static Value sequence(Kind kind, List items);

    Kind kind_ = Kind::undefined;
    bool safe_ = false;
    union {
        int64_t number_ = 0;
        double real_;
    };
    std::shared_ptr<void> data_;
};

std::string_view python_type(const Value& value);  // "str", "dict": for messages
std::string to_str(const Value& value);            // Python's str()
std::string to_repr(const Value& value);           // Python's repr()
std::string real_repr(double number);

}  // namespace mortise::text::jinja
