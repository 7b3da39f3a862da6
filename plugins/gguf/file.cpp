#include "file.h"

#include <algorithm>
#include <limits>

#include "text.h"

namespace gguf {

using mortise::sdk::Reader;
using mortise::sdk::Refused;
using mortise::sdk::Source;
using mortise::sdk::Unsupported;
namespace code = mortise::sdk::code;

namespace {

constexpr uint64_t metadata_limit = uint64_t{256}
                                    << 20;             // bytes; the largest published ones have about 20 MiB
constexpr uint64_t name_limit = 65535;                 // of a key or tensor, as the format says
constexpr uint64_t most_reserved = uint64_t{1} << 20;  // elements, on the word of a count alone
constexpr uint32_t most_axes = 4;

// Numbers of the format's value types.
enum : uint32_t { u8 = 0, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64, n_value_types };

uint64_t least_bytes(uint32_t type) {
    constexpr uint64_t sizes[n_value_types] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
    return sizes[type];
}

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

// ---- metadata ----------------------------------------------------------------------------------

class MetadataReader {
  public:
    explicit MetadataReader(Reader& in) : in_(in) {}

    std::string name(std::string_view what) {
        const auto size = in_.number<uint64_t>(what);
        if (size == 0 || size > name_limit)
            throw Refused({.what = std::string(what) + " has no proper length",
                           .expected = "1 to 65535 bytes",
                           .found = std::to_string(size),
                           .code = code::value});
        std::string out = in_.text(size, what);
        if (!is_utf8(out))
            throw Refused(
                {.what = std::string(what) + " is not UTF-8", .found = printable(out), .code = code::text});
        return out;
    }

    Value value(std::string_view key, uint32_t type) {
        switch (type) {
            case boolean: return {flag(key)};
            case f32: return {in_.number<float>(quoted(key))};
            case f64: return {in_.number<double>(quoted(key))};
            case text: return {string(key)};
            case array: return list(key);
            default: return {integer(key, type)};
        }
    }

