// What lies in a folder beside the tensors, and small writing helpers. Private to the load.
#pragma once

#include <map>
#include <span>
#include <string>

#include "checkpoint/checkpoint.h"
#include "plan/load_plan.h"

namespace mortise::load {

// "model.safetensors", or "model-00001-of-00003.safetensors".
std::string shard_name(size_t shard, size_t shards);
// Effect: model.safetensors.index.json. Errors: file_write.
Status write_index(const std::string& folder, const std::map<std::string, std::string>& where,
                   uint64_t bytes);

// What config.json says of the new quantization.
struct NewQuantization {
    std::string text;                          // JSON of quantization_config; "" = none
    std::string copy;                          // another member that repeats it; "" = none
    std::map<std::string, std::string> files;  // name -> text of what stands beside config.json
};
// Effect: config.json with `quantization` in place of the old one and the dtype of the floats, and every
// tokenizer, template and generation file as it is. Errors: file_*.
Status write_side_files(const checkpoint::Checkpoint& source, const std::string& folder,
                        const NewQuantization& quantization, DType floats);

// Does every F32 element survive the narrower dtype (BF16 or F16) bit for bit?
bool fits(std::span<const std::byte> f32, DType dtype);
std::vector<std::byte> narrowed(std::span<const std::byte> f32, DType dtype);

}  // namespace mortise::load
