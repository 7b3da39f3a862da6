// Writes GGUF files for tests, sound or not: what is put in is what stands there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::test {

class GgufBytes {
  public:
    template <class T>
    GgufBytes& number(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
        return *this;
    }
    GgufBytes& text(std::string_view value) {
        number(uint64_t{value.size()});
        bytes_ += value;
        return *this;
    }
    GgufBytes& raw(std::string_view value) {
        bytes_ += value;
        return *this;
    }
    size_t size() const { return bytes_.size(); }
    const std::string& bytes() const { return bytes_; }

  private:
    std::string bytes_;
};

struct GgufTensor {
    std::string name;
    std::vector<uint64_t> extent;  // fastest first
    uint32_t type = 0;
    uint64_t bytes = 0;
    int64_t shift = 0;  // moves it from where it belongs
    std::string data;   // zeros where it is shorter
};

// A file by its members. render() lays everything out as the format says.
class GgufMaker {
  public:
    uint32_t version = 3;
    std::vector<GgufTensor> tensors;
    uint64_t extra_tensors = 0, extra_keys = 0;  // added to the counts alone
    std::string tail;                            // behind the last tensor

    GgufMaker& text(std::string_view key, std::string_view value) {
        return add(key, 8, GgufBytes().text(value));
    }
    GgufMaker& u32(std::string_view key, uint32_t value) { return add(key, 4, GgufBytes().number(value)); }
    GgufMaker& f32(std::string_view key, float value) { return add(key, 6, GgufBytes().number(value)); }
    GgufMaker& flag(std::string_view key, uint8_t value) { return add(key, 7, GgufBytes().number(value)); }
    GgufMaker& texts(std::string_view key, const std::vector<std::string>& values) {
        GgufBytes list;
        list.number(uint32_t{8}).number(uint64_t{values.size()});
        for (const auto& value : values) list.text(value);
        return add(key, 9, list);
    }
    GgufMaker& i32s(std::string_view key, const std::vector<int32_t>& values) {
        GgufBytes list;
        list.number(uint32_t{5}).number(uint64_t{values.size()});
        for (const int32_t value : values) list.number(value);
        return add(key, 9, list);
    }
    GgufMaker& f32s(std::string_view key, const std::vector<float>& values) {
        GgufBytes list;
        list.number(uint32_t{6}).number(uint64_t{values.size()});
        for (const float value : values) list.number(value);
        return add(key, 9, list);
    }
    GgufMaker& add(std::string_view key, uint32_t type, const GgufBytes& value) {
        keys_.text(key).number(type).raw(value.bytes());
        ++n_keys_;
        return *this;
    }
    GgufMaker& tensor(std::string name, std::vector<uint64_t> extent, uint32_t type, uint64_t bytes) {
        tensors.push_back({std::move(name), std::move(extent), type, bytes, 0, {}});
        return *this;
    }
    GgufTensor& at(std::string_view name) { return *std::ranges::find(tensors, name, &GgufTensor::name); }

    std::string render(uint64_t alignment = 32) const {
        GgufBytes out;
        out.raw("GGUF")
            .number(version)
            .number(uint64_t{tensors.size()} + extra_tensors)
            .number(n_keys_ + extra_keys)
            .raw(keys_.bytes());
        uint64_t offset = 0;
        for (const GgufTensor& tensor : tensors) {
            out.text(tensor.name).number(static_cast<uint32_t>(tensor.extent.size()));
            for (const uint64_t extent : tensor.extent) out.number(extent);
            out.number(tensor.type).number(offset + static_cast<uint64_t>(tensor.shift));
            offset = (offset + tensor.bytes + alignment - 1) / alignment * alignment;
        }
        std::string bytes = out.bytes();
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
        for (const GgufTensor& tensor : tensors) {
            const size_t end = bytes.size() + (tensor.bytes + alignment - 1) / alignment * alignment;
            bytes += tensor.data;
            bytes.resize(end);
        }
        return bytes + tail;
    }

  private:
    GgufBytes keys_;
    uint64_t n_keys_ = 0;
};

// A whole tiny model: one layer, hidden 32, four tokens, floats.
inline GgufMaker tiny_gguf(std::string_view family = "llama") {
    GgufMaker maker;
    const std::string p = std::string(family) + ".";
    maker.text("general.architecture", family).u32(p + "block_count", 1).u32(p + "context_length", 64);
    maker.u32(p + "embedding_length", 32)
        .u32(p + "feed_forward_length", 64)
        .u32(p + "attention.head_count", 2);
    maker.u32(p + "attention.head_count_kv", 1)
        .f32(p + "attention.layer_norm_rms_epsilon", 1e-5f)
        .f32(p + "rope.freq_base", 100000.0f);
    maker.u32(p + "rope.dimension_count", 16);
    const auto matrix = [&](std::string name, uint64_t columns, uint64_t rows) {
        maker.tensor(std::move(name), {columns, rows}, 0, columns * rows * 4);
    };
    matrix("token_embd.weight", 32, 4);
    maker.tensor("output_norm.weight", {32}, 0, 128)
        .tensor("blk.0.attn_norm.weight", {32}, 0, 128)
        .tensor("blk.0.ffn_norm.weight", {32}, 0, 128);
    for (const char* name : {"attn_q", "attn_output"})
        matrix("blk.0." + std::string(name) + ".weight", 32, 32);
    for (const char* name : {"attn_k", "attn_v"}) matrix("blk.0." + std::string(name) + ".weight", 32, 16);
    for (const char* name : {"ffn_gate", "ffn_up"}) matrix("blk.0." + std::string(name) + ".weight", 32, 64);
    matrix("blk.0.ffn_down.weight", 64, 32);
    return maker;
}

}  // namespace mortise::test
