// Lets an architecture plugin build the module tree. Private to the plan.
#pragma once

#include "model/tree.h"
#include "mortise/abi_architecture.h"
#include "plan/host_view.h"

namespace mortise::plan {

// Effect: the tree that `architecture` (plugin `id`) describes for the config object `config`.
// Errors: the plugin's own, or internal when what it builds is no model.
Result<model::ModuleTree> build_tree(const mortise_architecture_v1& architecture, std::string_view id,
                                     const json::Node& config);

// Effect: the object that governs the text model: text_config of a wrapper, else the root.
const json::Node& governing_config(const json::Node& root);

}  // namespace mortise::plan
