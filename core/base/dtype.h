// Element types and shapes of tensors. Thread-safe: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mortise {

// Numeric values equal the MORTISE_DTYPE_* constants of the plugin ABI; 0 means none there.
enum class DType : uint8_t {
    bool_ = 1,
    u8,
    i8,
    u16,
    i16,
    f16,
    bf16,
    u32,
    i32,
    f32,
    u64,
    i64,
    f64,
    c64,
    f8_e4m3,
    f8_e5m2,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    f8_e8m0,
    f4_e2m1,
    f6_e2m3,
    f6_e3m2,
};
inline constexpr int dtype_count = 22;

// Effect: bits of one element: 4, 6, 8, 16, 32 or 64.
int bits(DType dtype);
// Effect: the name as safetensors spells it: "BF16", "F8_E4M3", "F4".
std::string_view name(DType dtype);
// Effect: the type of that exact safetensors name; nothing for other words.
std::optional<DType> parse_dtype(std::string_view name);
bool is_float(DType dtype);        // any real floating point type, small ones included
bool is_small_float(DType dtype);  // 8 bits or fewer: bytes that need a scale to mean something

// Extents, outermost first. Never negative in a Catalog.
using Shape = std::vector<int64_t>;
std::string to_string(const Shape& shape);           // "[2,3]", "[]"
std::string to_string(DType dtype, const Shape& s);  // "F32 [2,3]"
// Effect: product of the extents; nothing on overflow or a negative extent.
std::optional<uint64_t> elements(const Shape& shape);
// Effect: bytes of a dense tensor; nothing on overflow or when the last byte would be cut.
std::optional<uint64_t> dense_bytes(DType dtype, const Shape& shape);

}  // namespace mortise
