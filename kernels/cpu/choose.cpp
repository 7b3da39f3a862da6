// Which packing a part gets.
#include <algorithm>

#include "columns.h"
#include "mortise/sdk/operators.h"
#include "packer.h"

namespace mortise::cpu {
namespace {

// The float codes that are kept as bf16 numbers: all have fewer bits in every field.
bool widens_to_bf16(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_E5M2 || encoding == MORTISE_ENCODING_E4M3FNUZ ||
           encoding == MORTISE_ENCODING_E5M2FNUZ;
}

// Lookup tables of more than 16 values, and what is unknown here but not to the host, are decoded.
void choose_kind(const mortise_spec& spec, Packing& out) {
    const bool few = spec.bits <= 4;
    const auto set = [&](Kind kind, Form form = Form::same) { out.kind = kind, out.form = form; };
    switch (spec.encoding) {
        case MORTISE_ENCODING_F32: return set(Kind::f32);
        case MORTISE_ENCODING_F16: return set(Kind::f16);
        case MORTISE_ENCODING_BF16: return set(Kind::bf16);
        case MORTISE_ENCODING_E4M3: return set(Kind::e4m3);
        case MORTISE_ENCODING_E2M1: return set(Kind::code4);
        default: break;
    }
    if (widens_to_bf16(spec.encoding)) return set(Kind::bf16, Form::widened);
    if (is_integer(spec.encoding) && spec.bits <= 8) return set(few ? Kind::code4 : Kind::int8);
    if (spec.encoding == MORTISE_ENCODING_LOOKUP && few) return set(Kind::code4);
    set(Kind::f32, Form::decoded);
}

// How scales are kept: in 16 bits where they come from one field of elements that fit, unfolded.
Kind scale_kind(const mortise_spec& spec) {
    const mortise_level& level = spec.levels[0];
    const bool folded =
        spec.n_levels != 1 || level.divide || level.role == MORTISE_ROLE_NONE || spec.scale_addend != 0;
    const mortise_field* field = folded ? nullptr : sdk::find_field(spec, level.role);
    if (!field) return Kind::f32;
    const uint32_t dtype = field->n_dtypes == 1 ? field->dtypes[0] : 0;
    switch (field->encoding) {
        case MORTISE_ENCODING_F16: return Kind::f16;
        case MORTISE_ENCODING_BF16:
        case MORTISE_ENCODING_E8M0:
        case MORTISE_ENCODING_E4M3: return Kind::bf16;
        case MORTISE_ENCODING_AS_DTYPE:
            return dtype == MORTISE_DTYPE_F16    ? Kind::f16
                   : dtype == MORTISE_DTYPE_BF16 ? Kind::bf16
                                                 : Kind::f32;
        default: return Kind::f32;
    }
}

// Whole weights, with one scale at most: groups are of no concern.
void choose_whole(const mortise_spec& spec, bool cast, Packing& out) {
    if (!cast) return;
    out.kind = spec.cast_encoding == MORTISE_ENCODING_E4M3 ? Kind::e4m3 : Kind::bf16;
    out.form = Form::cast;
    out.has_scale = 1;
}

void choose_groups(const mortise_kernel_part& part, Packing& out) {
    const mortise_spec& spec = *part.spec;
    const bool counts_from_centre = spec.encoding != MORTISE_ENCODING_UNSIGNED && spec.offset_kind == 0;
    out.has_scale = !sdk::is_plain(spec) || spec.n_levels > 0;
    out.has_zero = spec.offset_kind == 2 && out.kind == Kind::code4 && is_integer(spec.encoding);
    out.has_offset =
        (spec.offset_kind >= 2 && !out.has_zero) || (out.kind == Kind::int8 && !counts_from_centre);
    out.groups = sdk::column_groups(part);
    if (out.groups == 1) return;
    out.group = part.column_group;
    if (out.has_scale) out.scale_as = scale_kind(spec);
    out.phase = part.indexed ? 0 : part.first_column % part.column_group;
    out.moved = part.indexed || out.group % place_step != 0 || out.phase % place_step != 0;
}

}  // namespace

const char* choose_packing(const mortise_kernel_part& part, uint32_t activations, Packing& out) {
    const mortise_spec& spec = *part.spec;
    out = {};
    if (!sdk::is_plain(spec) && spec.bits > 8) return "codes of more than 8 bits";
    choose_kind(spec, out);
    const bool cast = spec.has_cast && activations != MORTISE_ACTIVATIONS_EXACT;
    out.groups = 1;
    if (cast || out.form == Form::decoded)
        choose_whole(spec, cast, out);
    else
        choose_groups(part, out);
    out.centre = is_integer(spec.encoding) ? static_cast<float>(1u << (spec.bits - 1)) : 0.0f;
    out.byte_unit = out.kind == Kind::int8 ? 1.0f : 0.0f;
    out.exact_bf16 = out.kind != Kind::f32 && out.kind != Kind::f16;
    out.rows = part.rows, out.columns = part.columns;
    out.padded = (part.columns + column_step - 1) / column_step * column_step;
    out.panels = (part.rows + panel_rows - 1) / panel_rows;
    if (out.groups == 1) out.group = out.padded;
    if (out.moved) out.padded = most_places(part.columns, out.groups);
    return nullptr;
}

const char* describe(const Packing& packing) {
    if (packing.form == Form::cast) return "weights cast when packed";
    if (packing.form == Form::decoded) return "weights decoded when packed";
    return packing.moved ? "columns in group order" : "";
}

}  // namespace mortise::cpu
