#include "quant/elements.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <numeric>

#include "base/codes.h"
#include "base/small_float.h"
#include "quant/decode.h"

namespace mortise::quant {
namespace {

constexpr uint32_t first_small = MORTISE_ENCODING_E2M1, last_small = MORTISE_ENCODING_E8M0;

std::array<std::array<float, 256>, last_small - first_small + 1> make_tables() {
    std::array<std::array<float, 256>, last_small - first_small + 1> out;
    for (uint32_t e = first_small; e <= last_small; ++e) {
        auto values = decode_table(small_type(e));
        for (size_t i = 0; i < 256; ++i) out[e - first_small][i] = values[i % values.size()];
    }
    return out;
}

int64_t integer_value(uint32_t encoding, uint32_t bits, uint64_t raw) {
    if (encoding == MORTISE_ENCODING_UNSIGNED) return static_cast<int64_t>(raw);
    if (bits >= 64) return static_cast<int64_t>(raw);
    int64_t half = int64_t{1} << (bits - 1);
    auto value = static_cast<int64_t>(raw);
    if (encoding == MORTISE_ENCODING_OFFSET) return value - half;
    return value >= half ? value - 2 * half : value;
}

double wide_value(uint64_t raw, uint32_t bits) {  // a float dtype without an encoding of its own: f64
    return bits == 64 ? std::bit_cast<double>(raw) : static_cast<double>(raw);
}

}  // namespace

DType small_type(uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_E2M1: return DType::f4_e2m1;
        case MORTISE_ENCODING_E4M3: return DType::f8_e4m3;
        case MORTISE_ENCODING_E5M2: return DType::f8_e5m2;
        case MORTISE_ENCODING_E4M3FNUZ: return DType::f8_e4m3fnuz;
        case MORTISE_ENCODING_E5M2FNUZ: return DType::f8_e5m2fnuz;
        default: return DType::f8_e8m0;
    }
}

const float* code_values(uint32_t encoding) {
    static const auto tables = make_tables();
    MORTISE_INVARIANT(encoding >= first_small && encoding <= last_small);
    return tables[encoding - first_small].data();
}

double element_value(uint32_t encoding, uint32_t bits, uint64_t raw) {
    switch (encoding) {
        case MORTISE_ENCODING_UNSIGNED:
        case MORTISE_ENCODING_OFFSET:
        case MORTISE_ENCODING_TWOS: return static_cast<double>(integer_value(encoding, bits, raw));
        case MORTISE_ENCODING_F16: return f16_to_f32(static_cast<uint16_t>(raw));
        case MORTISE_ENCODING_BF16: return bf16_to_f32(static_cast<uint16_t>(raw));
        case MORTISE_ENCODING_F32: return std::bit_cast<float>(static_cast<uint32_t>(raw));
        case MORTISE_ENCODING_AS_DTYPE: return wide_value(raw, bits);
        case MORTISE_ENCODING_LOOKUP: return static_cast<double>(raw);
        default: return code_values(encoding)[raw & 255];
    }
}

void decode_elements(uint32_t encoding, uint32_t bits, std::span<const uint64_t> raw, float* out) {
    size_t n = raw.size();
    switch (encoding) {
        case MORTISE_ENCODING_F16:
            for (size_t i = 0; i < n; ++i) out[i] = f16_to_f32(static_cast<uint16_t>(raw[i]));
            return;
        case MORTISE_ENCODING_BF16:
            for (size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(static_cast<uint16_t>(raw[i]));
            return;
        case MORTISE_ENCODING_F32:
            for (size_t i = 0; i < n; ++i) out[i] = std::bit_cast<float>(static_cast<uint32_t>(raw[i]));
            return;
        default:
            for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(element_value(encoding, bits, raw[i]));
    }
}

Result<BoundField> BoundField::bind(const Field& field, const FieldBytes& source) {
    BoundField out{.field = &field, .source = source};
    if (!field.accepts(source.dtype)) {
        std::string expected;
        for (DType dtype : field.dtypes)
            expected += (expected.empty() ? "" : " or ") + std::string(name(dtype));
        return fail(Problem{.code = Code::tensor_dtype,
                            .what = "tensor has the wrong element type",
                            .tensor = field.tensor,
                            .expected = expected,
                            .found = std::string(name(source.dtype))});
    }
    std::tie(out.encoding, out.bits) = field.stored_as(source.dtype);
    if (source.window == nullptr) {
        auto proof = prove(field.layout, field.extent, out.bits, source.bytes.size() * 8);
        if (!proof) return std::unexpected(std::move(proof).error().in_tensor(field.tensor));
    }
    if (field.stored_bias_word == 0 || field.stored_bias == 0) return out;
    // The bias repeats in every field of a word; carries cross fields, as the producer's subtraction did.
    size_t size = field.stored_bias_word / 8;
    if (source.window || source.bytes.size() % size || field.stored_bias_word % 8) {
        return fail(Problem{.code = Code::layout_invalid,
                            .what = "biased words do not fill the tensor",
                            .tensor = field.tensor});
    }
    uint64_t repeated = 0;
    for (uint32_t at = 0; at + out.bits <= field.stored_bias_word; at += out.bits) {
        repeated += static_cast<uint64_t>(field.stored_bias) << at;
    }
    out.corrected.assign(source.bytes.begin(), source.bytes.end());
    for (size_t at = 0; at < out.corrected.size(); at += size) {
        uint64_t word = 0;
        std::memcpy(&word, out.corrected.data() + at, size);
        word += repeated;
        std::memcpy(out.corrected.data() + at, &word, size);
    }
    return out;
}

void BoundField::unbias(std::span<uint64_t> raw) const {
    if (field->stored_bias == 0 || field->stored_bias_word) return;
    uint64_t mask = bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    for (uint64_t& value : raw) value = (value + static_cast<uint64_t>(field->stored_bias)) & mask;
}

void BoundField::read(const Copier& copier, uint64_t of_spec, std::span<const uint64_t> rows,
                      const std::vector<float>& table, std::vector<uint64_t>& raw, float* out) const {
    raw.resize(rows.size() * copier.columns());
    copier.extract(bytes(), expert(of_spec), rows, raw.data());
    unbias(raw);
    if (encoding != MORTISE_ENCODING_LOOKUP) return decode_elements(encoding, bits, raw, out);
    for (size_t i = 0; i < raw.size(); ++i) out[i] = table[raw[i]];
}

std::vector<uint64_t> all_rows(uint64_t rows) {
    std::vector<uint64_t> out(rows);
    std::iota(out.begin(), out.end(), uint64_t{0});
    return out;
}

}  // namespace mortise::quant
