#include "plan/names.h"

#include <algorithm>

namespace mortise::plan {
namespace {

bool has_prefix(const checkpoint::Catalog& catalog, std::string_view prefix) {
    return !catalog.with_prefix(prefix).empty();
}

constexpr std::string_view expert_hole = "{e}";

// One name for all experts.
bool names_stack(const model::Alias& alias) {
    return has_members(alias.canonical) && !has_members(alias.theirs);
}

}  // namespace

std::optional<std::string> match_index(std::string_view pattern, std::string_view name) {
    const size_t hole = pattern.find("{i}");
    if (hole == std::string_view::npos)
        return pattern == name ? std::optional<std::string>("") : std::nullopt;
    const std::string_view head = pattern.substr(0, hole), tail = pattern.substr(hole + 3);
    if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail))
        return std::nullopt;
    const std::string_view index = name.substr(head.size(), name.size() - head.size() - tail.size());
    if (!std::all_of(index.begin(), index.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return std::nullopt;
    return std::string(index);
}

bool has_members(std::string_view name) { return name.find(expert_hole) != std::string_view::npos; }

std::string fill(std::string_view pattern, std::string_view hole, std::string_view value) {
    std::string out(pattern);
    for (size_t at = 0; (at = out.find(hole, at)) != std::string::npos; at += value.size())
        out.replace(at, hole.size(), value);
    return out;
}

std::string member_name(std::string_view name, uint64_t e) {
    return plan::fill(name, expert_hole, std::to_string(e));
}

StackPlace stack_place(const model::ModuleTree& tree, const std::string& canonical) {
    for (const model::Alias& alias : tree.aliases) {
        if (!alias.name_space.empty() || !names_stack(alias)) continue;
        const size_t at = alias.canonical.find(expert_hole);
        const std::string head = alias.canonical.substr(0, at),
                          tail = alias.canonical.substr(at + expert_hole.size());
        if (!canonical.ends_with(tail)) continue;
        const std::string rest = canonical.substr(0, canonical.size() - tail.size());
        const bool all = rest.ends_with(expert_hole);
        const size_t start = all ? rest.size() - expert_hole.size() : rest.find_last_not_of("0123456789") + 1;
        const auto index = match_index(head, rest.substr(0, start));
        if (!index || start == rest.size()) continue;
        return {fill(alias.theirs, "{i}", *index), all ? 0 : std::stoull(rest.substr(start))};
    }
    return {};
}

Names::Names(const model::ModuleTree& tree, const checkpoint::Catalog& catalog, std::string name_space)
    : tree_(tree), catalog_(catalog), name_space_(std::move(name_space)) {
    // A root applies iff the checkpoint has tensors under it and none under the canonical prefix.
    for (const model::Root& root : tree.roots)
        if (!has_prefix(catalog, root.canonical) && has_prefix(catalog, root.theirs)) roots_.push_back(root);
}

Names::Disk Names::on_disk(const std::string& canonical) const {
    for (const model::Alias& alias : tree_.aliases) {
        if (alias.name_space != name_space_) continue;
        const auto index = match_index(alias.canonical, canonical);
        if (!index) continue;
        Disk disk{fill(alias.theirs, "{i}", *index), alias.has_rows ? &alias.rows : nullptr};
        // A native alias is another spelling; it holds only where the checkpoint uses it. A bare tensor with
        // the name of a stack of projections is a stack of another kind.
        const std::string first = fill(disk.name, "{e}", "0");
        if (name_space_.empty() && !has_module(first) && (names_stack(alias) || !catalog_.find(first)))
            continue;
        return disk;
    }
    for (const model::Root& root : roots_)
        if (canonical.starts_with(root.canonical))
            return {root.theirs + canonical.substr(root.canonical.size())};
    return {canonical};
}

bool Names::has_module(const std::string& module) const { return has_prefix(catalog_, module + "."); }

}  // namespace mortise::plan
