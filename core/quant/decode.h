// The reference decode: what a tile's weights are, bit for bit. The oracle of every kernel.
//
// Formula and order of roundings as abi_quant.h states. Thread-safe.
#pragma once

#include <vector>

#include "base/result.h"
#include "quant/reader.h"

namespace mortise::quant {

// Effect: out[r][c] = weight of the tile, f32 [rows][columns]; with the execution cast iff the tile carries
// one. Requires: a tile as mortise_tile documents, with its spec.
void decode_tile(const mortise_tile& tile, float* out);

// Effect: value of each 8-bit code of a float encoding (E2M1 ... E8M0). Requires: such an encoding.
const float* code_values(uint32_t encoding);  // [256]

// Effect: one raw element of a field as a number. Requires: bits as the encoding says.
double element_value(uint32_t encoding, uint32_t bits, uint64_t raw);

// Effect: the weights of a whole module in its own row order, [experts][rows][columns].
// Errors: as PartReader.
Result<std::vector<float>> decode_all(const QuantSpec& spec, const Sources& sources);

}  // namespace mortise::quant
