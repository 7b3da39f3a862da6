#include "packer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::cpu {
namespace {

bool is_integer(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_UNSIGNED || encoding == MORTISE_ENCODING_OFFSET ||
           encoding == MORTISE_ENCODING_TWOS;
}

// The float codes that are kept as bf16 numbers: all have fewer bits in every field.
bool widens_to_bf16(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_E5M2 || encoding == MORTISE_ENCODING_E4M3FNUZ ||
           encoding == MORTISE_ENCODING_E5M2FNUZ;
}

const char* choose_kind(const mortise_spec& spec, Kind& kind) {
    if (spec.encoding == MORTISE_ENCODING_F32) kind = Kind::f32;
    else if (spec.encoding == MORTISE_ENCODING_F16) kind = Kind::f16;
    else if (spec.encoding == MORTISE_ENCODING_BF16) kind = Kind::bf16;
    else if (spec.encoding == MORTISE_ENCODING_E4M3) kind = Kind::e4m3;
    else if (widens_to_bf16(spec.encoding)) kind = Kind::bf16;
    else if (spec.bits > 8) return "codes of more than 8 bits";
    else if (spec.encoding == MORTISE_ENCODING_E2M1) kind = Kind::code4;
    else if (spec.encoding == MORTISE_ENCODING_LOOKUP && spec.bits <= 4) kind = Kind::code4;
    else if (is_integer(spec.encoding)) kind = spec.bits <= 4 ? Kind::code4 : Kind::int8;
    else return "code kind without a packing (lookup of more than 4 bits, or unknown)";
    return nullptr;
}

void values_of_codes(const mortise_spec& spec, float* values) {
    uint8_t codes[16];
    for (uint8_t i = 0; i < 16; i++) codes[i] = i;
    auto tile = sdk::make<mortise_tile>();
    tile.spec = &spec;
    tile.rows = 1, tile.columns = 16, tile.codes = codes;
    tile.groups = 1, tile.group_size = 16;
    sdk::host().decode_tile(&tile, values);
}

void fill_table(Packing& packing, const mortise_spec& spec, const mortise_tile& tile) {
    const uint32_t count = 1u << spec.bits;
    std::fill(packing.table, packing.table + 16, 0.0f);
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
}

// Up to 16 rows of a tile on their way into one panel.
class PanelWriter {
  public:
    PanelWriter(const Packing& packing, const mortise_spec& spec, const mortise_tile& tile, uint64_t row, uint8_t* panel)
        : packing_(packing), spec_(spec), tile_(tile), row_(row), count_(std::min(panel_rows, tile.rows - row)),
          panel_(panel) {}

    void write() {
        if (packing_.kind == Kind::bf16 && tile_.codes) widen();
        std::memset(panel_, 0, packing_.panel_bytes());
        for (uint64_t lane = 0; lane < count_; lane++) {
            for (uint64_t g = 0; g < packing_.groups; g++) {
                const bool poisoned = write_codes(lane, g);
                write_tail(lane, g, poisoned);
            }
        }
    }

  private:
    // Float codes as numbers: the host decodes them without their scales.
    void widen() {
        mortise_tile bare = tile_;
        bare.codes += row_ * tile_.columns;
        bare.rows = count_;
        bare.scale = bare.zero = bare.addend = nullptr;
        std::vector<float> values(count_ * tile_.columns);
        sdk::host().decode_tile(&bare, values.data());
        for (float value : values) wide_.push_back(sdk::to_bf16(value));
    }

    template <class T>
    const T* source(const void* base) const {
        return static_cast<const T*>(base) + row_ * tile_.columns;
    }

