// The four dialects that say "8-bit float per row", read into one form. Private to this plugin.
#pragma once

#include <string>
#include <vector>

#include "mortise/sdk/rules.h"
#include "mortise/sdk/scheme.h"

namespace fp8_channel {

struct Group {
    mortise::sdk::Rules targets;  // empty: every linear
    bool quantizes_inputs = true;
    std::string rule, note;
    mortise::sdk::Config node;
};

struct Dialect {
    std::vector<Group> groups;
    mortise::sdk::Rules ignore;
    bool targeted = false;   // groups have target rules
    std::string cache_rule;  // "" = the cache is not quantized
    bool cache_per_head = false;

    // Effect: the group of a module, its rules counted; null when none targets it.
    // Errors: two groups that want different things of it.
    const Group* group_of(const mortise_module& module) {
        const Group* found = nullptr;
        for (Group& group : groups) {
            if (targeted && group.targets.find(module) == nullptr) continue;
            if (found != nullptr && found->quantizes_inputs != group.quantizes_inputs)
                throw mortise::sdk::Refused({.what = "two groups with different settings target this module",
                                             .subject = std::string(mortise::sdk::view(module.name)),
                                             .found = found->rule + " and " + group.rule,
                                             .node = group.node.node()});
            if (found == nullptr) found = &group;
        }
        return found;
    }
};

// Effect: why this checkpoint is not of this kind; "" = it is.
std::string why_not(const mortise::sdk::Checkpoint& checkpoint);
// Requires: why_not() is "". Errors: whatever in the config is contradictory or not supported.
Dialect read(const mortise::sdk::Checkpoint& checkpoint);
// Effect: quantization_config of what is written, with these modules ignored.
std::string written_config(const std::vector<std::string>& ignored);

}  // namespace fp8_channel
