#include "packer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "panel_writer.h"

namespace mortise::cpu {
namespace {

void values_of_codes(const mortise_spec& spec, float* values) {
    uint8_t codes[16];
    for (uint8_t i = 0; i < 16; i++) codes[i] = i;
    auto tile = sdk::make<mortise_tile>();
    tile.spec = &spec;
    tile.rows = 1, tile.columns = 16, tile.codes = codes;
    tile.groups = 1, tile.group_size = 16;
    sdk::host().decode_tile(&tile, values);
}

// Finds the largest unit of which all values of the table are small multiples.
void fill_bytes(Packing& packing) {
    for (float unit = 1; unit >= 0x1p-6f && packing.byte_unit == 0; unit /= 2) {
        const bool fits = std::all_of(packing.table, packing.table + 16, [&](float v) {
            return std::fabs(v / unit) <= 127 && v / unit == std::floor(v / unit);
        });
        if (!fits) continue;
        packing.byte_unit = unit;
        std::transform(packing.table, packing.table + 16, packing.bytes,
                       [&](float v) { return static_cast<int8_t>(v / unit); });
    }
}

void fill_table(Packing& packing, const mortise_spec& spec, const mortise_tile& tile) {
    const uint32_t count = 1u << spec.bits;
    if (spec.encoding == MORTISE_ENCODING_LOOKUP) {
        std::copy_n(tile.table, count, packing.table);
    } else if (is_integer(spec.encoding)) {
        const float zero = packing.shifted() ? packing.centre : tile.zero_constant;
        for (uint32_t i = 0; i < count; i++) packing.table[i] = static_cast<float>(i) - zero;
    } else {
        values_of_codes(spec, packing.table);
    }
    packing.exact_bf16 = std::all_of(packing.table, packing.table + 16,
                                     [](float v) { return sdk::from_bf16(sdk::to_bf16(v)) == v; });
    fill_bytes(packing);
}

const float* cast_scale(const mortise_tile& tile) {
    return MORTISE_HAS(&tile, mortise_tile, cast_scale) ? tile.cast_scale : nullptr;
}

}  // namespace

Packing plain_packing(uint64_t rows, uint64_t columns) {
    Packing out{};
    out.kind = Kind::f32;
    out.rows = rows, out.columns = columns;
    out.padded = (columns + column_step - 1) / column_step * column_step;
    out.panels = (rows + panel_rows - 1) / panel_rows;
    out.groups = 1, out.group = out.padded;
    return out;
}

void pack_floats(const Packing& packing, const float* rows, uint8_t* packed) {
    std::memset(packed, 0, packing.panels * packing.panel_bytes());
    for (uint64_t n = 0; n < packing.rows; n++) {
        float* panel = reinterpret_cast<float*>(packed + n / panel_rows * packing.panel_bytes());
        for (uint64_t k = 0; k < packing.columns; k++) {
            panel[k * panel_rows + n % panel_rows] = rows[n * packing.columns + k];
        }
    }
}

PackedPart::PackedPart(const mortise_kernel_part& part, uint32_t activations) : part_(part) {
    choose_packing(part, activations, packing_);
    bytes_ = packing_.panels * packing_.panel_bytes();
}

// What only the tiles tell: the values of codes, and the groups of columns.
void PackedPart::settle(const mortise_tile& tile) {
    if (packing_.kind == Kind::code4) fill_table(packing_, *part_.spec, tile);
    if (!packing_.moved) return;
    packing_.groups = tile.groups;
    order_ = order_columns(tile.columns, tile.groups, [&](uint64_t column) -> uint64_t {
        return tile.group_of_column ? tile.group_of_column[column] : (column + tile.phase) / tile.group_size;
    });
    packing_.padded = order_.starts.back();
    packing_.starts = order_.starts.data();
    packing_.order = order_.places.data();
}

// What does not depend on other tiles.
mortise_status PackedPart::check(const mortise_tile& tile) const {
    const mortise_spec& spec = *part_.spec;
    if (tile.row % panel_rows != 0 || tile.row + tile.rows > part_.rows || tile.columns != part_.columns) {
        return fail(MORTISE_INTERNAL, "a tile lies outside its part");
    }
    const bool coded = !sdk::is_plain(spec), tabled = spec.encoding == MORTISE_ENCODING_LOOKUP;
    if ((coded && !tile.codes) || (tabled && !tile.table) ||
        (!coded && (!tile.plain || tile.plain_encoding != spec.encoding))) {
        return fail(MORTISE_INTERNAL, "a tile has another encoding than its part");
    }
    if (packing_.form == Form::cast && !cast_scale(tile)) {
        return fail(MORTISE_REFUSED, "weights are cast with a scale of zero");
    }
    if (packing_.moved && tile.groups > sdk::column_groups(part_)) {
        return fail(MORTISE_INTERNAL, "a tile has more column groups than its part");
    }
    return MORTISE_OK;
}

mortise_status PackedPart::check_arrays(const mortise_tile& tile) const {
    if (packing_.form == Form::cast || packing_.form == Form::decoded) return MORTISE_OK;
    if ((tile.scale || tile.zero || tile.addend) && tile.groups != packing_.groups) {
        return fail(MORTISE_INTERNAL, "a tile has another number of column groups than its part");
    }
    if ((tile.group_of_column && !packing_.moved && packing_.groups > 1) ||
        (tile.scale && !packing_.has_scale) || (tile.zero && !packing_.shifted()) ||
        (tile.addend && !packing_.has_offset)) {
        return fail(MORTISE_INTERNAL, "a tile carries an array that its part did not announce");
    }
    const uint64_t zeros = packing_.has_zero && tile.zero ? tile.rows * tile.groups : 0;
    const auto is_byte = [](float zero) { return zero >= 0 && zero <= 255 && zero == std::floor(zero); };
    if (!std::all_of(tile.zero, tile.zero + zeros, is_byte)) {
        return fail(MORTISE_REFUSED, "a zero point is no integer from 0 to 255");
    }
    return MORTISE_OK;
}

mortise_status PackedPart::pack(const mortise_tile& tile, uint8_t* packed) {
    if (const mortise_status status = check(tile); status != MORTISE_OK) return status;
    std::call_once(*settled_, [&] { settle(tile); });
    if (const mortise_status status = check_arrays(tile); status != MORTISE_OK) return status;
    PanelWriter writer(packing_, *part_.spec, tile);
    for (uint64_t row = 0; row < tile.rows; row += panel_rows) {
        uint8_t* panel = packed + (tile.row + row) / panel_rows * packing_.panel_bytes();
        if (!writer.write(row, panel)) return fail(MORTISE_INTERNAL, "a scale has more bits than its field");
    }
    return MORTISE_OK;
}

}  // namespace mortise::cpu