    // Effect: the codes of one row and group; true when one of them is not a number.
    bool write_codes(uint64_t lane, uint64_t g) {
        uint8_t* out = panel_ + packing_.record(g);
        const uint64_t begin = packing_.begin(g), end = std::min(packing_.end(g), packing_.columns);
        const uint64_t at = lane * packing_.columns;
        switch (packing_.kind) {
            case Kind::f32: spread(source<uint32_t>(tile_.plain) + at, lane, begin, end, out); return false;
            case Kind::f16: spread(source<uint16_t>(tile_.plain) + at, lane, begin, end, out); return false;
            case Kind::bf16: {
                const uint16_t* from = wide_.empty() ? source<uint16_t>(tile_.plain) : wide_.data();
                for (uint64_t k = begin; k < end; k++) {
                    std::memcpy(out + ((k - begin) / 2 * 32 + lane * 2 + (k - begin) % 2) * 2, from + at + k, 2);
                }
                return false;
            }
            case Kind::int8: return write_bytes(source<uint8_t>(tile_.codes) + at, lane, begin, end, out), false;
            case Kind::e4m3: return write_pairs(source<uint8_t>(tile_.codes) + at, lane, begin, end, out);
            default: return write_nibbles(source<uint8_t>(tile_.codes) + at, lane, begin, end, out), false;
        }
    }

    template <class T>
    static void spread(const T* from, uint64_t lane, uint64_t begin, uint64_t end, uint8_t* out) {
        for (uint64_t k = begin; k < end; k++) {
            std::memcpy(out + ((k - begin) * panel_rows + lane) * sizeof(T), from + k, sizeof(T));
        }
    }

    void write_bytes(const uint8_t* from, uint64_t lane, uint64_t begin, uint64_t end, uint8_t* out) const {
        const int middle = 1 << (spec_.bits - 1);
        for (uint64_t k = begin; k < end; k++) {
            out[(k - begin) / 4 * 64 + lane * 4 + (k - begin) % 4] = static_cast<uint8_t>(from[k] - middle);
        }
    }

    static bool write_pairs(const uint8_t* from, uint64_t lane, uint64_t begin, uint64_t end, uint8_t* out) {
        bool poisoned = false;
        for (uint64_t k = begin; k < end; k++) {
            poisoned |= (from[k] & 0x7f) == 0x7f;
            out[(k - begin) / 2 * 32 + lane * 2 + (k - begin) % 2] = from[k];
        }
        return poisoned;
    }

    static void write_nibbles(const uint8_t* from, uint64_t lane, uint64_t begin, uint64_t end, uint8_t* out) {
        uint64_t k = begin;
        for (; k < end; k += 8) {
            uint64_t eight = 0;
            std::memcpy(&eight, from + k, std::min<uint64_t>(8, end - k));
            const uint32_t word = static_cast<uint32_t>(eight) | static_cast<uint32_t>(eight >> 32) << 4;
            std::memcpy(out + (k - begin) / 8 * 64 + lane * 4, &word, 4);
        }
    }

    void write_tail(uint64_t lane, uint64_t g, bool poisoned) {
        if (!packing_.has_scale && !packing_.shifted()) return;
        const uint64_t entry = (row_ + lane) * packing_.groups + g;
        float* tail = reinterpret_cast<float*>(panel_ + packing_.end(g) * packing_.column_bytes() +
                                               g * packing_.tail_bytes());
        float scale = tile_.scale ? tile_.scale[entry] : 1.0f;
        const float zero = tile_.zero ? tile_.zero[entry] : tile_.zero_constant;
        if (packing_.has_zero) panel_[packing_.zeros() + g * panel_rows + lane] = static_cast<uint8_t>(zero);
        if (packing_.has_offset) {
            const float shift = is_integer(spec_.encoding) ? (packing_.centre - zero) * scale : 0.0f;
            tail[packing_.has_scale * panel_rows + lane] = shift + (tile_.addend ? tile_.addend[entry] : 0.0f);
        }
        if (packing_.kind == Kind::e4m3) scale *= 256.0f;  // the decoders read 2^-8 of the value
        if (poisoned) scale = std::numeric_limits<float>::quiet_NaN();
        if (packing_.has_scale) tail[lane] = scale;
    }

