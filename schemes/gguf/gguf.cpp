// Tensors of the container of the same name: floats, and rows of blocks of 32 elements whose scale, minimum
// and codes lie together. Source: the block structs and dequantize functions of ggml (ggml-common.h,
// ggml-quants.c).

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

constexpr uint64_t block = 32;  // elements; each block has a scale of its own

struct Encoding {
    std::string_view name;
    uint64_t bytes;  // of a block: f16 scale, f16 minimum if any, codes
    uint32_t code;   // MORTISE_ENCODING_*
    uint32_t bits;
    bool minimum;  // f16 behind the scale, added after scaling
};
constexpr Encoding encodings[] = {
    {"q4_0", 18, MORTISE_ENCODING_OFFSET, 4, false},   // (code - 8) * d; d is negative as often as not
    {"q4_1", 20, MORTISE_ENCODING_UNSIGNED, 4, true},  // code * d + m
    {"q8_0", 34, MORTISE_ENCODING_TWOS, 8, false},     // code * d
};

// Codes of a block of 4 bits come in halves: the low nibbles of its 16 bytes are elements 0 to 15, the high
// ones 16 to 31.
mortise_layout codes_layout(const Encoding& e, int64_t row) {
    const auto stride = static_cast<int64_t>(e.bytes) * 8;
    const int64_t first = e.minimum ? 32 : 16;
    if (e.bits == 8)
        return one_plane(8, {by_row(row), by_column(8, 1, block), by_column(stride, block), by_bit()}, first);
    return one_plane(
        4, {by_row(row), by_column(8, 1, 16), by_column(4, 16, 2), by_column(stride, block), by_bit()},
        first);
}

void put_half(mortise_field& field, const Encoding& e, int64_t row, int64_t first) {
    field.encoding = MORTISE_ENCODING_F16;
    field.bits = 16;
    field.flags = MORTISE_FIELD_FINITE;
    field.layout =
        one_plane(16, {by_row(row), by_column(static_cast<int64_t>(e.bytes) * 8), by_bit()}, first);
}

Spec blocks(const Encoding& e, uint64_t rows, uint64_t columns, const std::string& tensor) {
    Spec spec(1, rows, columns);
    const uint64_t row_bytes = columns / block * e.bytes;
    const auto row = static_cast<int64_t>(row_bytes * 8);
    const mortise_shape shape = shape_of({rows, row_bytes});
    spec.codes(tensor, e.code, e.bits, {MORTISE_DTYPE_U8}, {shape}).layout = codes_layout(e, row);
    put_half(spec.level(MORTISE_ROLE_SCALE, tensor, 1, block, {MORTISE_DTYPE_U8}, {shape}), e, row, 0);
    if (e.minimum)
        put_half(spec.offsets(MORTISE_ROLE_ADDEND, tensor, 1, block, {MORTISE_DTYPE_U8}, {shape}), e, row,
                 16);
    return spec;
}

class Gguf : public Scheme {
  public:
    explicit Gguf(const Checkpoint& checkpoint) : Scheme(checkpoint) {}

    static Match match(const Checkpoint& checkpoint) {
        if (checkpoint.name_space() == "gguf") return matched(900, "each tensor names its own encoding");
        return not_matched("tensors of the name space '" + checkpoint.name_space() + "'");
    }

    void module(const mortise_module& m, mortise_answer& answer) override {
        const std::string name(view(m.name)), weight = name + ".weight";
        const auto tensor = checkpoint().tensor(weight);
        if (!tensor || tensor->encoding.empty()) return say_plain(m, answer, "the tensor holds floats");
        const Encoding& e = known(weight, tensor->encoding);
        if (m.columns % block != 0)
            throw Refused({.what = "a row is not made of whole blocks",
                           .subject = weight,
                           .expected = "a multiple of 32 columns",
                           .found = std::to_string(m.columns)});
        if (m.experts != 1)
            throw Unsupported(
                {.what = "stacked experts in blocks", .subject = weight, .found = tensor->encoding});
        Spec spec = blocks(e, m.rows, m.columns, weight);
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows);
        say(answer, std::move(spec), false, "the tensor's encoding is " + tensor->encoding);
    }

  private:
    static const Encoding& known(const std::string& tensor, const std::string& encoding) {
        std::string list = "floats";
        for (const Encoding& e : encodings) {
            if (e.name == encoding) return e;
            list += ", " + std::string(e.name);
        }
        throw Unsupported(
            {.what = "this block encoding is not supported",
             .subject = tensor,
             .expected = list,
             .found = encoding,
             .fix = "quantize the model to one of these, or install a scheme that reads " + encoding});
    }
};

}  // namespace

MORTISE_PLUGIN("org.mortise.gguf-blocks", "0.1.0", scheme_entry<Gguf>("gguf"))
