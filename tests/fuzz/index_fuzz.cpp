// An index is refused, or names only plain files and is in order.
#include <cstdint>

#include "checkpoint/index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto index = mortise::checkpoint::parse_index({reinterpret_cast<const char*>(data), size}, "index");
    if (!index) return 0;
    MORTISE_INVARIANT(!index->lines.empty());
    for (const auto& file : index->files) MORTISE_INVARIANT(mortise::checkpoint::plain_shard_name(file));
    for (size_t i = 0; i < index->lines.size(); ++i) {
        MORTISE_INVARIANT(index->lines[i].file < index->files.size());
        MORTISE_INVARIANT(i == 0 || index->lines[i - 1].tensor < index->lines[i].tensor);
    }
    return 0;
}
