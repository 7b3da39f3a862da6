// A whole file through the parser and everything that is made from it: either a refusal, or tensors inside
// the file that do not overlap and files that are JSON.
#include <algorithm>
#include <cstring>

#include "base/json.h"
#include "file.h"
#include "virtual_files.h"

namespace {

struct Bytes {
    const uint8_t* data;
    size_t size;
};

mortise_status read(void* context, uint64_t offset, uint64_t bytes, void* out) {
    const auto& from = *static_cast<const Bytes*>(context);
    if (offset > from.size || bytes > from.size - offset) return MORTISE_REFUSED;
    if (bytes > 0) std::memcpy(out, from.data + offset, bytes);
    return MORTISE_OK;
}

void check_tensors(const gguf::File& file, size_t size) {
    std::vector<const gguf::Tensor*> order;
    for (const gguf::Tensor& tensor : file.tensors) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const gguf::Tensor* t) { return t->offset; });
    uint64_t end = 0;
    for (const gguf::Tensor* tensor : order) {
        MORTISE_INVARIANT(tensor->offset >= end);
        end = tensor->offset + tensor->bytes;
        MORTISE_INVARIANT(end >= tensor->offset && end <= size);
    }
}

void check_json(const std::string& text) {
    MORTISE_INVARIANT(
        mortise::json::parse_events(text, "made", [](const auto&) { return mortise::Status{}; }).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Bytes bytes{data, size};
    const mortise_source raw{{sizeof raw, MORTISE_ABI_MINOR}, &bytes, size, mortise::sdk::str("input"), read};
    const mortise::sdk::Source source(raw);
    try {
        const gguf::File file = gguf::read(source);
        check_tensors(file, size);
        for (const auto& [key, value] : file.metadata)
            MORTISE_INVARIANT(!key.empty() && gguf::describe(value).size() < size * 8 + 64);
        std::string why;
        if (const auto tokenizer = gguf::tokenizer_json(file, why)) check_json(*tokenizer);
        check_json(gguf::tokenizer_config_json(file));
        check_json(gguf::generation_config_json(file));
        check_json(gguf::config_json(file, source));
    } catch (const mortise::sdk::Failure& failure) {
        MORTISE_INVARIANT(!failure.details().what.empty());
    } catch (const mortise::sdk::Reported&) {
        MORTISE_INVARIANT(false);  // every read was checked before it was asked for
    }
    return 0;
}
