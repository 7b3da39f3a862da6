#include "checkpoint/write.h"

#include <algorithm>

#include "base/json.h"

namespace mortise::checkpoint {
namespace {

constexpr uint64_t header_limit = 100'000'000;  // of the format

std::string header_text(const std::vector<NewTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
    json::Writer w;
    w.begin_object();
    if (!metadata.empty()) {
        w.key("__metadata__").begin_object();
        for (const auto& [key, value] : metadata) w.entry(key, value);
        w.end_object();
    }
    uint64_t at = 0;
    for (const NewTensor& tensor : tensors) {
        w.key(tensor.name).begin_object().entry("dtype", name(tensor.dtype)).key("shape").begin_array();
        for (int64_t extent : tensor.shape) w.value(extent);
        const uint64_t bytes = *dense_bytes(tensor.dtype, tensor.shape);
        w.end_array().key("data_offsets").begin_array().value(at).value(at + bytes).end_array().end_object();
        at += bytes;
    }
    w.end_object();
    std::string text = w.take();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

}  // namespace

Result<SafetensorsWriter> SafetensorsWriter::create(const std::string& path, std::vector<NewTensor> tensors,
                                                    const std::map<std::string, std::string>& metadata) {
    std::sort(tensors.begin(), tensors.end(), [](const NewTensor& a, const NewTensor& b) {
        const int wide_a = bits(a.dtype), wide_b = bits(b.dtype);
        return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
    });
    for (const NewTensor& tensor : tensors)
        if (!dense_bytes(tensor.dtype, tensor.shape))
            return fail(Problem{.code = Code::header_overflow,
                                .what = "tensor has no size",
                                .file = path,
                                .tensor = tensor.name});
    SafetensorsWriter writer;
    const std::string header = header_text(tensors, metadata);
    if (header.size() > header_limit)
        return fail(
            Problem{.code = Code::header_too_large, .what = "too many tensors for one file", .file = path});
    uint64_t at = 8 + header.size();
    for (const NewTensor& tensor : tensors) {
        const uint64_t bytes = *dense_bytes(tensor.dtype, tensor.shape);
        if (!writer.places_.emplace(tensor.name, Place{at, bytes}).second)
            return fail(Problem{.code = Code::duplicate_tensor,
                                .what = "two tensors have one name",
                                .file = path,
                                .tensor = tensor.name});
        at += bytes;
    }
    MORTISE_TRY(writer.file_, OutputFile::create(path));
    std::byte length[8];
    for (int b = 0; b < 8; ++b) length[b] = static_cast<std::byte>(header.size() >> (8 * b));
    MORTISE_CHECK(writer.file_.append(std::span<const std::byte>(length)));
    MORTISE_CHECK(writer.file_.append(header));
    return writer;
}

Status SafetensorsWriter::write(const std::string& tensor, uint64_t begin, std::span<const std::byte> bytes) {
    const Place& place = places_.at(tensor);
    MORTISE_INVARIANT(begin + bytes.size() <= place.bytes);
    return file_.write_at(place.offset + begin, bytes);
}

Status SafetensorsWriter::close() { return file_.close(); }

}  // namespace mortise::checkpoint
