// What becomes of tensors that nothing pulls: legal drops, and the rest, which is an error.

#include <array>

#include "plan/patterns.h"
#include "plan/resolver.h"

namespace mortise::plan {
namespace {

struct Named {
    DropCode code;
    std::string_view name;
};
constexpr std::array<Named, 11> drop_names = {{{DropCode::rotary_cache, "rotary_cache"},
                                               {DropCode::attention_mask, "attention_mask"},
                                               {DropCode::zero_bias, "zero_bias"},
                                               {DropCode::redundant_head, "redundant_head"},
                                               {DropCode::draft_layer, "draft_layer"},
                                               {DropCode::other_rank, "other_rank"},
                                               {DropCode::cache_scale_unused, "cache_scale_unused"},
                                               {DropCode::dynamic_input_scale, "dynamic_input_scale"},
                                               {DropCode::side_tower, "side_tower"},
                                               {DropCode::stored_shape, "stored_shape"},
                                               {DropCode::scheme_role, "scheme_role"}}};

const DropCode* drop_code(std::string_view rule) {
    for (const Named& named : drop_names)
        if (named.name == rule) return &named.code;
    return nullptr;
}

}  // namespace

std::string_view name(DropCode code) {
    for (const Named& named : drop_names)
        if (named.code == code) return named.name;
    return "?";
}

void resolve_leftovers(Resolver& r) {
    const auto& tensors = r.catalog().tensors();
    for (uint32_t t = 0; t < tensors.size(); ++t) {
        if (r.used[t]) continue;
        const model::DropRule* rule = nullptr;
        for (const model::DropRule& each : r.plan.tree.drops) {
            const auto matched = matches(each.pattern_kind, each.pattern, tensors[t].name);
            if (!matched) r.problems.add(matched.error());
            if (matched && *matched) rule = &each;
        }
        const DropCode* code = rule ? drop_code(rule->rule) : nullptr;
        if (code) {
            r.used[t] = true;
            r.plan.drops.push_back({t, *code, rule->rule, rule->reason});
        } else if (rule) {
            r.problems.add(Problem{.code = Code::plugin_contract,
                                   .what = "architecture drops by a rule that is not in the closed list",
                                   .tensor = tensors[t].name,
                                   .found = rule->rule});
        } else {
            r.problems.add(
                Problem{.code = Code::tensor_unexpected,
                        .what = "nothing in the model uses this tensor",
                        .file = r.catalog().file_name(tensors[t]),
                        .tensor = tensors[t].name,
                        .expected = "every tensor to be used or dropped by a named rule",
                        .found = to_string(tensors[t].dtype, tensors[t].shape),
                        .fix = "config.json may describe another model or format than the weights"});
        }
    }
}

}  // namespace mortise::plan
