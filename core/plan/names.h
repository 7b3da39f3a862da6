// From canonical names to the names that a checkpoint uses: roots, aliases of a name space, expert indexes.
// Immutable after construction; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/catalog.h"
#include "model/tree.h"

namespace mortise::plan {

class Names {
  public:
    // Effect: finds from the catalog which root stands for each canonical prefix.
    // Requires: both outlive this.
    Names(const model::ModuleTree& tree, const checkpoint::Catalog& catalog, std::string name_space);

    struct Disk {
        std::string name;
        const model::RowMap* rows = nullptr;  // order of the rows there; null = canonical
    };
    // The name in the checkpoint of a canonical module or tensor name (of `name` itself where no alias
    // says otherwise). {e} stays where it stands; a name that loses it holds all experts in one stack.
    Disk on_disk(const std::string& canonical) const;

    // True iff some tensor is called `module` + "." + anything.
    bool has_module(const std::string& module) const;

  private:
    const model::ModuleTree& tree_;
    const checkpoint::Catalog& catalog_;
    std::string name_space_;
    std::vector<model::Root> roots_;  // chosen
};

// Where an expert lies when all experts of a projection are kept as one stack.
struct StackPlace {
    std::string name;     // empty: no expert, or the architecture names no such stack
    uint64_t expert = 0;  // 0 for the name of all of them
};
// Effect: the place of "layers.3.experts.7.up" or "layers.3.experts.{e}.up" by the native aliases.
StackPlace stack_place(const model::ModuleTree& tree, const std::string& canonical);

// "a.{i}.b" against "a.12.b" -> "12"; nothing when it does not match. A pattern without {i} must be equal.
std::optional<std::string> match_index(std::string_view pattern, std::string_view name);
// A name with {e}: one for each expert.
bool has_members(std::string_view name);
// That of expert `e`; a name without {e} as it is.
std::string member_name(std::string_view name, uint64_t e);
// Puts `value` in the place of `hole` ("{i}", "{e}").
std::string fill(std::string_view pattern, std::string_view hole, std::string_view value);

}  // namespace mortise::plan
