// One module of the file, whole and in memory, and its weights in another spec. What converting and
// quantizing while loading have in common. Thread-safe for different modules.
#pragma once

#include <optional>

#include "base/team.h"
#include "load/ledger.h"
#include "quant/encode.h"

namespace mortise::load {

// The fields of a module; borrows from itself.
struct ModuleBytes {
    std::vector<std::vector<std::byte>> tensors;
    quant::Sources fields{};
};

// Effect: reads every field that a part may pull and checks its obligations. Errors: file_*, value_*.
Result<ModuleBytes> read_module(Ledger& ledger, uint32_t source);

// What a module becomes.
struct Rewriting {
    const plan::Source& from;
    const quant::QuantSpec& to;
    const quant::Quantizer& recipe;
    const std::vector<uint64_t>& rows;    // row of the source for each row written; empty = same order
    const std::vector<uint32_t>& absent;  // optional roles that are not written
    float shared_amax = 0;                // of the modules that share a second level; 0 = the module's own
    bool may_change = false;              // weights may be quantized again
    std::optional<uint64_t> expert = {};  // of `from`, alone; none: all of them
    Team* team = nullptr;                 // quantizes tiles of rows together; null: this thread alone
};
struct Rewritten {
    quant::ModuleWriter writer;
    quant::Change change;
};

// Effect: codes and scales as they are where `to` can say the same weights. Floats, and with may_change what
// cannot be kept, go through the recipe; of the two the closer one is taken. Errors: plugin_contract; lossy
// when something of the module has no place in `to`.
Result<Rewritten> rewrite(const Rewriting& what, const ModuleBytes& bytes);

// Effect: the largest magnitude among all modules of the plan that are remade with these words in common;
// read once per ledger. 0 for no words.
Result<float> shared_amax(Ledger& ledger, const std::string& words);
// Effect: the largest magnitude among the weights of a module, or of one of its experts.
Result<float> largest_weight(const plan::Source& source, const ModuleBytes& bytes,
                             std::optional<uint64_t> expert = {});

}  // namespace mortise::load
