// Reading a config file: typed, exact, with positions. What is read is recorded by the host; a key that
// nobody read is an error of the plan, so "unknown keys are refused" needs no line in a plugin.
//
// A Config may be absent: absent and JSON null mean the same everywhere here. Borrowed, cheap to copy.
// Thread-safety: as the host's document, one thread at a time.
#pragma once

#include <concepts>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "mortise/sdk/error.h"

namespace mortise::sdk {

class Config {
  public:
    Config() = default;
    explicit Config(const mortise_node* node) : node_(node) {}

    const mortise_node* node() const { return node_; }
    uint32_t kind() const { return node_ == nullptr ? uint32_t{MORTISE_NODE_NULL} : api().kind(node_); }
    // Effect: true iff there is a value other than null.
    explicit operator bool() const { return kind() != MORTISE_NODE_NULL; }
    bool is_object() const { return kind() == MORTISE_NODE_OBJECT; }
    bool is_array() const { return kind() == MORTISE_NODE_ARRAY; }
    bool is_string() const { return kind() == MORTISE_NODE_STRING; }
    bool is_number() const { return kind() == MORTISE_NODE_INTEGER || kind() == MORTISE_NODE_REAL; }
    bool is_bool() const { return kind() == MORTISE_NODE_BOOLEAN; }
    uint64_t line() const { return node_ == nullptr ? 0 : api().line(node_); }

    // Effect: the member, marked as read; absent when there is none or this is no object.
    Config operator[](std::string_view key) const {
        return is_object() ? Config(api().member(node_, str(key))) : Config();
    }

    // Effect: this value as T (bool, an integer type, double, float, std::string).
    // Errors: absent or of another kind, with the position in the file.
    template <class T>
    T as() const {
        if constexpr (std::same_as<T, bool>) {
            uint8_t out = 0;
            check(api().as_bool(node_, &out));
            return out != 0;
        } else if constexpr (std::integral<T>) {
            return to_integer<T>();
        } else if constexpr (std::floating_point<T>) {
            double out = 0;
            check(api().as_real(node_, &out));
            return static_cast<T>(out);
        } else {
            static_assert(std::same_as<T, std::string>, "bool, integer, floating point or std::string");
            mortise_str out{};
            check(api().as_string(node_, &out));
            return std::string(view(out));
        }
    }

    // Effect: the required member as T. Errors: Refused when absent or of another kind.
    template <class T>
    T get(std::string_view key) const {
        return require(key).as<T>();
    }
    // Effect: the member as T, or `otherwise` when it is absent or null.
    template <class T>
    T get(std::string_view key, T otherwise) const {
        const Config member = (*this)[key];
        return member ? member.as<T>() : otherwise;
    }
    std::string get(std::string_view key, const char* otherwise) const {
        return get<std::string>(key, std::string(otherwise));
    }
    template <class T>
    std::optional<T> maybe(std::string_view key) const {
        const Config member = (*this)[key];
        if (!member) return std::nullopt;
        return member.as<T>();
    }
    // Effect: the first of `keys` that is present; for dialects that renamed a key.
    template <class T>
    std::optional<T> first_of(std::initializer_list<const char*> keys) const {
        std::optional<T> out;
        for (const char* key : keys) {
            auto value = maybe<T>(key);
            if (value && out && *value != *out) throw contradiction(key);
            if (!out) out = value;
        }
        return out;
    }
    Config require(std::string_view key) const {
        const Config member = (*this)[key];
        if (!member) throw Refused({.what = "missing key '" + std::string(key) + "'", .node = node_});
        return member;
    }
    // Effect: the member as a string that must be one of `allowed`. Errors: Unsupported, naming the value.
    std::string one_of(std::string_view key, std::initializer_list<const char*> allowed,
                       const char* otherwise = nullptr) const {
        const Config member = (*this)[key];
        if (!member && otherwise != nullptr) return otherwise;
        const std::string value = get<std::string>(key);
        std::string list;
        for (const char* choice : allowed) {
            if (value == choice) return value;
            list += (list.empty() ? "" : ", ") + std::string(choice);
        }
        throw Unsupported({.what = "unsupported value of '" + std::string(key) + "'",
                           .expected = list,
                           .found = value,
                           .node = member.node()});
    }
    // Effect: the member must be absent, null, false, 0, "" or empty: it would change numbers that we
    // compute.
    void refuse_if_set(std::string_view key) const {
        const Config member = (*this)[key];
        const uint32_t kind = member.kind();
        const bool empty = kind == MORTISE_NODE_NULL ||
                           (kind == MORTISE_NODE_BOOLEAN && !member.as<bool>()) ||
                           (kind == MORTISE_NODE_STRING && member.as<std::string>().empty()) ||
                           (kind >= MORTISE_NODE_ARRAY && member.size() == 0);
        if (empty) return;
        throw Unsupported(
            {.what = "'" + std::string(key) + "' is set and not supported", .node = member.node()});
    }
    // Effect: keys that are known and mean nothing for the numbers.
    void ignore(std::initializer_list<const char*> keys) const {
        for (const char* key : keys)
            if (const auto* member = (*this)[key].node()) api().mark_read(member, 1);
    }
    void ignore_all() const {
        if (node_ != nullptr) api().mark_read(node_, 1);
    }

    // Items of an array or members of an object in file order. at() marks as read.
    uint64_t size() const { return node_ == nullptr ? 0 : api().count(node_); }
    Config at(uint64_t index) const { return Config(api().item(node_, index)); }
    std::string key(uint64_t index) const { return std::string(view(api().key(node_, index))); }
    template <class T>
    std::vector<T> list() const {
        std::vector<T> out;
        if (node_ == nullptr) return out;
        if (!is_array()) throw Refused({.what = "a list is expected", .node = node_});
        for (uint64_t i = 0; i < size(); ++i) out.push_back(at(i).as<T>());
        return out;
    }

  private:
    static const mortise_config_api& api() { return *host().config; }

    Refused contradiction(std::string_view key) const {
        return Refused({.what = "'" + std::string(key) + "' contradicts another spelling of the same setting",
                        .node = (*this)[key].node()});
    }
    template <class T>
    T to_integer() const {
        int64_t out = 0;
        check(api().as_int(node_, &out));
        if (!std::in_range<T>(out))
            throw Refused({.what = "number out of range", .found = std::to_string(out), .node = node_});
        return static_cast<T>(out);
    }

    const mortise_node* node_ = nullptr;
};

}  // namespace mortise::sdk
