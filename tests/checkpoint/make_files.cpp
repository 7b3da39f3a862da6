#include "make_files.h"

#include "base/json.h"

namespace mortise::test {

std::string container(std::string_view header, std::string_view data) {
    std::string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
    return file.append(header).append(data);
}

std::string safetensors(const std::vector<Tensor>& tensors) {
    std::string header = R"({"__metadata__":{"format":"pt"})", data;
    for (const Tensor& tensor : tensors) {
        std::string begin = std::to_string(data.size());
        data += tensor.data;
        header += "," + json::quote(tensor.name) + R"(:{"dtype":")" + tensor.dtype + R"(","shape":)" +
                  tensor.shape + R"(,"data_offsets":[)" + begin + "," + std::to_string(data.size()) + "]}";
    }
    return container(header + "}", data);
}

std::string index_text(const std::vector<std::pair<std::string, std::string>>& weight_map) {
    json::Writer writer(2);
    writer.begin_object().key("metadata").begin_object().entry("total_size", 4).end_object();
    writer.key("weight_map").begin_object();
    for (const auto& [tensor, file] : weight_map) writer.entry(tensor, file);
    writer.end_object().end_object();
    return writer.take();
}

}  // namespace mortise::test
