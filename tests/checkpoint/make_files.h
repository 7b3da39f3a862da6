// Makes safetensors files and folders for the tests of this room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mortise::test {

struct Tensor {
    std::string name;
    std::string dtype = "U8";
    std::string shape = "[2]";  // JSON
    std::string data = "ab";
};

// Effect: the eight length bytes, `header` and `data` one after another.
std::string container(std::string_view header, std::string_view data);
// Effect: a well-formed file of the tensors in this order, with __metadata__ {"format": "pt"}.
std::string safetensors(const std::vector<Tensor>& tensors);
// Effect: an index text of (tensor, file) pairs.
std::string index_text(const std::vector<std::pair<std::string, std::string>>& weight_map);

}  // namespace mortise::test
