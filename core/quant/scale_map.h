// One scale level, zero point or addend: values for each row and column group of a tile. For this room only.
#pragma once

#include <memory>
#include <vector>

#include "quant/elements.h"

namespace mortise::quant {

// Columns of a tile and how they fall into groups.
struct Grouping {
    uint64_t column0 = 0, columns = 0;
    uint64_t size = 1;     // columns per group
    uint64_t count = 1;    // groups covered
    uint64_t phase = 0;    // by how much the first group is shortened
    bool indexed = false;  // groups come from a column map: all of them are covered
};

class ScaleMap {
  public:
    // Errors: as PartReader::make.
    static Result<ScaleMap> make(const QuantSpec& spec, const Level& level, const Sources& sources,
                                 const Grouping& grouping);

    // Effect: out[r][g] = value of row rows[r] and group g. Scratch arrays belong to the caller.
    void fill(uint64_t expert, std::span<const uint64_t> rows, std::vector<uint64_t>& raw,
              std::vector<float>& values, float* out) const;
    bool divides() const { return level_.divide; }
    // Are encoding and bits those of integers? Then values are exact integers.
    uint64_t groups() const { return grouping_.count; }

  private:
    ScaleMap() = default;
    Status read_flat();
    uint64_t field_row(uint64_t row) const;
    void fill_flat(uint64_t expert, std::span<const uint64_t> rows, float* out) const;

    Level level_;
    Grouping grouping_;
    uint64_t spec_columns_ = 0, spec_rows_ = 0;
    bool constant_ = true;
    float value_ = 1;
    BoundField bound_;
    std::shared_ptr<const Copier> copier_;
    std::vector<float> table_;
    std::vector<uint64_t> column_of_group_;  // index among the copied columns
    std::vector<std::vector<float>> flat_;   // [experts of the field][elements]
};

}  // namespace mortise::quant
