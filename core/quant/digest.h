// Digests that tell whether two checkpoints hold the same weights.
//
// values: SHA-256 of the decoded weights, little-endian f32, row-major. spec: the same codes, offsets and
// effective scales, whatever dialect, packing, fusion or sharding brought them. act: the activation rule.
// Tiles come in the order of rows (experts one after another), whole rows each. One thread per object.
#pragma once

#include <string>
#include <vector>

#include "base/sha256.h"
#include "quant/reader.h"

namespace mortise::quant {

class ValueDigest {
  public:
    // Requires: whole rows, in order; tiles without execution cast.
    void add(const mortise_tile& tile);
    std::string finish() { return sha_.hex(); }

  private:
    Sha256 sha_;
    std::vector<float> values_;
};

// SHA-256 over the kind of code and the digests of: codes less 2^(bits-1), one byte each; offsets less the
// same; effective scales; addends; a column map that is not the plain one; what the extras hold. Each stream
// is hashed apart, so that one pass over the tiles is enough.
class SpecDigest {
  public:
    explicit SpecDigest(const QuantSpec& spec);
    // Requires: as ValueDigest::add.
    void add(const mortise_tile& tile);
    // Effect: the digest. `extras` of all rows, in the order of the rows.
    std::string finish(const Extras& extras);

  private:
    QuantSpec spec_;
    Sha256 codes_, offsets_, scales_, addends_;
    std::string table_, map_;
    uint64_t rows_ = 0, columns_ = 0, groups_ = 0;
    std::vector<float> scratch_;
    std::vector<uint8_t> bytes_;
};

// Effect: the canonical text of an activation rule with its stored scales: equal text, equal rule.
std::string activation_text(const QuantSpec& spec, const Extras& extras);
std::string activation_digest(const QuantSpec& spec, const Extras& extras);

}  // namespace mortise::quant
