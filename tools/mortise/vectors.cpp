#include "mortise/vectors.h"

#include "base/file.h"

namespace mortise::tool {
namespace {

const std::string layer = "model.layers.0.mlp.down_proj";
const std::string stack = "model.layers.0.mlp.experts.gate_up_proj";

Result<std::string> from_hex(const json::Node& node) {
    MORTISE_TRY(const std::string_view text, node.as_string());
    std::string out;
    const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0'; };
    for (size_t i = 0; i + 1 < text.size(); i += 2)
        out.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
    return out;
}

std::string text(const json::Node& config, std::string_view key, std::string otherwise = {}) {
    const json::Node* node = config.find_value(key);
    return node ? node->text() : otherwise;
}

std::string member(std::string_view key, const std::string& value) {
    return value.empty() ? "" : json::quote(key) + ": " + value + ", ";
}

// JSON of `node` with one more member in front.
std::string with(const std::string& first, const json::Node& node) {
    json::Writer w;
    std::string out = "{" + first;
    for (size_t i = 0; i < node.size(); ++i) {
        const json::Node& value = *node.items()[i];
        const bool quoted = value.kind() == json::Kind::string;
        if (value.kind() == json::Kind::object || value.kind() == json::Kind::array) continue;
        out +=
            json::quote(node.keys()[i]) + ": " + (quoted ? json::quote(value.text()) : value.text()) + ", ";
    }
    if (out.ends_with(", ")) out.resize(out.size() - 2);
    return out + "}";
}

// The vectors name a group's settings flat; the dialect nests them.
std::string grouped_config(const std::string& id, const json::Node& config) {
    std::string format = text(config, "format");
    const bool pack = format == "pack-quantized" || config.find("num_bits");
    const bool ints = format == "int-quantized", block = config.find("block") != nullptr;
    if (format.empty()) format = pack ? "pack-quantized" : "float-quantized";
    std::string weights = "\"dynamic\": false, ", inputs = "null";
    const std::string group = text(config, "group_size", "8");
    if (format.starts_with("nvfp4")) {
        weights +=
            R"("num_bits": 4, "type": "float", "symmetric": true, "strategy": "tensor_group", "group_size": 16)";
        inputs =
            id == "ct_nvfp4"
                ? R"({"num_bits": 4, "type": "float", "symmetric": true, "strategy": "tensor_group", "group_size": 16, "dynamic": "local"})"
                : "null";
    } else if (format.starts_with("mxfp")) {
        weights +=
            "\"num_bits\": " + std::string(format.starts_with("mxfp4") ? "4" : "8") +
            R"(, "type": "float", "symmetric": true, "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8")";
    } else if (pack) {
        const std::string symmetric = text(config, "symmetric", "true"), actorder = text(config, "actorder");
        const bool whole = group == "-1";
        weights += "\"num_bits\": " + text(config, "num_bits", "4") +
                   ", \"type\": \"int\", \"symmetric\": " + symmetric + ", \"strategy\": \"" +
                   (whole ? "channel" : "group") + "\"" + (whole ? "" : ", \"group_size\": " + group) +
                   (actorder.empty() || actorder == "false"
                        ? ""
                        : ", \"actorder\": \"" + (actorder == "true" ? "group" : actorder) + "\"");
    } else {
        weights += std::string("\"num_bits\": 8, \"type\": \"") + (ints ? "int" : "float") +
                   "\", \"symmetric\": true, \"strategy\": \"" +
                   (block ? "block\", \"block_structure\": [2, 4]" : "channel\"");
        inputs = std::string("{\"num_bits\": 8, \"type\": \"") + (ints ? "int" : "float") +
                 "\", \"symmetric\": true, \"strategy\": \"" +
                 (block ? "group\", \"group_size\": 4" : "token\"") + ", \"dynamic\": true}";
    }
    std::string transform;
    if (config.find("transform_config"))
        transform =
            R"("transform_config": {"config_groups": {"u": {"type": "unknown-rotation", "apply": [{"targets": ["Linear"], "location": "input"}]}}}, )";
    const std::string version = id.find("legacy") != std::string::npos ? "0.16.0" : "0.19.0";
    return "{\"quant_method\": \"compressed-tensors\", \"format\": \"" + format +
           "\", \"quantization_status\": \"compressed\", \"version\": \"" + version + "\", " + transform +
           "\"ignore\": [], \"kv_cache_scheme\": null, \"config_groups\": {\"group_0\": {\"format\": \"" +
           format + "\", \"targets\": [\"Linear\"], \"weights\": {" + weights +
           "}, \"input_activations\": " + inputs + ", \"output_activations\": null}}}";
}

bool is_grouped(const std::string& format, const json::Node& config) {
    return text(config, "quant_method") == "compressed-tensors" ||
           format.find("compressed-tensors") != std::string::npos ||
           text(config, "format").find("quantized") != std::string::npos || format == "pack-quantized" ||
           format.find("ct_") != std::string::npos || format.find("ct MX") != std::string::npos ||
           text(config, "strategy") == "channel";
}

void dress(const std::string& format, const json::Node& config, VectorCase& v) {
    const auto wrap = [](const std::string& q) { return "{\"quantization_config\": " + q + "}"; };
    if (format.starts_with("GGUF")) {
        v.name_space = "gguf";
        v.config = "{}";
        for (VectorTensor& tensor : v.tensors) {
            tensor.name = layer + ".weight";
            tensor.encoding = v.id.substr(v.id.find('_') + 1);
            for (char& c : tensor.encoding) c = static_cast<char>(std::tolower(c));
            tensor.shape = {1, static_cast<int64_t>(tensor.bytes.size())};
        }
    } else if (config.find("quantization")) {
        v.config = "{\"quantization\": " + with("", *config.find("quantization")) + "}";
    } else if (format == "mlx") {
        v.config = "{\"quantization\": " + with("", config) + "}";
    } else if (config.find("quant_algo") || text(config, "quant_method") == "modelopt" ||
               format.find("modelopt_pb_wo") != std::string::npos) {
        std::string algo =
            text(config, "quant_algo",
                 format.find("PER_CHANNEL") != std::string::npos ? "FP8_PER_CHANNEL_PER_TOKEN" : "");
        if (format.find("modelopt_pb_wo") != std::string::npos) algo = "fp8_pb_wo";
        const std::string block = config.find("block") ? ", \"weight_block_size\": [2, 4]" : "";
        v.config = wrap("{\"quant_method\": \"modelopt\", \"quant_algo\": " + json::quote(algo) +
                        ", \"ignore\": []" + block + "}");
        v.side_file = "hf_quant_config.json";
        v.side_bytes =
            "{\"producer\": {\"name\": \"modelopt\", \"version\": \"0.47.0\"}, \"quantization\": "
            "{\"quant_algo\": " +
            json::quote(algo) + ", \"kv_cache_quant_algo\": null, " +
            member("group_size", text(config, "group_size")) + "\"exclude_modules\": []" + block + "}}";
    } else if (format.find("deepseek") != std::string::npos) {
        v.config =
            wrap(R"({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [2, 4]})");
    } else if (v.id.starts_with("bnb_") || format.find("bitsandbytes") != std::string::npos) {
        const bool eight = v.id == "bnb_int8";
        v.config =
            wrap(eight ? R"({"quant_method": "bitsandbytes", "load_in_8bit": true, "load_in_4bit": false})"
                       : "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true, \"load_in_8bit\": "
                         "false, \"bnb_4bit_quant_type\": \"nf4\", "
                         "\"bnb_4bit_use_double_quant\": " +
                             std::string(v.id == "bnb_nf4_nested" ? "true}" : "false}"));
    } else if (is_grouped(format, config)) {
        v.config = wrap(grouped_config(v.id, config));
    } else if (text(config, "quant_method") == "fp8" && config.find("weight_block_size")) {
        v.config = wrap(
            R"({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})");
    } else if (text(config, "quant_method") == "fp8") {
        v.config = wrap("{\"quant_method\": \"fp8\", \"activation_scheme\": " +
                        json::quote(text(config, "activation_scheme", "dynamic")) + "}");
    } else {
        v.config = wrap(with("", config));
    }
}

Result<uint64_t> extent(const json::Node& dims, std::string_view key, uint64_t otherwise) {
    const json::Node* node = dims.find_value(key);
    if (!node) return otherwise;
    MORTISE_TRY(const int64_t value, node->as_int());
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
        tensor.dtype = parse_dtype(text(node, "dtype")).value_or(DType::u8);
        for (const auto& dim : node.find("shape")->items()) {
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

Result<VectorCase> read_case(const json::Node& node) {
    VectorCase v{.id = text(node, "id")};
    const json::Node *dims = node.find("dims"), *tensors = node.find("tensors"),
                     *config = node.find("config");
    if (!dims || !tensors || !config)
        return std::unexpected(
            Error(node.problem(Code::json_type, "a vector needs config, dims and tensors")));
    const bool stacked = dims->find("E") != nullptr;
    v.query.name = v.query.canonical = stacked ? stack : layer;
    MORTISE_TRY(v.query.experts, extent(*dims, "E", 1));
    MORTISE_TRY(v.query.rows, extent(*dims, "N", 1));
    MORTISE_TRY(v.query.columns, extent(*dims, "K", 0));
    v.query.part_names = {v.query.name};
    v.query.part_rows = {v.query.rows};
    MORTISE_CHECK(read_tensors(*tensors, v, v.query.name));
    if (v.query.columns == 0) v.query.rows = v.query.columns = 16;  // a case about the config alone
    dress(text(node, "format"), *config, v);
    if (const json::Node* error = node.find("error")) v.stated = error->text();
    const json::Node* expected = node.find("expected");
    if (!expected) return v;
    const json::Node* w = expected->find("w") ? expected->find("w") : expected->find("w_int4");
    if (!w || !w->find("f32_hex"))
        return std::unexpected(
            Error(expected->problem(Code::json_type, "a vector needs expected.w.f32_hex")));
    const json::Node& hex = *w->find("f32_hex");
    if (hex.kind() == json::Kind::string) {
        MORTISE_TRY(v.expected, from_hex(hex));
    } else {
        for (const auto& item : hex.items()) {
            MORTISE_TRY(const std::string piece, from_hex(*item));
            v.expected += piece;
        }
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