  private:
    int64_t integer(std::string_view key, uint32_t type) {
        const std::string what = quoted(key);
        switch (type) {
            case u8: return in_.number<uint8_t>(what);
            case i8: return in_.number<int8_t>(what);
            case u16: return in_.number<uint16_t>(what);
            case i16: return in_.number<int16_t>(what);
            case u32: return in_.number<uint32_t>(what);
            case i32: return in_.number<int32_t>(what);
            case i64: return in_.number<int64_t>(what);
            case u64: {
                const auto wide = in_.number<uint64_t>(what);
                if (wide <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
                    return static_cast<int64_t>(wide);
                refuse(key, "number out of range", "below 2^63", std::to_string(wide));
            }
            default: refuse(key, "unknown type of value", "0 to 12", std::to_string(type));
        }
    }
    bool flag(std::string_view key) {
        const auto byte = in_.number<uint8_t>(quoted(key));
        if (byte > 1) refuse(key, "a truth value is neither 0 nor 1", "0 or 1", std::to_string(byte));
        return byte == 1;
    }
    std::string string(std::string_view key) {
        return in_.text(in_.number<uint64_t>(quoted(key)), quoted(key));
    }

    Value list(std::string_view key) {
        const auto type = in_.number<uint32_t>(quoted(key));
        const auto count = in_.number<uint64_t>(quoted(key));
        if (type >= n_value_types) refuse(key, "unknown type of elements", "0 to 12", std::to_string(type));
        if (type == array)
            refuse(key, "an array of arrays is not part of the format", "an array of values",
                   "an array of arrays");
        in_.need(count, quoted(key), least_bytes(type));
        if (type == text) {
            Texts out;
            out.reserve(std::min(count, most_reserved));
            for (uint64_t i = 0; i < count; ++i) out.push_back(string(key));
            return {std::move(out)};
        }
        if (type == f32 || type == f64) {
            Reals out;
            out.reserve(std::min(count, most_reserved));
            for (uint64_t i = 0; i < count; ++i)
                out.push_back(type == f32 ? in_.number<float>(quoted(key)) : in_.number<double>(quoted(key)));
            return {std::move(out)};
        }
        Integers out;
        out.reserve(std::min(count, most_reserved));
        for (uint64_t i = 0; i < count; ++i) out.push_back(type == boolean ? flag(key) : integer(key, type));
        return {std::move(out)};
    }

    Reader& in_;
};

void read_metadata(Reader& in, uint64_t count, File& file) {
    MetadataReader values(in);
    for (uint64_t i = 0; i < count; ++i) {
        const std::string key = values.name("a metadata key");
        const auto type = in.number<uint32_t>(quoted(key));
        if (!file.metadata.try_emplace(key, values.value(key, type)).second)
            throw Refused({.what = "metadata key occurs twice", .subject = key, .code = code::twice});
    }
}

// ---- tensors -----------------------------------------------------------------------------------

// Effect: the bytes of a tensor. Errors: rows that are no whole blocks, sizes beyond 2^63.
uint64_t stored_bytes(const Tensor& tensor) {
    constexpr uint64_t most = std::numeric_limits<int64_t>::max();
    const TensorType& type = *tensor.type;
    if (tensor.extent[0] % type.block != 0)
        throw Refused(
            {.what = "a row is not made of whole blocks",
             .subject = tensor.name,
             .expected = "a multiple of " + std::to_string(type.block) + " for " + std::string(type.name),
             .found = std::to_string(tensor.extent[0]) + " elements",
             .code = code::bytes});
    uint64_t elements = 1;
    for (const uint64_t extent : tensor.extent) {
        if (extent != 0 && elements > most / 8 / extent)
            throw Refused({.what = "the shape is too large", .subject = tensor.name, .code = code::overflow});
        elements *= extent;
    }
    return elements / type.block * type.bytes;
}

const TensorType* checked_type(const std::string& name, uint32_t id) {
    const TensorType* type = find_type(id);
    if (type && type->block > 0) return type;
    throw Unsupported(
        {.what = type ? "tensor of a type that the format has removed" : "tensor of an unknown type",
         .subject = name,
         .expected = "a type of the current format",
         .found = type ? std::string(type->name) : std::to_string(id),
         .fix = type ? "quantize the model again with a current llama.cpp"
                     : "quantize the model to a type that is read here, such as Q4_K"});
}

// Effect: one entry of the table; `offset` is relative to the data still.
Tensor read_tensor(Reader& in) {
    Tensor tensor;
    tensor.name = MetadataReader(in).name("a tensor's name");
    const std::string what = "the entry of " + quoted(tensor.name);
    const auto axes = in.number<uint32_t>(what);
    if (axes == 0 || axes > most_axes)
        throw Refused({.what = "impossible number of axes",
                       .subject = tensor.name,
                       .expected = "1 to 4",
                       .found = std::to_string(axes),
                       .code = code::value});
    for (uint32_t a = 0; a < axes; ++a) tensor.extent.push_back(in.number<uint64_t>(what));
    if (std::ranges::find(tensor.extent, 0u) != tensor.extent.end())
        throw Refused({.what = "an axis is empty",
                       .subject = tensor.name,
                       .expected = "at least 1",
                       .found = "0",
                       .code = code::value});
    tensor.type = checked_type(tensor.name, in.number<uint32_t>(what));
    tensor.offset = in.number<uint64_t>(what);
    tensor.bytes = stored_bytes(tensor);
    return tensor;
}

uint64_t padded(uint64_t at, uint64_t alignment) { return (at + alignment - 1) / alignment * alignment; }

uint64_t read_alignment(const File& file) {
    const int64_t alignment = file.integer("general.alignment").value_or(32);
    if (alignment < 1 || alignment > 65536 || (alignment & (alignment - 1)) != 0)
        refuse("general.alignment", "impossible alignment", "a power of two, at most 65536",
               std::to_string(alignment));
    return static_cast<uint64_t>(alignment);
}

Refused misplaced(const Tensor& tensor, std::string what, uint64_t expected, uint64_t found) {
    return Refused({.what = std::move(what),
                    .subject = tensor.name,
                    .expected = "offset " + std::to_string(expected),
                    .found = std::to_string(found),
                    .code = code::offsets});
}

// The format lays tensors one behind the other, each padded to the alignment: neither hole nor overlap.
void place(File& file, uint64_t header_end, uint64_t size) {
    const uint64_t alignment = read_alignment(file), data = padded(header_end, alignment);
    std::vector<Tensor*> order;
    for (Tensor& tensor : file.tensors) order.push_back(&tensor);
    std::ranges::sort(order, {}, [](const Tensor* t) { return t->offset; });
    uint64_t at = 0, end = 0;  // relative to the data; bytes < 2^63 / 8 each keep the sums in range
    for (Tensor* tensor : order) {
        if (tensor->offset < end)
            throw misplaced(*tensor, "the tensor overlaps the one before it", at, tensor->offset);
        if (tensor->offset != at)
            throw misplaced(*tensor, "the tensor does not follow the one before it", at, tensor->offset);
        end = at + tensor->bytes;
        if (end > size || data > size - end)
            throw Refused({.what = "the file ends before the tensor does",
                           .subject = tensor->name,
                           .expected = std::to_string(data + end) + " bytes",
                           .found = std::to_string(size),
                           .fix = "fetch the file again: it is cut short",
                           .code = code::cut_short});
        at = padded(end, alignment);
        tensor->offset += data;
    }
    if (!order.empty() && size > data + at)
        throw Refused({.what = "bytes behind the last tensor",
                       .subject = file.name,
                       .expected = std::to_string(data + at) + " bytes",
                       .found = std::to_string(size),
                       .code = code::cut_short});
}

void check_names(const File& file) {
    std::vector<std::string_view> names;
    for (const Tensor& tensor : file.tensors) names.push_back(tensor.name);
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice != names.end())
        throw Refused({.what = "tensor occurs twice", .subject = std::string(*twice), .code = code::twice});
}

void check_start(Reader& in, File& file) {
    char magic[4];
    in.bytes(magic, 4, "the magic number");
    if (std::string_view(magic, 4) != "GGUF")
        throw Refused({.what = "not this format",
                       .expected = "the file begins with GGUF",
                       .found = printable({magic, 4}),
                       .code = code::value});
    file.version = in.number<uint32_t>("the version");
    if (file.version == 2 || file.version == 3) return;
    const bool swapped = file.version == 0x02000000 || file.version == 0x03000000;
    throw Unsupported({.what = swapped ? "a big-endian file" : "unknown version of the format",
                       .expected = "version 2 or 3, little-endian",
                       .found = "version " + std::to_string(file.version),
                       .fix = "convert the model again with a current llama.cpp",
                       .code = code::container});
}

void refuse_parts(const File& file) {
    const int64_t parts = file.integer("split.count").value_or(1);
    if (parts <= 1) return;
    throw Unsupported({.what = "the model is spread over several files",
                       .subject = "split.count",
                       .expected = "one file",
                       .found = std::to_string(parts) + " files",
                       .fix = "join them first: llama-gguf-split --merge",
                       .code = code::container});
}

}  // namespace

void refuse(std::string_view key, std::string what, std::string expected, std::string found) {
    throw Refused({.what = std::move(what),
                   .subject = "metadata key " + quoted(key),
                   .expected = std::move(expected),
                   .found = std::move(found),
                   .code = code::value});
}

File read(const Source& source) {
    File file;
    file.name = source.name();
    Reader in(source, metadata_limit);
    check_start(in, file);
    const auto n_tensors = in.number<uint64_t>("the number of tensors");
    const auto n_metadata = in.number<uint64_t>("the number of metadata keys");
    in.need(n_metadata, "the metadata", 8 + 1 + 4 + 1);
    read_metadata(in, n_metadata, file);
    refuse_parts(file);
    in.need(n_tensors, "the table of tensors", 8 + 1 + 4 + 8 + 4 + 8);
    for (uint64_t i = 0; i < n_tensors; ++i) file.tensors.push_back(read_tensor(in));
    check_names(file);
    place(file, in.position(), source.size());
    return file;
}

}  // namespace gguf
