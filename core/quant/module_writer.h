// What ModuleWriter holds; for the files of this room that fill it.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>

#include "quant/elements.h"
#include "quant/encode.h"

namespace mortise::quant {

// A field that is written: its place and its compiled map.
struct Slot {
    const Field* field = nullptr;
    uint32_t encoding = 0, bits = 0;
    size_t tensor = 0;
    Copier copier(uint64_t column0, uint64_t columns) const {
        return Copier(field->layout, field->extent, bits, column0, columns);
    }
};

struct ModuleWriter::Rep {
    explicit Rep(const QuantSpec& target) : spec(target) {}

    QuantSpec spec;
    std::map<uint32_t, Slot> slots;  // by role
    std::vector<WrittenTensor> tensors;
    std::mutex mutex;  // of what quantize() writes: rows of several threads may share bytes
    std::map<size_t, std::vector<std::byte>> corrected;  // tensors as stored, where words carry a bias

    const Slot* slot(uint32_t role) const;
    // Effect: writes elements [rows][columns] of one expert of the field. Errors: value_range.
    Status write(const Slot& slot, uint64_t expert, std::span<const uint64_t> rows, uint64_t column0,
                 uint64_t columns, std::span<const double> values);
    // The same, values that do not fit are clamped without a word: the caller compares what was decoded.
    void write_clamped(const Slot& slot, uint64_t expert, std::span<const uint64_t> rows, uint64_t column0,
                       uint64_t columns, std::span<const double> values);
    // Effect: canonical codes of rows of one expert (as in a tile of this spec) into the codes' tensor.
    void write_codes(uint64_t expert, std::span<const uint64_t> rows, std::span<uint8_t> codes);
    void write_plain(uint64_t expert, std::span<const uint64_t> rows, std::span<const float> weights);
    // What ModuleWriter::copy_companions does.
    Status copy_companions(const QuantSpec& from, const Sources& bytes, const Origin& origin);
    // The stored bytes of a tensor: with the bias taken off its words.
    void correct();
};

// Field element that a level has for a row and a column of the module.
inline uint64_t level_row(const Level& level, uint64_t row) {
    if (!level.row_splits.empty()) {
        auto at = std::ranges::upper_bound(level.row_splits, row);
        return static_cast<uint64_t>(at - level.row_splits.begin());
    }
    return level.row_group ? row / level.row_group : 0;
}
inline uint64_t level_column(const Level& level, uint64_t column) {
    return level.column_group ? column / level.column_group : 0;
}

}  // namespace mortise::quant
