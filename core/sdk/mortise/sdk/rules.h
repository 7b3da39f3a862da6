// Ignore and target rules of a config: matched whole, counted, and reported to the host, which refuses a rule
// that decided nothing.
//
// One thread. A rule matches a fused module by its own name or by a class; several together by all of its
// parts.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "mortise/sdk/config.h"

namespace mortise::sdk {

struct Rule {
    uint32_t kind = MORTISE_PATTERN_EXACT;
    std::string pattern;  // without the dialect's marks
    std::string text;     // "ignore[0] = lm_head"
    Config node;
    bool optional = false;  // the producer always writes it
    uint64_t matches = 0;
};

// Effect: what is to be called on each entry of a list: kind and pattern from its text.
struct Pattern {
    uint32_t kind;
    std::string text;
};
// Effect: "re:..." is a regular expression, anything else a whole name or a class.
inline Pattern exact_or_regex(const std::string& text) {
    if (text.rfind("re:", 0) == 0) return {MORTISE_PATTERN_REGEX, text.substr(3)};
    return {MORTISE_PATTERN_EXACT, text};
}
// Effect: the whole name, with the wildcards of a shell.
inline Pattern wildcards(const std::string& text) { return {MORTISE_PATTERN_GLOB, text}; }
// Effect: consecutive components anywhere in the name: what substring lists mean, without their accidents.
inline Pattern any_component(const std::string& text) { return {MORTISE_PATTERN_COMPONENT, text}; }

// Effect: the same, or a regular expression where the text has a star.
inline Pattern component_or_regex(const std::string& text) {
    return {text.find('*') == std::string::npos ? uint32_t{MORTISE_PATTERN_COMPONENT}
                                                : uint32_t{MORTISE_PATTERN_REGEX},
            text};
}

class Rules {
  public:
    Rules() = default;
    // Effect: one rule per string of `list`, an array or absent. The output head is listed by producers
    // whether or not the model has one of its own: such a rule is optional.
    Rules(Config list, const std::string& key, Pattern (*parse)(const std::string&)) {
        for (uint64_t i = 0; list && i < list.size(); ++i) {
            const Config node = list.at(i);
            const auto text = node.as<std::string>();
            const Pattern pattern = parse(text);
            rules_.push_back({pattern.kind, pattern.text, key + "[" + std::to_string(i) + "] = " + text, node,
                              text == "lm_head"});
        }
    }

    // Effect: one more rule, or those of another list, after the others.
    void add(Rule rule) { rules_.push_back(std::move(rule)); }
    void add(Rules more) {
        for (Rule& rule : more.rules_) rules_.push_back(std::move(rule));
    }
    const Rule& last() const { return rules_.back(); }

    // How narrowly a rule means a module.
    enum class Width : uint8_t { none, by_class, by_pattern, by_name };
    // Effect: the first rule that matches, counted; null when none does. A fused module matches also when
    // rules that mean its parts mean all of them.
    // Errors: a malformed pattern; some parts of a fused module match and others do not.
    const Rule* find(const mortise_module& module) { return search(module).rule; }
    // Effect: the width of the narrowest rule that matches, all of them counted. Errors: as of find().
    Width narrowest(const mortise_module& module) { return search(module).width; }
    bool empty() const { return rules_.empty(); }

    void report(mortise_rule_visitor visit, void* context) const {
        for (const Rule& rule : rules_) {
            auto c = make<mortise_rule>();
            c.pattern_kind = rule.kind;
            c.optional = rule.optional;
            c.pattern = str(rule.pattern);
            c.matches = rule.matches;
            c.node = rule.node.node();
            visit(context, &c);
        }
    }

  private:
    static bool matches(const Rule& rule, mortise_str name) {
        const int32_t answer = host().pattern_matches(rule.kind, str(rule.pattern), name);
        if (answer < 0) throw Reported{MORTISE_REFUSED};
        return answer == 1;
    }
    static Width named(const Rule& rule) {
        return rule.kind == MORTISE_PATTERN_EXACT ? Width::by_name : Width::by_pattern;
    }
    static Width match(const Rule& rule, const mortise_module& module) {
        if (matches(rule, module.name) || matches(rule, module.canonical)) return named(rule);
        for (uint32_t c = 0; rule.kind == MORTISE_PATTERN_EXACT && c < module.class_count; ++c)
            if (view(module.classes[c]) == rule.pattern) return Width::by_class;
        return Width::none;
    }
    // What all rules say of a module: those that mean it whole, else those that mean its parts.
    struct Found {
        const Rule* rule = nullptr;
        Width width = Width::none;
        void add(Rule& from, Width narrow) {
            ++from.matches;
            if (rule == nullptr) rule = &from;
            width = std::max(width, narrow);
        }
    };
    Found search(const mortise_module& module) {
        Found whole, parts;
        std::vector<bool> covered(module.n_parts);
        for (Rule& rule : rules_) {
            bool some = false;
            if (const Width width = match(rule, module); width != Width::none) {
                whole.add(rule, width);
                continue;
            }
            for (uint64_t p = 0; p < module.n_parts; ++p)
                if (matches(rule, module.part_names[p])) some = covered[p] = true;
            if (some) parts.add(rule, named(rule));
        }
        if (whole.rule != nullptr || parts.rule == nullptr) return whole;
        if (std::find(covered.begin(), covered.end(), false) == covered.end()) return parts;
        throw Refused({.what = "rules match some parts of a fused matrix and not the others",
                       .subject = std::string(view(module.name)),
                       .found = parts.rule->text,
                       .node = parts.rule->node.node()});
    }

    std::vector<Rule> rules_;
};

// Effect: the modules that a config leaves alone, under both names of that list.
inline Rules left_alone(const Config& config) {
    Rules rules;
    for (const char* key : {"modules_to_not_convert", "ignored_layers"})
        rules.add(Rules(config[key], key, component_or_regex));
    return rules;
}

}  // namespace mortise::sdk
