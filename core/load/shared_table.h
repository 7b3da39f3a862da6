// A head and an embedding that the checkpoint holds twice, bit for bit: one table can serve both.
//
// The plan has planned two, because only the bytes can tell. Whether they are shared changes no result: it
// saves the memory of one. One thread.
#pragma once

#include <optional>
#include <vector>

#include "load/ledger.h"
#include "load/part_stream.h"

namespace mortise::load {

struct SharedTable {
    uint32_t embedding = 0, head = 0;  // kernels of the plan; the head's serves both
    plan::KernelPlan kernel;           // the head's, bound anew so that it also gathers
};

// Effect: the pair, when head and embedding are plain, equal in the file, and the head's provider has a
// kernel for both uses that is as good and needs no more workspace than was planned. Errors: file_*.
Result<std::optional<SharedTable>> find_shared_table(const Origin& origin, Ledger& ledger);

}  // namespace mortise::load
