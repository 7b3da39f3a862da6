// Tensors of the container of the same name: floats, and rows of blocks in which scales, minima and codes lie
// together. Source: the block structs and dequantize functions of ggml (ggml-common.h, ggml-quants.c).
//
// A file may mix encodings: each tensor names its own.

#include "mortise/sdk/scheme.h"

namespace {

using namespace mortise::sdk;

// Where the bits of an element lie within its block: bit `offset` plus the sum of digits
// ((index / div) mod m) * stride, as in mortise_term. An element is a code, or a scale by its number.
struct Digit {
    uint64_t div, mod;
    int64_t stride;
};
struct Bits {
    uint32_t width = 0;  // 0: no such plane
    int64_t offset = 0;
    Digit digits[3] = {};
};
struct Element {
    uint32_t encoding = MORTISE_ENCODING_AS_DTYPE;  // MORTISE_ENCODING_*
    uint64_t group = 0;                             // columns that share one; 0: the block has none of these
    Bits low, high;                                 // two planes at most

    uint32_t bits() const { return low.width + high.width; }
};
// w = code * (scale2 * scale) - minimum2 * minimum, or + minimum where that is a float.
struct Encoding {
    std::string_view name;
    uint64_t columns, bytes;  // of a block
    Element codes, scale, scale2 = {}, minimum = {}, minimum2 = {};
};

constexpr uint32_t plain_codes = MORTISE_ENCODING_UNSIGNED, centred = MORTISE_ENCODING_OFFSET;

constexpr Element half(uint64_t group, int64_t byte) {
    return {.encoding = MORTISE_ENCODING_F16, .group = group, .low = {16, byte * 8}, .high = {}};
}
// Nibbles of 16 bytes: the low ones are elements 0 to 15, the high ones 16 to 31.
constexpr Bits split_16(int64_t byte) { return {4, byte * 8, {{1, 16, 8}, {16, 2, 4}}}; }
// Nibbles of 4 times 32 bytes, split alike.
constexpr Bits split_32(int64_t byte) { return {4, byte * 8, {{1, 32, 8}, {32, 2, 4}, {64, 4, 256}}}; }
// Pairs of bits of 2 times 32 bytes: 32 elements in the lowest pairs, then 32 in the next.
constexpr Bits pairs(int64_t byte) { return {2, byte * 8, {{1, 32, 8}, {32, 4, 2}, {128, 2, 256}}}; }
// Single bits of 32 bytes: 32 elements in the lowest bits, then 32 in the next.
constexpr Bits singles(int64_t byte) { return {1, byte * 8, {{1, 32, 8}, {32, 8, 1}}}; }
// One bit after the other.
constexpr Bits in_order(int64_t byte) { return {1, byte * 8, {{1, 32, 1}}}; }

constexpr Element codes_of(uint32_t encoding, Bits low, Bits high = {}) { return {encoding, 1, low, high}; }

// Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each whole in the low bits of the
// bytes 0 to 7, the other four as nibbles of the bytes 8 to 11 and the two high bits of the bytes 0 to 7.
constexpr Element scales_6(int64_t byte) {
    return {
        plain_codes, 32, {4, byte * 8, {{1, 4, 8}, {4, 2, 64}}}, {2, byte * 8 + 4, {{1, 4, 8}, {4, 2, 2}}}};
}
constexpr Element minima_6(int64_t byte) {
    return {plain_codes,
            32,
            {4, byte * 8 + 32, {{1, 4, 8}, {4, 2, 36}}},
            {2, byte * 8 + 36, {{1, 4, 8}, {4, 2, 2}}}};
}

constexpr Encoding encodings[] = {
    // d is negative as often as not
    {"q4_0", 32, 18, codes_of(centred, split_16(2)), half(32, 0)},
    {"q4_1", 32, 20, codes_of(plain_codes, split_16(4)), half(32, 0), {}, half(32, 2)},
    {"q5_0", 32, 22, codes_of(centred, split_16(6), in_order(2)), half(32, 0)},
    {"q5_1", 32, 24, codes_of(plain_codes, split_16(8), in_order(4)), half(32, 0), {}, half(32, 2)},
    {"q8_0", 32, 34, codes_of(MORTISE_ENCODING_TWOS, {8, 16, {{1, 32, 8}}}), half(32, 0)},
    {"q2_k",
     256,
     84,
     codes_of(plain_codes, pairs(16)),
     {plain_codes, 16, {4, 0, {{1, 16, 8}}}, {}},
     half(256, 80),
     {plain_codes, 16, {4, 4, {{1, 16, 8}}}, {}},
     half(256, 82)},
    // scales less 32: nibbles of 8 bytes, split, and pairs of 4
    {"q3_k",
     256,
     110,
     codes_of(centred, pairs(32), singles(0)),
     {centred, 16, {4, 96 * 8, {{1, 8, 8}, {8, 2, 4}}}, {2, 104 * 8, {{1, 4, 8}, {4, 4, 2}}}},
     half(256, 108)},
    {"q4_k", 256, 144, codes_of(plain_codes, split_32(16)), scales_6(4), half(256, 0), minima_6(4),
     half(256, 2)},
    {"q5_k", 256, 176, codes_of(plain_codes, split_32(48), singles(16)), scales_6(4), half(256, 0),
     minima_6(4), half(256, 2)},
    {"q6_k",
     256,
     210,
     codes_of(centred, {4, 0, {{1, 64, 8}, {64, 2, 4}, {128, 2, 512}}},
              {2, 128 * 8, {{1, 32, 8}, {32, 4, 2}, {128, 2, 256}}}),
     {MORTISE_ENCODING_TWOS, 16, {8, 192 * 8, {{1, 16, 8}}}, {}},
     half(256, 208)},
    {"iq4_nl", 32, 18, codes_of(MORTISE_ENCODING_LOOKUP, split_16(2)), half(32, 0)},
    // scales less 32: nibbles of 4 bytes and pairs of 2
    {"iq4_xs",
     256,
     136,
     codes_of(MORTISE_ENCODING_LOOKUP, {4, 8 * 8, {{1, 16, 8}, {16, 2, 4}, {32, 8, 128}}}),
     {centred, 32, {4, 4 * 8, {{1, 8, 4}}}, {2, 2 * 8, {{1, 8, 2}}}},
     half(256, 0)},
    {"mxfp4", 32, 17, codes_of(MORTISE_ENCODING_E2M1, split_16(1)), {MORTISE_ENCODING_E8M0, 32, {8, 0}, {}}},
};
// Values of "iq4_nl" and "iq4_xs" codes.
constexpr float uneven[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// One spec over blocks: all of its fields lie in one tensor of bytes.
class Blocks {
  public:
    Blocks(const Encoding& encoding, const mortise_module& m, const std::string& tensor)
        : encoding_(encoding), tensor_(tensor), spec_(m.experts, m.rows, m.columns) {
        const uint64_t row = m.columns / encoding.columns * encoding.bytes;
        row_bits_ = static_cast<int64_t>(row * 8);
        stored_ = m.experts > 1 ? shape_of({m.experts, m.rows, row}) : shape_of({m.rows, row});
        const Element& codes = encoding.codes;
        put(spec_.codes(tensor, codes.encoding, codes.bits(), {MORTISE_DTYPE_U8}, {stored_}), codes);
        if (codes.encoding == MORTISE_ENCODING_LOOKUP) {
            spec_->n_table = std::size(uneven);
            spec_->table = uneven;
        }
        if (encoding.scale2.group != 0) add_level(MORTISE_ROLE_SCALE2, encoding.scale2);
        add_level(MORTISE_ROLE_SCALE, encoding.scale);
        if (encoding.minimum.group != 0) add_minima();
    }
    Spec take() { return std::move(spec_); }

  private:
    void put(mortise_field& field, const Element& element) {
        field.experts = spec_->experts;
        field.encoding = element.encoding;
        field.bits = element.bits();
        field.flags = element.encoding == MORTISE_ENCODING_F16 || element.encoding == MORTISE_ENCODING_E8M0
                          ? MORTISE_FIELD_FINITE
                          : 0;
        for (const Bits& bits : {element.low, element.high})
            if (bits.width != 0) field.layout.planes[field.layout.n_planes++] = plane(bits, element.group);
    }
    mortise_plane plane(const Bits& bits, uint64_t group) {
        mortise_plane out{};
        out.bits = bits.width;
        out.offset = static_cast<uint64_t>(bits.offset);
        const auto add = [&](const mortise_term& each) { out.terms[out.n_terms++] = each; };
        for (const Digit& digit : bits.digits)
            if (digit.div != 0) add(by_column(digit.stride, digit.div, digit.mod));
        add(by_column(static_cast<int64_t>(encoding_.bytes * 8), encoding_.columns / group));
        add(by_row(row_bits_));
        if (spec_->experts > 1) add(by_expert(row_bits_ * static_cast<int64_t>(spec_->rows)));
        add(by_bit());
        return out;
    }
    void add_level(uint32_t role, const Element& element) {
        put(spec_.level(role, tensor_, 1, element.group, {MORTISE_DTYPE_U8}, {stored_}), element);
    }
    void add_minima() {
        const Element &fine = encoding_.minimum, &coarse = encoding_.minimum2;
        put(spec_.offsets(MORTISE_ROLE_ADDEND, tensor_, 1, fine.group, {MORTISE_DTYPE_U8}, {stored_}), fine);
        if (coarse.group == 0) return;
        mortise_field& field = spec_.field(MORTISE_ROLE_ADDEND_SCALE, tensor_, {MORTISE_DTYPE_U8}, {stored_});
        field.rows = spec_->rows;
        field.columns = spec_->columns / coarse.group;
        put(field, coarse);
        spec_->addend_scale = {MORTISE_ROLE_ADDEND_SCALE, 0, 1, coarse.group, 0, 0, 0, nullptr};
        spec_->addend_sign = -1;
    }

    const Encoding& encoding_;
    std::string tensor_;
    Spec spec_;
    int64_t row_bits_ = 0;
    mortise_shape stored_{};
};

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
        if (m.columns % e.columns != 0)
            throw Refused({.what = "a row is not made of whole blocks",
                           .subject = weight,
                           .expected = "a multiple of " + std::to_string(e.columns) + " columns",
                           .found = std::to_string(m.columns)});
        Spec spec = Blocks(e, m, weight).take();
        if (m.has_bias != 0) add_bias(spec, name + ".bias", m.rows, m.experts);
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
