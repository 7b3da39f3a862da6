// The golden vectors and the specs that represent them, built by hand: no scheme plugin is involved.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "quant/reader.h"

namespace mortise::quant::testing {

struct StoredTensor {
    DType dtype{};
    Shape shape;
    std::vector<std::byte> bytes;
};

struct Vector {
    std::string id;
    const json::Node* node = nullptr;
    std::map<std::string, StoredTensor> tensors;

    uint64_t dim(const char* name) const;  // 0 when absent
    const json::Node& expected() const { return *node->find("expected"); }
    const json::Node* config(const char* key) const { return node->find("config")->find(key); }
};

// All layers of the file, parsed once.
const std::vector<Vector>& vectors();
const Vector& vector(const std::string& id);

// f32 values given as little-endian hexadecimal under `key` of expected, e.g. "w".
std::vector<float> expected_floats(const Vector& vector, const char* key);
std::vector<std::byte> from_hex(std::string_view text);

// The spec of a vector by its id; and the bytes of each role.
QuantSpec spec_of(const Vector& vector);
Sources sources_of(const Vector& vector, const QuantSpec& spec);

// Pieces that specs are made of.
Field field_of(const Vector& vector, uint32_t role, const std::string& tensor, Extent extent);
Layout plane(uint32_t bits, std::vector<Term> terms, int64_t offset = 0);

}  // namespace mortise::quant::testing
