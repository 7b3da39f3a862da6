#include "quant/vectors.h"

#include <cstring>
#include <fstream>
#include <iterator>

namespace mortise::quant::testing {
namespace {

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

const json::Document& document() {
    static const json::Document parsed = [] {
        std::string path = std::string(MORTISE_SOURCE_DIR) + "/tests/golden/vectors/format_vectors.json";
        auto result = json::Document::parse(read_file(path), path);
        MORTISE_INVARIANT(result.has_value());
        return std::move(*result);
    }();
    return parsed;
}

StoredTensor stored(const json::Node& node) {
    StoredTensor out;
    out.dtype = *parse_dtype(*node.find("dtype")->as_string());
    for (const auto& dim : node.find("shape")->items()) out.shape.push_back(*dim->as_int());
    out.bytes = from_hex(*node.find("hex")->as_string());
    return out;
}

}  // namespace

std::vector<std::byte> from_hex(std::string_view text) {
    auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::vector<std::byte> out;
    for (size_t i = 0; i + 1 < text.size(); i += 2) {
        out.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
    }
    return out;
}

const std::vector<Vector>& vectors() {
    static const std::vector<Vector> all = [] {
        std::vector<Vector> out;
        for (const auto& node : document().root().find("vectors")->items()) {
            Vector& vector = out.emplace_back();
            vector.id = *node->find("id")->as_string();
            vector.node = node.get();
            const json::Node& tensors = *node->find("tensors");
            for (size_t i = 0; i < tensors.size(); ++i) {
                vector.tensors[tensors.keys()[i]] = stored(*tensors.items()[i]);
            }
        }
        return out;
    }();
    return all;
}

const Vector& vector(const std::string& id) {
    for (const Vector& v : vectors()) {
        if (v.id == id) return v;
    }
    MORTISE_INVARIANT(!"no such vector");
    return vectors().front();
}

uint64_t Vector::dim(const char* name) const {
    const json::Node* at = node->find("dims")->find(name);
    return at ? static_cast<uint64_t>(*at->as_int()) : 0;
}

std::vector<float> expected_floats(const Vector& vector, const char* key) {
    auto bytes = from_hex(*vector.expected().find(key)->find("f32_hex")->as_string());
    std::vector<float> out(bytes.size() / 4);
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
}

Field field_of(const Vector& vector, uint32_t role, const std::string& tensor, Extent extent) {
    const StoredTensor& stored = vector.tensors.at(tensor);
    Field out;
    out.role = role;
    out.extent = extent;
    out.tensor = tensor;
    out.dtypes = {stored.dtype};
    out.shapes = {stored.shape};
    return out;
}

Layout plane(uint32_t bits, std::vector<Term> terms, int64_t offset) {
    return {{{.bits = bits, .offset = offset, .terms = std::move(terms)}}};
}

Sources sources_of(const Vector& vector, const QuantSpec& spec) {
    Sources out;
    for (const Field& field : spec.fields) {
        const StoredTensor& stored = vector.tensors.at(field.tensor);
        out[field.role] = {.bytes = stored.bytes, .dtype = stored.dtype, .window = nullptr};
    }
    return out;
}

}  // namespace mortise::quant::testing
