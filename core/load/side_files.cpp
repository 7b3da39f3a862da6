#include "load/side_files.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/json.h"
#include "base/small_float.h"

namespace mortise::load {
namespace {

// Copied as they are, where they exist.
constexpr std::array copied = {"generation_config.json",
                               "tokenizer.json",
                               "tokenizer_config.json",
                               "special_tokens_map.json",
                               "added_tokens.json",
                               "vocab.json",
                               "merges.txt",
                               "tokenizer.model",
                               "chat_template.jinja"};
// Members of config.json that describe the old quantization.
constexpr std::array<std::string_view, 3> replaced = {"quantization_config", "compression_config",
                                                      "quantization"};

void copy_value(json::Writer& w, const json::Node& node) {
    switch (node.kind()) {
        case json::Kind::null: w.null(); return;
        case json::Kind::string: w.value(node.text()); return;
        case json::Kind::object:
            w.begin_object();
            for (size_t i = 0; i < node.size(); ++i) {
                w.key(node.keys()[i]);
                copy_value(w, *node.items()[i]);
            }
            w.end_object();
            return;
        case json::Kind::array:
            w.begin_array();
            for (const auto& item : node.items()) copy_value(w, *item);
            w.end_array();
            return;
        default: w.raw(node.text());
    }
}

std::string_view dtype_word(DType dtype) {
    return dtype == DType::bf16  ? "bfloat16"
           : dtype == DType::f16 ? "float16"
           : dtype == DType::f32 ? "float32"
                                 : "";
}

std::string new_config(const json::Node& root, const NewQuantization& quantization, DType floats) {
    json::Writer w(2);
    w.begin_object();
    const std::string_view word = dtype_word(floats);
    bool has_dtype = false;
    for (size_t i = 0; i < root.size(); ++i) {
        const std::string& key = root.keys()[i];
        if (std::find(replaced.begin(), replaced.end(), key) != replaced.end()) continue;
        w.key(key);
        const bool dtype = key == "dtype" || key == "torch_dtype";
        has_dtype |= dtype;
        if (dtype && !word.empty())
            w.value(word);
        else
            copy_value(w, *root.items()[i]);
    }
    if (!has_dtype && !word.empty()) w.key("torch_dtype").value(word);
    if (!quantization.text.empty()) {
        if (!quantization.copy.empty()) w.key(quantization.copy).raw(quantization.text);
        w.key("quantization_config").raw(quantization.text);
    }
    w.end_object();
    return w.take() + "\n";
}

float f32_at(std::span<const std::byte> bytes, size_t i) {
    float value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return value;
}

uint16_t narrow(float value, DType dtype) {
    return dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
}
float widen(uint16_t value, DType dtype) {
    return dtype == DType::bf16 ? bf16_to_f32(value) : f16_to_f32(value);
}

}  // namespace

std::string shard_name(size_t shard, size_t shards) {
    if (shards == 1) return "model.safetensors";
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
    return name;
}

Status write_index(const std::string& folder, const std::map<std::string, std::string>& where,
                   uint64_t bytes) {
    json::Writer w(2);
    w.begin_object()
        .key("metadata")
        .begin_object()
        .key("total_size")
        .value(bytes)
        .end_object()
        .key("weight_map")
        .begin_object();
    for (const auto& [tensor, file] : where) w.key(tensor).value(file);
    w.end_object().end_object();
    return write_atomically(folder + "/model.safetensors.index.json", w.take() + "\n");
}

Status write_side_files(const checkpoint::Checkpoint& source, const std::string& folder,
                        const NewQuantization& quantization, DType floats) {
    MORTISE_TRY(const json::Document* config, source.document("config.json"));
    MORTISE_CHECK(
        write_atomically(folder + "/config.json", new_config(config->root(), quantization, floats)));
    for (const auto& [name, text] : quantization.files)
        MORTISE_CHECK(write_atomically(folder + "/" + name, text + "\n"));
    for (const char* name : copied) {
        if (!source.has_file(name)) continue;
        MORTISE_TRY(const std::string bytes, source.file(name));
        MORTISE_CHECK(write_atomically(folder + "/" + name, bytes));
    }
    return {};
}

bool fits(std::span<const std::byte> f32, DType dtype) {
    for (size_t i = 0; i < f32.size() / sizeof(float); ++i) {
        const float value = f32_at(f32, i);
        const float back = widen(narrow(value, dtype), dtype);
        if (std::bit_cast<uint32_t>(value) != std::bit_cast<uint32_t>(back)) return false;
    }
    return true;
}

std::vector<std::byte> narrowed(std::span<const std::byte> f32, DType dtype) {
    std::vector<std::byte> out(f32.size() / 2);
    for (size_t i = 0; i < f32.size() / sizeof(float); ++i) {
        const uint16_t value = narrow(f32_at(f32, i), dtype);
        std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
    }
    return out;
}

}  // namespace mortise::load
