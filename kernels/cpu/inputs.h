// The input of a linear group as its parts read it: prepared by the rules of their specs, in the order of
// their packed columns, padded, and where the backend wants that, as bf16 tiles. All of it lies in the
// workspace. Threads: prepare() by all of a team at once, the rest from anywhere.
#pragma once

#include <memory>
#include <vector>

#include "kernel.h"
#include "mortise/sdk/operators.h"
#include "packer.h"

namespace mortise::cpu {

using Parts = std::vector<std::unique_ptr<PackedPart>>;

class GroupInputs {
  public:
    // All of them outlive this. Parts of other widths than the first one are not meant.
    GroupInputs(const mortise_problem& problem, const Backend& backend, const Parts& parts);

    uint64_t bytes() const;  // at the start of the workspace, a multiple of 64

    // Effect: fills what rows() and tiles() give; ends with a barrier if there is anything to fill.
    void prepare(const mortise_arguments& a, const mortise_team& team,
                 const std::vector<mortise_extras>& extras, bool as_tiles) const;

    Inputs rows(const mortise_arguments& a, uint32_t part) const;
    const uint16_t* tiles(const mortise_arguments& a, uint32_t part) const;
    // One factor per row that was taken out of the part's input and belongs on its result, or null.
    const float* factors(const mortise_arguments& a, uint32_t part) const;

  private:
    const mortise_spec& spec(uint32_t part) const { return *problem_.parts[part]->spec; }
    bool prepares(uint32_t part) const { return sdk::prepares_input(spec(part), problem_.activations); }
    bool same_input(uint32_t a, uint32_t b) const;
    bool splits_rows(uint32_t part) const;
    uint8_t* at(const mortise_arguments& a, uint64_t offset) const {
        return sdk::pointer<uint8_t>(a.workspace) + offset;
    }
    float* slot(const mortise_arguments& a, uint32_t index) const;
    float* slot_factors(const mortise_arguments& a, uint32_t index) const;
    uint16_t* slot_tiles(const mortise_arguments& a, uint32_t index) const;
    Inputs slot_rows(const mortise_arguments& a, uint32_t index) const;
    void fill(const mortise_arguments& a, const mortise_extras& extras, uint32_t index, sdk::Share rows,
              float* spare) const;
    void split(const mortise_arguments& a, const mortise_extras& extras, uint32_t index,
               sdk::Share rows) const;
    void make_tiles(const mortise_arguments& a, uint32_t index, sdk::Share rows) const;

    const mortise_problem& problem_;
    const Backend& backend_;
    const Parts& parts_;
    std::vector<uint32_t> slots_, owners_;  // slot of each part; the part that fills each slot
    bool raw_ = false;                      // some part reads the operator's own input
    uint64_t slot_bytes_ = 0, tile_bytes_ = 0, spare_bytes_ = 0;
    uint64_t factor_offset_ = 0;  // within a slot
};

}  // namespace mortise::cpu
