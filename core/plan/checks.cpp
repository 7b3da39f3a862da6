// Checks over the whole resolution: companions that are present in some layers only, rules of the config that
// match nothing.

#include <algorithm>
#include <set>

#include "plan/patterns.h"
#include "plan/resolver.h"

namespace mortise::plan {
namespace {

// "model.layers.12.mlp.experts.3.up_proj" -> "model.layers.#.mlp.experts.#.up_proj"
std::string template_of(const std::string& name) {
    std::string out;
    for (size_t at = 0; at < name.size();) {
        size_t end = name.find('.', at);
        if (end == std::string::npos) end = name.size();
        const std::string_view component(name.data() + at, end - at);
        const bool index = !component.empty() && std::all_of(component.begin(), component.end(),
                                                             [](char c) { return c >= '0' && c <= '9'; });
        if (!out.empty()) out += '.';
        out += index ? "#" : component;
        at = end + 1;
    }
    return out;
}

struct Presence {
    std::vector<const Source*> with, without;
    uint32_t role = 0;
};

// Every name that a rule may mean: modules of the tree, paths that own operators, and modules on disk.
std::set<std::string> known_names(const Resolver& r) {
    std::set<std::string> names;
    const auto add = [&](std::string name) {
        names.insert(r.names.on_disk(name).name);
        names.insert(std::move(name));
    };
    for (const model::Weight& weight : r.plan.tree.weights) {
        if (const auto* linear = std::get_if<model::Linear>(&weight)) {
            for (const model::Part& part : linear->parts) add(fill(part.name, "{e}", "0"));
            for (const model::Fusion& fusion : linear->fusions) add(fill(fusion.name, "{e}", "0"));
        }
        if (const auto* embedding = std::get_if<model::Embedding>(&weight)) add(embedding->name);
        if (const auto* vector = std::get_if<model::Vector>(&weight))
            add(vector->name.substr(0, vector->name.find_last_of('.')));
    }
    for (const model::Op& op : r.plan.tree.ops)
        if (!op.name.empty()) add(op.name);
    for (const checkpoint::TensorEntry& tensor : r.catalog().tensors()) {
        const size_t dot = tensor.name.find_last_of('.');
        if (dot != std::string::npos) names.insert(tensor.name.substr(0, dot));
    }
    return names;
}

bool matches_any(const SchemeModel::Rule& rule, const std::set<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        const auto matched = matches(rule.kind, rule.pattern, name);
        return matched && *matched;
    });
}

}  // namespace

void check_companions(Resolver& r) {
    std::map<std::string, Presence> groups;
    for (const Source& source : r.plan.sources) {
        if (source.plain || source.dropped || source.kind == 0) continue;
        for (size_t f = 0; f < source.spec.fields.size(); ++f) {
            const quant::Field& field = source.spec.fields[f];
            if (!field.has(MORTISE_FIELD_OPTIONAL) && !field.has(MORTISE_FIELD_DROP_IF_ZERO)) continue;
            Presence& group = groups[template_of(source.canonical) + " " + std::to_string(field.role) + " " +
                                     source.spec.describe()];
            group.role = field.role;
            (source.tensors[f] == none ? group.without : group.with).push_back(&source);
        }
    }
    for (const auto& [key, group] : groups) {
        if (group.with.empty() || group.without.empty()) continue;
        const bool few_with = group.with.size() <= group.without.size();
        const auto& odd = few_with ? group.with : group.without;
        r.problems.add(Problem{
            .code = Code::companion_partial,
            .what = "the " + std::string(quant::role_name(group.role)) + " is present in some layers only",
            .file = r.checkpoint.path,
            .tensor = odd[0]->name,
            .expected = few_with ? "absent, as in " + group.without[0]->name
                                 : "present, as in " + group.with[0]->name,
            .found = std::to_string(group.with.size()) + " with, " + std::to_string(group.without.size()) +
                     " without",
            .fix = "a tensor was lost or added; take the checkpoint again"});
    }
}

void check_rules(Resolver& r) {
    std::set<std::string> names;
    for (const SchemeModel::Rule& rule : r.scheme.rules()) {
        uint64_t found = rule.matches;
        if (found == 0 && !rule.optional) {
            if (names.empty()) names = known_names(r);
            found = matches_any(rule, names);
        }
        r.plan.rules.push_back({rule.pattern, rule.where, rule.matches});
        if (found || rule.optional) continue;
        if (r.options.accepted_rules.contains(rule.pattern)) {
            r.plan.notes.push_back("rule '" + rule.pattern +
                                   "' of the quantization config matches no module; " +
                                   "accepted by request");
            continue;
        }
        Problem problem{.code = Code::rule_unmatched,
                        .what = "rule '" + rule.pattern + "' of the quantization config matches no module",
                        .expected = "a module of this model",
                        .found = "none",
                        .fix =
                            "the config was written for other module names; if the modules are right all "
                            "the same (mortise plan --all), go on with --accept-rule '" +
                            rule.pattern + "'"};
        if (rule.node) {
            const Problem at = rule.node->problem(problem.code, {});
            problem.file = at.file;
            problem.line = at.line;
            problem.column = at.column;
        }
        r.problems.add(problem);
    }
}

}  // namespace mortise::plan
