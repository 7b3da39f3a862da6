// Quantizing while loading: what the float modules of a plan become. Private to the plan.
#pragma once

#include <string>

#include "plan/host_view.h"
#include "plan/load_plan.h"
#include "registry/registry.h"

namespace mortise::plan {

// Effect: every module that the dialect codes gets its Remake, the moves of its weights say so. `dialect` is
// an id with options: "some:g64". Nothing happens when the checkpoint is in that dialect already and no
// options are given. Errors: lossy when modules are coded already (naming one); unsupported_scheme; the
// plugin's own.
Status plan_quantization(CheckpointView& view, registry::Registry& registry, const std::string& dialect,
                         LoadPlan& plan);

// Effect: row of the source for each row written in Hugging Face order; empty = the same order.
std::vector<uint64_t> rows_in_order(const LoadPlan& plan, uint32_t source);
// Effect: the optional roles of `to` that the source has nothing for.
std::vector<uint32_t> absent_roles(const Source& source, const quant::QuantSpec& to);

}  // namespace mortise::plan
