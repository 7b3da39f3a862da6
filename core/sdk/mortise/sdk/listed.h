// Settings that a config gives to modules by name: to one module, or to everything below a container. Found
// by whole components, counted, and reported like rules.
//
// One thread.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "mortise/sdk/config.h"

namespace mortise::sdk {

// Effect: a setting that may stand in two places, T{} where it does not. Errors: Refused when they differ.
template <class T>
T agreed(const T& one, const T& other, const std::string& what, const Config& node) {
    if (one != T{} && other != T{} && one != other)
        throw Refused({.what = "two places contradict each other in " + what, .node = node.node()});
    return one != T{} ? one : other;
}

template <class T>
class Listed {
  public:
    void add(std::string name, T value, Config node) {
        entries_.insert_or_assign(std::move(name), Entry{std::move(value), node});
    }
    bool empty() const { return entries_.empty(); }
    // Effect: the setting of the module of this name, else that of the nearest container; counted. Null when
    // neither is listed.
    const T* find(std::string name) {
        for (;;) {
            if (const auto at = entries_.find(name); at != entries_.end()) return &at->second.use();
            const size_t dot = name.rfind('.');
            if (dot == std::string::npos) return nullptr;
            name.resize(dot);
        }
    }
    // Effect: the same names have the same settings, wherever they are written.
    bool operator==(const Listed& other) const { return entries_ == other.entries_; }

    void report(mortise_rule_visitor visit, void* context) const {
        for (const auto& [name, entry] : entries_) {
            auto rule = make<mortise_rule>();
            rule.pattern_kind = MORTISE_PATTERN_PREFIX;
            rule.pattern = str(name);
            rule.matches = entry.matches;
            rule.node = entry.node.node();
            visit(context, &rule);
        }
    }

  private:
    struct Entry {
        T value;
        Config node;
        uint64_t matches = 0;

        const T& use() { return ++matches, value; }
        bool operator==(const Entry& other) const { return value == other.value; }
    };
    std::map<std::string, Entry> entries_;
};

}  // namespace mortise::sdk
