// Raw fields to numbers, for this room only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "quant/reader.h"

namespace mortise::quant {

// Effect: out[i] = raw[i] as f32 under the encoding. Requires: no LOOKUP.
void decode_elements(uint32_t encoding, uint32_t bits, std::span<const uint64_t> raw, float* out);

// Effect: the dtype of that encoding. Requires: E2M1 ... E8M0.
DType small_type(uint32_t encoding);

// A field bound to bytes: what the dtype left open is settled, word-wide biases are already added.
struct BoundField {
    const Field* field = nullptr;
    FieldBytes source;
    uint32_t encoding = 0, bits = 0;
    std::vector<std::byte> corrected;  // a copy with the bias added to whole words

    // Errors: tensor_dtype, layout_invalid.
    static Result<BoundField> bind(const Field& field, const FieldBytes& source);
    const Layout& layout() const { return source.window ? *source.window : field->layout; }
    std::span<const std::byte> bytes() const {
        return corrected.empty() ? source.bytes : std::span<const std::byte>(corrected);
    }
    Copier copier(uint64_t column0, uint64_t columns) const {
        return Copier(layout(), field->extent, bits, column0, columns);
    }
    // Adds a bias that is stored per field.
    void unbias(std::span<uint64_t> raw) const;
    // Expert of the field for an expert of the spec: one for all, or each its own.
    uint64_t expert(uint64_t of_spec) const { return field->extent.experts == 1 ? 0 : of_spec; }
    // Effect: f32 values of rows x columns, [rows][columns]. `table` for LOOKUP.
    void read(const Copier& copier, uint64_t expert, std::span<const uint64_t> rows,
              const std::vector<float>& table, std::vector<uint64_t>& raw, float* out) const;
};

std::vector<uint64_t> all_rows(uint64_t rows);

}  // namespace mortise::quant
