#include "quant/spec.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"

namespace mortise::quant {
namespace {

constexpr std::array<std::string_view, 21> role_names = {
    "none",       "codes",      "scale",    "scale2",      "zero_point",       "addend",       "addend_scale",
    "g_idx",      "pre_scale",  "rotation", "input_scale", "input_zero_point", "input_scale2", "bias",
    "low_rank_a", "low_rank_b", "table",    "shape",       "unused",           "cast_scale",   "scale_table"};

struct EncodingFacts {
    std::string_view name;
    uint32_t bits;  // 0: given beside it
};
constexpr std::array<EncodingFacts, 14> encodings = {{{"as-dtype", 0},
                                                      {"uint", 0},
                                                      {"int", 0},
                                                      {"int", 0},
                                                      {"e2m1", 4},
                                                      {"e4m3", 8},
                                                      {"e5m2", 8},
                                                      {"e4m3fnuz", 8},
                                                      {"e5m2fnuz", 8},
                                                      {"e8m0", 8},
                                                      {"f16", 16},
                                                      {"bf16", 16},
                                                      {"f32", 32},
                                                      {"lookup", 0}}};

// Folds a level into the finest common column group; 0 stands for "all columns".
void refine(uint64_t& group, const Level& level, uint64_t columns, bool indexed) {
    if (level.role == MORTISE_ROLE_NONE || level.column_group == 0) return;
    uint64_t size = level.column_group;
    if (level.flat) size = std::gcd(size, columns);
    if (size < columns || indexed) group = std::gcd(group, size);
}

bool varies(const Level& level, uint64_t rows) {
    if (level.role == MORTISE_ROLE_NONE) return false;
    if (level.flat) return true;
    if (!level.row_splits.empty()) return level.row_splits.size() > 1;
    return level.row_group > 0 && level.row_group < rows;
}

}  // namespace

std::string_view role_name(uint32_t role) { return role < role_names.size() ? role_names[role] : "?"; }
std::string_view encoding_name(uint32_t encoding) {
    return encoding < encodings.size() ? encodings[encoding].name : "?";
}
uint32_t encoding_bits(uint32_t encoding) {
    return encoding < encodings.size() ? encodings[encoding].bits : 0;
}

bool Field::accepts(DType dtype) const { return std::ranges::find(dtypes, dtype) != dtypes.end(); }
bool Field::accepts(const Shape& shape) const { return std::ranges::find(shapes, shape) != shapes.end(); }

std::pair<uint32_t, uint32_t> Field::stored_as(DType dtype) const {
    auto width = static_cast<uint32_t>(mortise::bits(dtype));
    if (encoding != MORTISE_ENCODING_AS_DTYPE) {
        uint32_t fixed = encoding_bits(encoding);
        return {encoding, bits ? bits : fixed ? fixed : width};
    }
    uint32_t as = MORTISE_ENCODING_AS_DTYPE;
    switch (dtype) {
        case DType::bool_:
        case DType::u8:
        case DType::u16:
        case DType::u32:
        case DType::u64: as = MORTISE_ENCODING_UNSIGNED; break;
        case DType::i8:
        case DType::i16:
        case DType::i32:
        case DType::i64: as = MORTISE_ENCODING_TWOS; break;
        case DType::f16: as = MORTISE_ENCODING_F16; break;
        case DType::bf16: as = MORTISE_ENCODING_BF16; break;
        case DType::f32: as = MORTISE_ENCODING_F32; break;
        case DType::f8_e4m3: as = MORTISE_ENCODING_E4M3; break;
        case DType::f8_e5m2: as = MORTISE_ENCODING_E5M2; break;
        case DType::f8_e4m3fnuz: as = MORTISE_ENCODING_E4M3FNUZ; break;
        case DType::f8_e5m2fnuz: as = MORTISE_ENCODING_E5M2FNUZ; break;
        case DType::f8_e8m0: as = MORTISE_ENCODING_E8M0; break;
        case DType::f4_e2m1: as = MORTISE_ENCODING_E2M1; break;
        default: break;  // f64 and what has no encoding stay AS_DTYPE
    }
    return {as, width};
}

bool QuantSpec::is_plain() const {
    bool wide = encoding == MORTISE_ENCODING_F32 || encoding == MORTISE_ENCODING_F16 ||
                encoding == MORTISE_ENCODING_BF16 || encoding == MORTISE_ENCODING_AS_DTYPE;
    return wide && levels.empty() && offset == Offset::none;
}

bool QuantSpec::is_integer() const {
    return encoding == MORTISE_ENCODING_UNSIGNED || encoding == MORTISE_ENCODING_OFFSET ||
           encoding == MORTISE_ENCODING_TWOS;
}

const Field* QuantSpec::find(uint32_t role) const {
    auto at = std::ranges::find(fields, role, &Field::role);
    return at == fields.end() ? nullptr : &*at;
}

uint64_t QuantSpec::column_group() const {
    uint64_t group = 0;
    bool mapped = indexed();
    for (const Level& level : levels) refine(group, level, extent.columns, mapped);
    if (offset == Offset::zero_point || offset == Offset::addend) {
        refine(group, zero_map, extent.columns, mapped);
        refine(group, addend_scale, extent.columns, mapped);
    }
    return group ? group : std::max<uint64_t>(extent.columns, 1);
}

uint64_t QuantSpec::column_groups() const { return divide_up(extent.columns, column_group()); }

bool QuantSpec::row_scales_vary() const {
    bool any = std::ranges::any_of(levels, [&](const Level& level) { return varies(level, extent.rows); });
    bool mapped = offset == Offset::zero_point || offset == Offset::addend;
    return any || (mapped && (varies(zero_map, extent.rows) || varies(addend_scale, extent.rows)));
}

QuantSpec stacked(const QuantSpec& one, uint64_t experts) {
    QuantSpec out = one;
    out.extent.experts = experts;
    for (Field& field : out.fields) {
        const bool shared = field.role == MORTISE_ROLE_TABLE || field.role == MORTISE_ROLE_SCALE_TABLE ||
                            field.role == MORTISE_ROLE_ROTATION;
        if (shared) continue;
        field.extent.experts = experts;
        const uint64_t bytes = dense_bytes(field.dtypes.front(), field.shapes.front()).value_or(0);
        for (Plane& plane : field.layout.planes)
            plane.terms.push_back(
                {.source = MORTISE_SOURCE_EXPERT, .stride = static_cast<int64_t>(bytes * 8)});
        for (Shape& shape : field.shapes) shape.insert(shape.begin(), static_cast<int64_t>(experts));
    }
    return out;
}

int32_t QuantSpec::code_origin() const {
    bool is_signed = encoding == MORTISE_ENCODING_OFFSET || encoding == MORTISE_ENCODING_TWOS;
    return is_signed ? int32_t{1} << (bits - 1) : 0;
}

}  // namespace mortise::quant
