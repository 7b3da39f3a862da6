// The state of one resolution, shared by its stages. Private to the plan.
//
// Stages, in order: resolve_caches (first: its numbers may lie under a linear's name and are none of its own)
// -> resolve_weights (sources, parts, vectors) -> resolve_ties -> resolve_leftovers -> check_companions ->
// check_rules -> check_config_keys. Each adds to `problems` and goes on, so that one run reports all.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/names.h"
#include "plan/plan.h"
#include "plan/scheme_model.h"

namespace mortise::plan {

struct Resolver {
    const Options& options;
    const checkpoint::Checkpoint& checkpoint;
    SchemeModel& scheme;
    LoadPlan& plan;
    Names names;
    Problems problems;
    std::vector<bool> used;                                     // [catalog tensors] consumed or dropped
    std::set<const checkpoint::TensorEntry*> of_cache;          // numbers of KV caches
    std::map<std::string, uint32_t> source_ids;                 // by disk name
    std::map<uint32_t, std::vector<uint32_t>> parts_of_weight;  // weight id -> PartPlan indexes

    const checkpoint::Catalog& catalog() const { return checkpoint.catalog; }
};

void resolve_weights(Resolver& r);
// Parts of resolve_weights: a linear; the banks of every mixture of experts, where experts whose specs differ
// in more than their data become banks of their own; heads and embeddings that share a table.
void resolve_linear(Resolver& r, uint32_t weight, const model::Linear& linear);
void resolve_banks(Resolver& r);
void resolve_ties(Resolver& r);
// Effect: true iff weight `head` is a quantized copy beside a float embedding of a model whose config ties
// them; then its tensors are dropped together and the embedding serves both.
bool drop_redundant_head(Resolver& r, uint32_t head);
void resolve_caches(Resolver& r);
void resolve_leftovers(Resolver& r);
void check_companions(Resolver& r);
void check_rules(Resolver& r);
void check_config_keys(Resolver& r);

ModuleQuery query_of(const Resolver& r, const std::string& canonical, const model::Linear& linear,
                     uint64_t rows);
// Effect: the source for this module, asked once and checked against the catalog; none after a problem.
uint32_t find_source(Resolver& r, const ModuleQuery& query);
// True iff the module has tensors of its own (those of a KV cache kept under its name do not count).
bool has_weights(const Resolver& r, const std::string& disk_module);

// Effect: parameters and moves of all roles of a part. Requires: part's sources and ranges are set.
void add_moves(Resolver& r, uint32_t part);
// Effect: one part plan over `sources` for this rank.
uint32_t add_part(Resolver& r, PartPlan part);

struct Range {
    uint64_t first = 0, count = 0;
};
// Effect: this rank's share of `extent` elements in `units` equal units. `most_units`: of the part with most
// units among those that share the split; a part with fewer units than ranks is replicated when another has
// enough. Errors: partition_indivisible.
Result<Range> share(uint64_t extent, uint64_t units, uint64_t most_units, uint32_t rank, uint32_t size,
                    const std::string& name);

}  // namespace mortise::plan
