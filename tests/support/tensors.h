// The tensors of a one-file checkpoint, to be changed and written again.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/write.h"

namespace mortise::test {

struct TensorBytes {
    DType dtype{};
    Shape shape;
    std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, TensorBytes>;

inline Tensors read_tensors(const std::string& folder) {
    const auto file = checkpoint::open_native(folder + "/model.safetensors").value();
    const checkpoint::TensorReader reader(file.catalog);
    Tensors out;
    for (const checkpoint::TensorEntry& entry : file.catalog.tensors())
        out[entry.name] = {entry.dtype, entry.shape, reader.read_all(entry).value()};
    return out;
}

// Effect: `folder` becomes a copy of `from` with these tensors.
inline void write_tensors(const std::string& from, const std::string& folder, const Tensors& tensors) {
    std::filesystem::copy(from, folder, std::filesystem::copy_options::recursive);
    std::filesystem::remove(folder + "/model.safetensors");
    std::vector<checkpoint::NewTensor> list;
    for (const auto& [name, tensor] : tensors) list.push_back({name, tensor.dtype, tensor.shape});
    auto writer = checkpoint::SafetensorsWriter::create(folder + "/model.safetensors", list).value();
    for (const auto& [name, tensor] : tensors) (void)writer.write(name, 0, tensor.bytes);
    (void)writer.close();
}

// Effect: a BF16 tensor becomes F32 with the same values.
inline void widen(TensorBytes& tensor) {
    std::vector<std::byte> wide;
    for (size_t i = 0; i < tensor.bytes.size(); i += 2)
        wide.insert(wide.end(), {std::byte{0}, std::byte{0}, tensor.bytes[i], tensor.bytes[i + 1]});
    tensor.dtype = DType::f32;
    tensor.bytes = std::move(wide);
}

// Effect: the rows of `parts` become those of one tensor.
inline void fuse(Tensors& tensors, const std::vector<std::string>& parts, const std::string& whole) {
    TensorBytes out{tensors.at(parts[0]).dtype, tensors.at(parts[0]).shape, {}};
    out.shape[0] = 0;
    for (const std::string& part : parts) {
        const TensorBytes& from = tensors.at(part);
        out.shape[0] += from.shape[0];
        out.bytes.insert(out.bytes.end(), from.bytes.begin(), from.bytes.end());
        tensors.erase(part);
    }
    tensors[whole] = std::move(out);
}

}  // namespace mortise::test
