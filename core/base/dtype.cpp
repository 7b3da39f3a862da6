#include "base/dtype.h"

#include <array>

#include "base/checked.h"
#include "base/result.h"

namespace mortise {
namespace {

struct Row {
    std::string_view name;
    int bits;
};
// Names and widths: safetensors, README, "Format"; the order is that of DType.
constexpr std::array<Row, dtype_count> rows = {{
    {"BOOL", 8},    {"U8", 8},   {"I8", 8},      {"U16", 16},    {"I16", 16},        {"F16", 16},
    {"BF16", 16},   {"U32", 32}, {"I32", 32},    {"F32", 32},    {"U64", 64},        {"I64", 64},
    {"F64", 64},    {"C64", 64}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6},
}};

const Row& row(DType dtype) {
    size_t i = static_cast<size_t>(dtype) - 1;
    MORTISE_INVARIANT(i < rows.size());
    return rows[i];
}

}  // namespace

int bits(DType dtype) { return row(dtype).bits; }
std::string_view name(DType dtype) { return row(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].name == name) return static_cast<DType>(i + 1);
    }
    return std::nullopt;
}

bool is_small_float(DType dtype) { return dtype >= DType::f8_e4m3; }

bool is_float(DType dtype) {
    switch (dtype) {
        case DType::f16:
        case DType::bf16:
        case DType::f32:
        case DType::f64: return true;
        default: return is_small_float(dtype);
    }
}

std::string to_string(const Shape& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) {
        if (i > 0) text += ',';
        text += std::to_string(shape[i]);
    }
    return text + ']';
}

std::string to_string(DType dtype, const Shape& s) { return std::string(name(dtype)) + ' ' + to_string(s); }

std::optional<uint64_t> elements(const Shape& shape) {
    Checked product = 1;
    for (int64_t extent : shape) {
        if (extent < 0) return std::nullopt;
        product *= static_cast<uint64_t>(extent);
    }
    return product.get();
}

std::optional<uint64_t> dense_bytes(DType dtype, const Shape& shape) {
    auto count = elements(shape);
    if (!count) return std::nullopt;
    auto total = checked_mul(*count, static_cast<uint64_t>(bits(dtype)));
    if (!total || *total % 8 != 0) return std::nullopt;
    return *total / 8;
}

}  // namespace mortise