    const Packing& packing_;
    const mortise_spec& spec_;
    const mortise_tile& tile_;
    uint64_t row_, count_;
    uint8_t* panel_;
    std::vector<uint16_t> wide_;
};

}  // namespace

const char* choose_packing(const mortise_kernel_part& part, Packing& out) {
    const mortise_spec& spec = *part.spec;
    out = {};
    if (part.experts != 1) return "experts belong to moe";
    if (part.indexed) return "columns map to groups through a table";
    if (spec.has_cast) return "weights are cast before use";
    if (sdk::find_field(spec, MORTISE_ROLE_LOW_RANK_A)) return "a low-rank term is added";
    if (const char* why = choose_kind(spec, out.kind)) return why;
    const bool plain = sdk::is_plain(spec);
    const bool counts_from_centre = spec.encoding != MORTISE_ENCODING_UNSIGNED && spec.offset_kind == 0;
    out.has_scale = !plain || spec.n_levels > 0;
    out.has_zero = spec.offset_kind == 2 && out.kind == Kind::code4 && is_integer(spec.encoding);
    out.has_offset = (spec.offset_kind >= 2 && !out.has_zero) || (out.kind == Kind::int8 && !counts_from_centre);
    out.centre = is_integer(spec.encoding) ? static_cast<float>(1u << (spec.bits - 1)) : 0.0f;
    out.exact_bf16 = out.kind != Kind::f32 && out.kind != Kind::f16;
    out.rows = part.rows, out.columns = part.columns;
    out.padded = (part.columns + column_step - 1) / column_step * column_step;
    out.panels = (part.rows + panel_rows - 1) / panel_rows;
    out.groups = sdk::column_groups(part);
    out.group = out.groups == 1 ? out.padded : part.column_group;
    out.phase = out.groups == 1 ? 0 : part.first_column % part.column_group;
    if (out.group % 8 != 0 || out.phase % 8 != 0) return "column groups do not fall on multiples of 8";
    return nullptr;
}

mortise_status pack_tile(Packing& packing, const mortise_kernel_part& part, const mortise_tile& tile, uint8_t* packed) {
    const bool fits = tile.row % panel_rows == 0 && tile.row + tile.rows <= packing.rows &&
                      tile.columns == packing.columns && tile.expert == 0 && !tile.group_of_column;
    if (!fits) return fail(MORTISE_INTERNAL, "a tile lies outside its part");
    const bool coded = !sdk::is_plain(*part.spec);
    if ((coded && !tile.codes) || (!coded && (!tile.plain || tile.plain_encoding != part.spec->encoding))) {
        return fail(MORTISE_INTERNAL, "a tile has another encoding than its part");
    }
    if ((tile.scale || tile.zero || tile.addend) && tile.groups != packing.groups) {
        return fail(MORTISE_INTERNAL, "a tile has another number of column groups than its part");
    }
    if ((tile.scale && !packing.has_scale) || (tile.zero && !packing.shifted()) || (tile.addend && !packing.has_offset)) {
        return fail(MORTISE_INTERNAL, "a tile carries an array that its part did not announce");
    }
    const uint64_t zeros = packing.has_zero && tile.zero ? tile.rows * tile.groups : 0;
    const auto is_byte = [](float zero) { return zero >= 0 && zero <= 255 && zero == std::floor(zero); };
    if (!std::all_of(tile.zero, tile.zero + zeros, is_byte)) {
        return fail(MORTISE_REFUSED, "a zero point is no integer from 0 to 255");
    }
    if (tile.row == 0 && packing.kind == Kind::code4) fill_table(packing, *part.spec, tile);
    for (uint64_t row = 0; row < tile.rows; row += panel_rows) {
        uint8_t* panel = packed + (tile.row + row) / panel_rows * packing.panel_bytes();
        PanelWriter(packing, *part.spec, tile, row, panel).write();
    }
    return MORTISE_OK;
}

}  // namespace mortise::cpu
