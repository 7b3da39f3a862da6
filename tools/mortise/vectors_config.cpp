#include "mortise/vectors_config.h"

#include <algorithm>
#include <cctype>

namespace mortise::tool {
namespace {

std::string text(const json::Node& object, std::string_view key, std::string otherwise = {}) {
    const json::Node* node = object.find_value(key);
    return node ? node->text() : otherwise;
}

void copy_scalars(json::Writer& w, const json::Node& object) {
    for (size_t i = 0; i < object.size(); ++i) {
        const json::Node& value = *object.items()[i];
        if (value.kind() == json::Kind::object || value.kind() == json::Kind::array) continue;
        const bool quoted = value.kind() == json::Kind::string;
        w.key(object.keys()[i]).raw(quoted ? json::quote(value.text()) : value.text());
    }
}

// What a vector says of itself.
class Vector {
  public:
    explicit Vector(const json::Node& node)
        : id(text(node, "id")),
          format(text(node, "format")),
          config(*node.find("config")),
          tensors_(*node.find("tensors")),
          dims_(node.find("dims")) {}

    const std::string id, format;
    const json::Node& config;

    bool is(std::string_view part) const { return format.find(part) != std::string::npos; }
    bool says(std::string_view key) const { return config.find(key) != nullptr; }
    bool says(std::string_view key, std::string_view value) const { return text(config, key) == value; }
    bool has(std::string_view tensor) const { return tensors_.find(tensor) != nullptr; }
    // The dtype of a tensor as the file states it, or "".
    std::string dtype(std::string_view tensor) const {
        const json::Node* node = tensors_.find(tensor);
        return node ? text(*node, "dtype") : "";
    }
    bool has_tensor_like(std::string_view part) const {
        for (const std::string& name : tensors_.keys())
            if (name.find(part) != std::string::npos) return true;
        return false;
    }
    // Rows and columns of a block of scales, as JSON.
    std::string block() const {
        for (std::string_view key : {"block", "weight_block_size"})
            if (const json::Node* sizes = config.find_value(key); sizes && sizes->size() == 2)
                return "[" + sizes->items()[0]->text() + ", " + sizes->items()[1]->text() + "]";
        if (dims_ && dims_->find("bn") && dims_->find("bk"))
            return "[" + text(*dims_, "bn") + ", " + text(*dims_, "bk") + "]";
        return "";
    }

