// Canonical rows of a planned part, tile by tile, straight from the file. What packing, digests, export and
// diff have in common.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "base/team.h"
#include "mortise/abi_kernels.h"
#include "plan/plan.h"

namespace mortise::load {

// Counts what was read and written; one per load, shared by threads.
struct Ledger;

// Effect: calls `consume(tile)` for every tile of rows of part `part` on this rank (rows in multiples of
// `row_tile`, except the last), from all threads of the team, tiles in no fixed order; a tile is valid during
// the call. Obligations of the part's fields are checked on the way.
Status for_each_tile(const plan::Planned& planned, uint32_t part, uint32_t row_tile, Team& team, Ledger* ledger,
                     const std::function<Status(const mortise_tile&)>& consume);

// The same for a whole module as it lies on disk, in its own row order (rows of the source, not of a part).
Status for_each_source_tile(const plan::Planned& planned, uint32_t source, Team& team, Ledger* ledger,
                            const std::function<Status(const mortise_tile&)>& consume);

}  // namespace mortise::load
