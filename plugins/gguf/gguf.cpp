// GGUF, the single file of llama.cpp: tensors in the name space "gguf", and the files of a checkpoint folder
// made from its metadata.

#include <algorithm>

#include "file.h"
#include "virtual_files.h"

namespace {

using namespace mortise::sdk;

struct Gguf {
    static bool probe(std::string_view, std::string_view first_bytes) {
        return first_bytes.starts_with("GGUF");
    }

    static void open(const Source& source, Sink& sink) {
        const gguf::File file = gguf::read(source);
        for (const gguf::Tensor& tensor : file.tensors) emit(tensor, sink);
        for (const auto& [key, value] : file.metadata) sink.metadata(key, gguf::describe(value));
        const std::string origin = file.name + " (config.json from general.* and " +
                                   file.text("general.architecture").value_or("?") + ".*)";
        sink.file("config.json", gguf::config_json(file, source), origin);
        emit_text_files(file, sink);
    }

  private:
    static void emit(const gguf::Tensor& tensor, Sink& sink) {
        const gguf::TensorType& type = *tensor.type;
        std::vector<int64_t> shape(tensor.extent.rbegin(), tensor.extent.rend());
        if (!type.name.empty()) shape.back() = shape.back() / type.block * type.bytes;
        sink.tensor(tensor.name, type.dtype, shape, type.name, tensor.offset, tensor.bytes);
    }

    static void emit_text_files(const gguf::File& file, Sink& sink) {
        const auto origin = [&](const char* name, const char* keys) {
            return file.name + " (" + name + " from " + keys + ")";
        };
        std::string why;
        if (const auto tokenizer = gguf::tokenizer_json(file, why))
            sink.file("tokenizer.json", *tokenizer, origin("tokenizer.json", "tokenizer.ggml.*"));
        else
            log(MORTISE_LOG_INFO, "gguf", file.name + " gives no tokenizer: " + why);
        sink.file("tokenizer_config.json", gguf::tokenizer_config_json(file),
                  origin("tokenizer_config.json", "tokenizer.ggml.*"));
        sink.file("generation_config.json", gguf::generation_config_json(file),
                  origin("generation_config.json", "tokenizer.ggml.*"));
        if (const auto text = gguf::chat_template(file))
            sink.file("chat_template.jinja", *text, origin("chat_template.jinja", "tokenizer.chat_template"));
    }
};

}  // namespace

MORTISE_PLUGIN("org.mortise.gguf", "0.1.0", container_entry<Gguf>("gguf", "gguf"))
