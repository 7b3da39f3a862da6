#include "bank.h"

#include <cstring>

#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

constexpr uint64_t absent = ~uint64_t{0};
constexpr uint64_t line = 64;

uint64_t plain_bytes(uint32_t encoding) { return encoding == MORTISE_ENCODING_F32 ? 4 : 2; }

// Effect: reserves `bytes` at the end if wanted; returns the offset.
uint64_t reserve(uint64_t& end, uint64_t bytes, bool wanted) {
    if (!wanted) return absent;
    const uint64_t at = end;
    end += (bytes + line - 1) / line * line;
    return at;
}

void copy(uint8_t* packed, uint64_t offset, uint64_t index, const float* from, uint64_t count) {
    if (from) std::memcpy(packed + offset + index * sizeof(float), from, count * sizeof(float));
}

}  // namespace

Bank::Bank(const mortise_kernel_part& part) : part_(&part), groups_(sdk::column_groups(part)) {
    const mortise_spec& spec = *part.spec;
    const bool plain = sdk::is_plain(spec);
    const uint64_t rows = part.experts * part.rows;
    element_ = plain ? plain_bytes(spec.encoding) : 1;
    reserve(bytes_, rows * part.columns * element_, true);
    scale_ = reserve(bytes_, rows * groups_ * 4, !plain || spec.n_levels > 0);
    zero_ = reserve(bytes_, rows * groups_ * 4, spec.offset_kind == 2);
    addend_ = reserve(bytes_, rows * groups_ * 4, spec.offset_kind == 3);
    map_ = reserve(bytes_, part.experts * part.columns * 4, part.indexed != 0);
    table_ = reserve(bytes_, sizeof(float) << (spec.bits > 8 ? 8 : spec.bits),
                     spec.encoding == MORTISE_ENCODING_LOOKUP);
    cast_ = reserve(bytes_, sizeof(float), spec.has_cast != 0);
}

mortise_status Bank::store(const mortise_tile& tile, uint8_t* packed) {
    const bool fits = tile.expert < part_->experts && tile.row + tile.rows <= part_->rows &&
                      tile.columns == part_->columns && (tile.codes || tile.plain);
    if (!fits) return fail(MORTISE_INTERNAL, "a tile lies outside its part");
    if (tile.plain && plain_bytes(tile.plain_encoding) != element_) {
        return fail(MORTISE_INTERNAL, "a tile of plain weights has another width than its part");
    }
    if (tile.groups > groups_) return fail(MORTISE_INTERNAL, "a tile has more column groups than its part");
    const float* cast = MORTISE_HAS(&tile, mortise_tile, cast_scale) ? tile.cast_scale : nullptr;
    if ((tile.scale && scale_ == absent) || (tile.zero && zero_ == absent) ||
        (tile.addend && addend_ == absent) || (tile.group_of_column && map_ == absent) ||
        (tile.table && table_ == absent) || (cast && cast_ == absent)) {
        return fail(MORTISE_INTERNAL, "a tile carries an array that its part did not announce");
    }
    const uint64_t first = tile.expert * part_->rows + tile.row;
    std::memcpy(packed + first * part_->columns * element_, tile.codes ? tile.codes : tile.plain,
                tile.rows * part_->columns * element_);
    copy(packed, scale_, first * groups_, tile.scale, tile.rows * tile.groups);
    copy(packed, zero_, first * groups_, tile.zero, tile.rows * tile.groups);
    copy(packed, addend_, first * groups_, tile.addend, tile.rows * tile.groups);
    if (tile.row != 0) return MORTISE_OK;  // the rest is common to all rows of an expert
    if (tile.group_of_column) {
        std::memcpy(packed + map_ + tile.expert * part_->columns * 4, tile.group_of_column,
                    part_->columns * 4);
    }
    if (tile.expert != 0) return MORTISE_OK;
    copy(packed, table_, 0, tile.table, uint64_t{1} << part_->spec->bits);
    copy(packed, cast_, 0, cast, 1);
    shape_ = tile;
    shape_.head = sdk::head_of<mortise_tile>();
    shape_.cast_scale = cast;
    return MORTISE_OK;
}

void Bank::decode(const uint8_t* packed, uint64_t expert, uint64_t row, uint64_t rows, float* out) const {
    const uint64_t first = expert * part_->rows + row;
    const auto floats = [&](const void* seen, uint64_t offset, uint64_t index) {
        return seen ? reinterpret_cast<const float*>(packed + offset) + index : nullptr;
    };
    mortise_tile tile = shape_;
    tile.spec = part_->spec;
    tile.expert = expert;
    tile.row = row;
    tile.rows = rows;
    const uint8_t* elements = packed + first * part_->columns * element_;
    tile.codes = shape_.codes ? elements : nullptr;
    tile.plain = shape_.plain ? elements : nullptr;
    tile.scale = floats(shape_.scale, scale_, first * shape_.groups);
    tile.zero = floats(shape_.zero, zero_, first * shape_.groups);
    tile.addend = floats(shape_.addend, addend_, first * shape_.groups);
    tile.table = floats(shape_.table, table_, 0);
    tile.cast_scale = floats(shape_.cast_scale, cast_, 0);
    if (shape_.group_of_column) {
        tile.group_of_column = reinterpret_cast<const uint32_t*>(packed + map_) + expert * part_->columns;
    }
    sdk::host().decode_tile(&tile, out);
}

}  // namespace mortise::reference
