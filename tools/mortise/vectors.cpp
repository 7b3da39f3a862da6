#include "mortise/vectors.h"

#include <charconv>

#include "base/file.h"
#include "mortise/vectors_config.h"

namespace mortise::tool {
namespace {

const std::string layer = "model.layers.0.mlp.down_proj";
const std::string stack = "model.layers.0.mlp.experts.gate_up_proj";

Result<std::string> from_hex(const json::Node& node) {
    MORTISE_TRY(const std::string_view text, node.as_string());
    std::string out(text.size() / 2, '\0');
    bool good = text.size() % 2 == 0;
    for (size_t i = 0; i < out.size() && good; ++i) {
        uint8_t byte = 0;
        const char* end = text.data() + 2 * i + 2;
        good = std::from_chars(end - 2, end, byte, 16).ptr == end;
        out[i] = static_cast<char>(byte);
    }
    if (good) return out;
    return fail(node.problem(Code::json_type, "expected pairs of hexadecimal digits"));
}

std::string text(const json::Node& config, std::string_view key, std::string otherwise = {}) {
    const json::Node* node = config.find_value(key);
    return node ? node->text() : otherwise;
}

// A block format has no dtype: its tensor is a row of bytes whose encoding a container would name.
void make_block(const std::string& type, VectorCase& v) {
    v.name_space = "gguf";
    for (VectorTensor& tensor : v.tensors) {
        tensor.name = layer + ".weight";
        tensor.encoding = type;
        const auto rows = static_cast<int64_t>(v.query.rows);
        tensor.shape = {rows, static_cast<int64_t>(tensor.bytes.size()) / rows};
    }
}

Result<uint64_t> extent(const json::Node& dims, std::string_view key, uint64_t otherwise) {
    const json::Node* node = dims.find_value(key);
    if (!node) return otherwise;
    MORTISE_TRY(const int64_t value, node->as_int());
    if (value < 1 || value > 1 << 20)
        return fail(node->problem(Code::json_type, "expected an extent from 1 to 2^20"));
    return static_cast<uint64_t>(value);
}

Status read_tensors(const json::Node& list, VectorCase& v, const std::string& module) {
    for (size_t i = 0; i < list.size(); ++i) {
        const json::Node& node = *list.items()[i];
        VectorTensor tensor;
        const std::string& name = list.keys()[i];
        tensor.name = v.query.experts > 1 || name.find("gate_up_proj") == 0
                          ? module.substr(0, module.rfind('.') + 1) + name
                          : module + "." + name;
        const auto dtype = parse_dtype(text(node, "dtype"));
        const json::Node* shape = node.find("shape");
        if (!dtype || !shape)
            return fail(
                node.problem(Code::json_type, "a tensor of a vector needs a known dtype and a shape"));
        tensor.dtype = *dtype;
        for (const auto& dim : shape->items()) {
            MORTISE_TRY(const int64_t size, dim->as_int());
            tensor.shape.push_back(size);
        }
        if (const json::Node* hex = node.find("hex")) {
            MORTISE_TRY(tensor.bytes, from_hex(*hex));
        } else {
            tensor.bytes.assign(dense_bytes(tensor.dtype, tensor.shape).value_or(0), '\0');
        }
        v.tensors.push_back(std::move(tensor));
    }
    return {};
}

// Floats that the layer must decode to, in one text or in several.
Result<std::string> read_floats(const json::Node& expected) {
    const json::Node* w = expected.find("w") ? expected.find("w") : expected.find("w_int4");
    const json::Node* hex = w ? w->find("f32_hex") : nullptr;
    if (!hex) return fail(expected.problem(Code::json_type, "a vector needs expected.w.f32_hex"));
    if (hex->kind() != json::Kind::array) return from_hex(*hex);
    std::string floats;
    for (const auto& item : hex->items()) {
        MORTISE_TRY(const std::string piece, from_hex(*item));
        floats += piece;
    }
    return floats;
}

Result<VectorCase> read_case(const json::Node& node) {
    VectorCase v{.id = text(node, "id")};
    const json::Node *dims = node.find("dims"), *tensors = node.find("tensors");
    if (!dims || !tensors || !node.find("config"))
        return fail(node.problem(Code::json_type, "a vector needs config, dims and tensors"));
    v.query.name = v.query.canonical = dims->find("E") ? stack : layer;
    MORTISE_TRY(v.query.experts, extent(*dims, "E", 1));
    MORTISE_TRY(v.query.rows, extent(*dims, "N", 1));
    MORTISE_TRY(v.query.columns, extent(*dims, "K", 0));
    v.query.part_names = {v.query.name};
    v.query.part_rows = {v.query.rows};
    MORTISE_CHECK(read_tensors(*tensors, v, v.query.name));
    if (v.query.columns == 0) v.query.rows = v.query.columns = 16;  // a case about the config alone
    const PublishedConfig published = published_config(node);
    v.config = published.config, v.side_file = published.side_file, v.side_bytes = published.side_bytes;
    if (const std::string type = gguf_type(node); !type.empty()) make_block(type, v);
    if (const json::Node* error = node.find("error")) v.stated = error->text();
    if (const json::Node* expected = node.find("expected")) {
        MORTISE_TRY(v.expected, read_floats(*expected));
    }
    return v;
}

}  // namespace

Result<std::vector<VectorCase>> read_vectors(const json::Document& document) {
    std::vector<VectorCase> out;
    for (const char* key : {"vectors", "reject_cases"}) {
        const json::Node* list = document.root().find(key);
        if (!list) continue;
        for (const auto& node : list->items()) {
            MORTISE_TRY(auto v, read_case(*node));
            out.push_back(std::move(v));
        }
    }
    return out;
}

Result<checkpoint::Checkpoint> make_checkpoint(const VectorCase& vector, const std::string& path) {
    checkpoint::Checkpoint checkpoint;
    checkpoint.path = path;
    checkpoint.folder = path.substr(0, path.rfind('/') + 1);
    checkpoint.name_space = vector.name_space;
    checkpoint.virtual_files["config.json"] = {vector.config, vector.id + ": config.json"};
    if (!vector.side_file.empty())
        checkpoint.virtual_files[vector.side_file] = {vector.side_bytes, vector.id + ": " + vector.side_file};
    std::string data;
    for (const VectorTensor& tensor : vector.tensors) data += tensor.bytes;
    MORTISE_CHECK(write_atomically(path, data));
    checkpoint::CatalogBuilder builder;
    MORTISE_TRY(File file, File::open(path));
    const uint32_t index = builder.add_file(path, std::move(file));
    uint64_t at = 0;
    for (const VectorTensor& tensor : vector.tensors) {
        builder.add(
            {tensor.name, tensor.dtype, tensor.shape, index, at, tensor.bytes.size(), tensor.encoding});
        at += tensor.bytes.size();
    }
    MORTISE_TRY(checkpoint.catalog, std::move(builder).finish());
    return checkpoint;
}

}  // namespace mortise::tool