  private:
    const json::Node& tensors_;
    const json::Node* dims_;
};

std::string wrap(const std::string& quantization) {
    return "{\"quantization_config\": " + quantization + "}";
}

std::string as_stated(const json::Node& object) {
    json::Writer w;
    copy_scalars(w.begin_object(), object);
    return w.end_object().take();
}

// --- compressed-tensors

bool is_grouped(const Vector& v) {
    if (v.says("quant_method", "compressed-tensors")) return true;
    if (v.says("quant_method") || v.says("quant_algo")) return false;
    for (std::string_view part : {"compressed-tensors", "ct_", "ct MX", "pack-quantized"})
        if (v.is(part)) return true;
    return text(v.config, "format").find("quantized") != std::string::npos || v.says("strategy");
}

void arguments(json::Writer& w, std::string_view type, const std::string& bits, std::string_view strategy) {
    w.entry("type", type).key("num_bits").raw(bits).entry("strategy", strategy);
}

void packed_weights(json::Writer& w, const Vector& v) {
    const std::string group = text(v.config, "group_size", "-1");
    arguments(w, "int", text(v.config, "num_bits", "4"), group == "-1" ? "channel" : "group");
    if (group != "-1") w.key("group_size").raw(group);
    w.key("symmetric").raw(text(v.config, "symmetric", "true"));
    const std::string order = text(v.config, "actorder", "false");
    if (order != "false") w.entry("actorder", order == "true" ? "group" : order);
}

// Both of a layer whose weights and inputs share a type: 8 bits, inputs quantized as they come.
void eight_bits(json::Writer& w, const Vector& v, std::string_view type, bool of_weights) {
    const std::string block = v.block();
    if (of_weights) {
        arguments(w, type, "8", block.empty() ? "channel" : "block");
        if (!block.empty()) w.key("block_structure").raw(block);
    } else {
        arguments(w, type, "8", block.empty() ? "token" : "group");
        if (!block.empty())
            w.key("group_size").raw(block.substr(block.find(' ') + 1, block.size() - block.find(' ') - 2));
        w.entry("dynamic", true);
    }
    w.entry("symmetric", true);
}

std::string grouped_format(const Vector& v) {
    if (const std::string stated = text(v.config, "format"); !stated.empty()) return stated;
    return v.has("weight_packed") || v.says("num_bits") ? "pack-quantized" : "float-quantized";
}

void weights(json::Writer& w, const Vector& v, const std::string& format) {
    w.key("weights").begin_object().entry("dynamic", false);
    if (format.starts_with("nvfp4")) {
        arguments(w, "float", "4", "tensor_group");
        w.entry("group_size", 16).entry("symmetric", true);
    } else if (format.starts_with("mxfp")) {
        arguments(w, "float", format.starts_with("mxfp4") ? "4" : "8", "group");
        w.entry("group_size", 32).entry("symmetric", true).entry("scale_dtype", "torch.uint8");
    } else if (format == "pack-quantized") {
        packed_weights(w, v);
    } else {
        eight_bits(w, v, format == "int-quantized" ? "int" : "float", true);
    }
    w.end_object();
}

void inputs(json::Writer& w, const Vector& v, const std::string& format) {
    w.key("input_activations");
    if (format.starts_with("nvfp4") && v.has("input_global_scale")) {
        arguments(w.begin_object(), "float", "4", "tensor_group");
        w.entry("group_size", 16).entry("symmetric", true).entry("dynamic", "local").end_object();
    } else if (format == "int-quantized" || format == "float-quantized") {
        eight_bits(w.begin_object(), v, format == "int-quantized" ? "int" : "float", false);
        w.end_object();
    } else {
        w.null();
    }
}

std::string grouped_config(const Vector& v) {
    const std::string format = grouped_format(v);
    // Version 0.17 packs fields across words; before, a word held whole fields only. No shape tells which.
    const bool legacy = v.id.find("legacy") != std::string::npos;
    json::Writer w;
    w.begin_object().entry("quant_method", "compressed-tensors").entry("format", format);
    w.entry("quantization_status", "compressed").entry("version", legacy ? "0.16.0" : "0.19.0");
    if (v.says("transform_config")) {
        w.key("transform_config").begin_object().key("config_groups").begin_object().key("u").begin_object();
        w.entry("type", "unknown-rotation").key("apply").begin_array().begin_object();
        w.key("targets").begin_array().value("Linear").end_array().entry("location", "input");
        w.end_object().end_array().end_object().end_object().end_object();
    }
    w.key("ignore").begin_array().end_array().key("kv_cache_scheme").null();
    w.key("config_groups").begin_object().key("group_0").begin_object().entry("format", format);
    w.key("targets").begin_array().value("Linear").end_array();
    weights(w, v, format);
    inputs(w, v, format);
    w.key("output_activations").null().end_object().end_object();
    return w.end_object().take();
}

// --- ModelOpt

bool is_modelopt(const Vector& v) {
    if (v.says("quant_method")) return v.says("quant_method", "modelopt");
    return v.says("quant_algo") || v.is("modelopt");
}

PublishedConfig modelopt_config(const Vector& v) {
    const std::string algorithm = text(v.config, "quant_algo",
                                       v.is("pb_wo")         ? "fp8_pb_wo"
                                       : v.is("PER_CHANNEL") ? "FP8_PER_CHANNEL_PER_TOKEN"
                                                             : "");
    const auto settings = [&](json::Writer& w) {
        w.entry("quant_algo", algorithm);
        if (const std::string block = v.block(); !block.empty()) w.key("weight_block_size").raw(block);
    };
    json::Writer config, side;
    config.begin_object().entry("quant_method", "modelopt");
    settings(config);
    config.key("ignore").begin_array().end_array().end_object();
    side.begin_object().key("producer").begin_object().entry("name", "modelopt");
    side.entry("version", "0.47.0").end_object().key("quantization").begin_object();
    settings(side);
    side.key("kv_cache_quant_algo").null();
    if (v.says("group_size")) side.key("group_size").raw(text(v.config, "group_size"));
    side.key("exclude_modules").begin_array().end_array().end_object().end_object();
    return {wrap(config.take()), "hf_quant_config.json", side.take()};
}

// --- the others

std::string bitsandbytes_config(const Vector& v) {
    const bool eight = v.has("SCB");
    json::Writer w;
    w.begin_object().entry("quant_method", "bitsandbytes");
    w.entry("load_in_8bit", eight).entry("load_in_4bit", !eight);
    if (!eight) {
        w.entry("bnb_4bit_quant_type", v.has_tensor_like("__fp4") ? "fp4" : "nf4");
        w.entry("bnb_4bit_use_double_quant", v.has_tensor_like("nested"));
    }
    return w.end_object().take();
}

std::string float8_config(const Vector& v) {
    const std::string block = v.block();
    json::Writer w;
    w.begin_object().entry("quant_method", "fp8");
    w.entry("activation_scheme", text(v.config, "activation_scheme", "dynamic"));
    if (!block.empty()) w.key("weight_block_size").raw(block);
    return w.end_object().take();
}

}  // namespace

std::string gguf_type(const json::Node& vector) {
    constexpr std::string_view prefix = "GGUF ";
    std::string type = text(vector, "format");
    if (!type.starts_with(prefix)) return "";
    type = type.substr(prefix.size());
    type.resize(std::min(type.size(), type.find(' ')));
    for (char& c : type) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return type;
}

PublishedConfig published_config(const json::Node& vector) {
    const Vector v(vector);
    if (!gguf_type(vector).empty()) return {"{}", "", ""};
    if (const json::Node* stated = v.config.find("quantization"))
        return {"{\"quantization\": " + as_stated(*stated) + "}", "", ""};
    if (v.format == "mlx") return {"{\"quantization\": " + as_stated(v.config) + "}", "", ""};
    if (is_modelopt(v)) return modelopt_config(v);
    if (v.id.starts_with("bnb_") || v.is("bitsandbytes")) return {wrap(bitsandbytes_config(v)), "", ""};
    if (is_grouped(v)) return {wrap(grouped_config(v)), "", ""};
    if (v.says("quant_method", "fp8") || v.is("deepseek")) return {wrap(float8_config(v)), "", ""};
    return {wrap(as_stated(v.config)), "", ""};
}

}  // namespace mortise::tool
