// Which of the plugins found may be used: the deployment's filters, variables that switch plugins off,
// double ids, requirements and conflicts. Touches no library, except to compare twins.
//
// Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "registry/registry.h"

namespace mortise::registry {

// Effect: sets state and reason of every candidate that may not be used; appends to `warnings` each filter
// that matches nothing. Order: deny, disable, allow, then pins, so that a pin can bring one back.
void apply_filters(const Options& options, std::vector<Candidate>& candidates,
                   std::vector<std::string>& warnings);

// Effect: of candidates with one id, a pin decides; equal copies count once; else all are `duplicate`.
void settle_duplicates(const Options& options, std::vector<Candidate>& candidates);

// Effect: candidates whose requirements are not there, or whose conflict is, are off.
void settle_relations(const Options& options, std::vector<Candidate>& candidates);

// Effect: shell pattern against a whole id.
bool matches(const std::string& pattern, const std::string& id);

}  // namespace mortise::registry
