// Canonical rows of a planned part, tile by tile, straight from the file. What packing, digests, export and
// diff have in common.
//
// Layouts whose rows lie one after the other are read in windows of at most about 1 MiB per thread; of the
// others one tensor (or one expert of a stack) is held at a time.
#pragma once

#include <functional>
#include <span>

#include "base/result.h"
#include "base/team.h"
#include "checkpoint/catalog.h"
#include "mortise/abi_kernels.h"
#include "plan/load_plan.h"
#include "quant/reader.h"

namespace mortise::plan {
class Planned;
}

namespace mortise::load {

// What is loaded, and from where. Borrows; implicit, so that callers hand over what they have.
struct Origin {
    const plan::LoadPlan& plan;
    const checkpoint::Catalog& catalog;
    Origin(const plan::LoadPlan& p, const checkpoint::Catalog& c) : plan(p), catalog(c) {}
    Origin(const plan::Planned& planned);
};

// Counts what was read and written; one per load, shared by threads (load/ledger.h).
struct Ledger;

using Consume = std::function<Status(const mortise_tile&)>;

struct StreamOptions {
    uint32_t row_tile = 1;     // tiles start at multiples of this
    bool cast = false;         // weights as executed, not as stored
    Team* team = nullptr;      // null: this thread alone, tiles in ascending order of expert and row
    Ledger* ledger = nullptr;  // null: nothing is counted
    quant::Extras* extras =
        nullptr;  // filled with what belongs to the part besides its rows, experts in a row
};

// Effect: calls `consume(tile)` for every tile of rows of part `part` on this rank, tiles in no fixed order
// when there is a team; a tile is valid during the call. Obligations of the part's fields are checked on the
// way. Errors: those of consume, file_*, value_*, out_of_memory.
Status for_each_tile(const Origin& origin, uint32_t part, const StreamOptions& options,
                     const Consume& consume);

// The same for a whole module as it lies on disk, in its own row order (rows of the source, not of a part).
Status for_each_source_tile(const Origin& origin, uint32_t source, const StreamOptions& options,
                            const Consume& consume);

}  // namespace mortise::load
