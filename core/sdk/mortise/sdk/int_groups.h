// Unsigned integers in groups along the columns, packed in 32-bit words, with a scale and a zero point per
// row and group stored as [group][row]: the arithmetic of the files with "qweight", "qzeros" and "scales".
// Two packings of AutoAWQ's kernels for single tokens pad the groups to what a kernel loads at once.
//
// Pure functions over values, but for column_map(), which may read a small tensor. One thread.
#pragma once

#include <algorithm>

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

struct IntGroups {
    enum class Packing : uint8_t {
        columns,          // a dense stream along the columns; zero points: along the rows
        column_planes,    // the same in bit planes of 32 fields
        rows_even_first,  // 4 bits along the rows, even rows first; zero points alike
        padded,           // 4 bits along the columns; zero points along the groups; scales [row][group]
        interleaved       // 4 bits, 4 rows x 64 columns in 64 words of 16 bits; zero points as float addends
    };
    Packing packing = Packing::columns;
    uint64_t rows = 0, columns = 0, group = 0;  // the last group may be short
    uint32_t bits = 4;
    bool symmetric = false;  // every zero point is 2^(bits-1); where they are stored they must say so
    bool stored = true;      // zero points are stored
    bool less_one =
        false;  // zero points are stored less one, subtracted from whole words where fields fill them

    uint64_t groups() const { return (columns + group - 1) / group; }
    // Words of 8 groups per row where groups are padded: a multiple of 1, 2 or 4, the more the smaller the
    // group.
    uint64_t padded_words() const {
        const uint64_t multiple = group >= 128 ? 1 : group == 64 ? 2 : 4, used = (columns / group + 7) / 8;
        return (used + multiple - 1) / multiple * multiple;
    }
    // Effect: the rows and columns fill words (for planes: blocks of 32 fields).
    bool fits() const {
        if (packing == Packing::rows_even_first) return bits == 4 && rows % 8 == 0;
        if (packing == Packing::padded) return bits == 4 && columns % 8 == 0 && columns % group == 0;
        if (packing == Packing::interleaved)
            return bits == 4 && rows % 4 == 0 && columns % 64 == 0 && columns % group == 0;
        if (packing == Packing::column_planes) return rows % 32 == 0 && columns % 32 == 0;
        return rows * bits % 32 == 0 && columns * bits % 32 == 0;
    }
};

// What every stored scale promises: about half of those of symmetric codes are negative.
inline constexpr uint32_t signed_scale = MORTISE_FIELD_FINITE;

namespace detail {

inline mortise_shape packed_codes(const IntGroups& form) {
    if (form.packing == IntGroups::Packing::rows_even_first) return shape_of({form.columns, form.rows / 8});
    return shape_of({form.columns * form.bits / 32, form.rows});
}
inline mortise_layout packed_layout(const IntGroups& form, bool codes) {
    switch (form.packing) {
        case IntGroups::Packing::rows_even_first: return row_words_even_first(form.rows);
        case IntGroups::Packing::column_planes:
            return codes ? column_planes(form.bits, form.rows) : row_planes(form.bits, form.rows);
        default: return codes ? column_words(form.bits, form.rows) : row_words(form.bits, form.rows);
    }
}
inline void add_zeros(Spec& spec, const IntGroups& form, const std::string& tensor) {
    const std::initializer_list<uint32_t> words = {MORTISE_DTYPE_I32};
    const mortise_shape shape = shape_of({form.groups(), form.rows * form.bits / 32});
    mortise_field& zero = form.symmetric
                              ? spec.field(MORTISE_ROLE_UNUSED, tensor, words, {shape})
                              : spec.offsets(MORTISE_ROLE_ZERO_POINT, tensor, 1, form.group, words, {shape});
    zero.rows = form.rows;
    zero.columns = form.groups();
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = form.bits;
    zero.layout = packed_layout(form, false);
    zero.stored_bias = form.less_one ? 1 : 0;
    zero.stored_bias_word = form.less_one && 32 % form.bits == 0 ? 32 : 0;
    if (!form.symmetric) return;
    zero.flags = MORTISE_FIELD_CONSTANT;
    zero.default_value = static_cast<double>(1u << (form.bits - 1));
    zero.drop_rule = str("constant_zero_points");
}

inline Spec padded_groups(const IntGroups& form, const std::string& codes, const std::string& scales,
                          const std::string& zeros, uint32_t scale_bits) {
    const uint64_t words = form.padded_words();
    Spec spec(1, form.rows, form.columns);
    spec.codes(codes, MORTISE_ENCODING_UNSIGNED, 4, {MORTISE_DTYPE_I32},
               {shape_of({form.rows, form.columns / 8})});
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, form.group, float_dtypes,
                                      {shape_of({form.rows, words * 8})});
    scale.bits = scale_bits;
    scale.layout = one_plane(
        scale_bits, {by_row(static_cast<int64_t>(words * 8 * scale_bits)), by_column(scale_bits), by_bit()});
    scale.flags = signed_scale;
    mortise_field& zero = spec.offsets(MORTISE_ROLE_ZERO_POINT, zeros, 1, form.group, {MORTISE_DTYPE_I32},
                                       {shape_of({form.rows, words})});
    zero.encoding = MORTISE_ENCODING_UNSIGNED;
    zero.bits = 4;
    zero.layout = one_plane(4, {by_row(static_cast<int64_t>(words * 32)), by_column(4), by_bit()});
    if (form.symmetric) zero.flags = MORTISE_FIELD_CONSTANT;
    zero.default_value = 8;
    return spec;
}
// The addends are -(zero * scale) as the producer rounded it.
inline Spec interleaved_groups(const IntGroups& form, const std::string& codes, const std::string& scales,
                               const std::string& addends, uint32_t scale_bits) {
    const auto line = static_cast<int64_t>(form.columns) * 16;
    Spec spec(1, form.rows, form.columns);
    spec.codes(codes, MORTISE_ENCODING_UNSIGNED, 4, {MORTISE_DTYPE_I16},
               {shape_of({form.rows / 4, form.columns})})
        .layout =
        one_plane(4, {by_column(16, 1, 2), by_column(32, 2, 4), by_column(4, 8, 4), by_column(128, 32, 2),
                      by_column(1024, 64), by_row(256, 1, 4), by_row(line, 4), by_bit()});
    const mortise_shape padded = shape_of({form.padded_words() * 8, form.rows});
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, form.group, float_dtypes, {padded});
    mortise_field& addend = spec.offsets(MORTISE_ROLE_ADDEND, addends, 1, form.group, float_dtypes, {padded});
    for (mortise_field* field : {&scale, &addend}) {
        field->bits = scale_bits;
        field->layout = column_major(scale_bits, form.rows);
        field->flags = signed_scale;
    }
    return spec;
}

}  // namespace detail

// Effect: the spec; `scale_bits` is the width of a stored scale. Requires: group > 0.
// Errors: Refused where rows and columns do not fit the words (form.fits()).
inline Spec int_groups(const IntGroups& form, const std::string& codes, const std::string& scales,
                       const std::string& zeros, uint32_t scale_bits) {
    if (!form.fits())
        throw Refused({.what = "rows or columns do not fill words and groups",
                       .subject = codes,
                       .found = std::to_string(form.rows) + " x " + std::to_string(form.columns) + ", " +
                                std::to_string(form.bits) + " bits, group " + std::to_string(form.group)});
    if (form.packing == IntGroups::Packing::padded)
        return detail::padded_groups(form, codes, scales, zeros, scale_bits);
    if (form.packing == IntGroups::Packing::interleaved)
        return detail::interleaved_groups(form, codes, scales, zeros, scale_bits);
    Spec spec(1, form.rows, form.columns);
    const uint32_t encoding = form.symmetric ? MORTISE_ENCODING_OFFSET : MORTISE_ENCODING_UNSIGNED;
    spec.codes(codes, encoding, form.bits, {MORTISE_DTYPE_I32}, {detail::packed_codes(form)}).layout =
        detail::packed_layout(form, true);
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, form.group, float_dtypes,
                                      {shape_of({form.groups(), form.rows})});
    scale.bits = scale_bits;
    scale.layout = column_major(scale_bits, form.rows);
    scale.flags = signed_scale;
    if (form.stored) detail::add_zeros(spec, form, zeros);
    return spec;
}
// Effect: the same under the names that all these files give to the tensors of a module.
inline Spec int_groups(const IntGroups& form, const std::string& module, uint32_t scale_bits) {
    return int_groups(form, module + ".qweight", module + ".scales", module + ".qzeros", scale_bits);
}

// Effect: adds the map from columns to groups that `tensor` holds. The trivial map, column / group, is read,
// checked and left out. Returns whether the map is another one.
// Errors: Refused for an entry outside the groups or a group with another number of columns than its own.
inline bool add_column_map(Spec& spec, const Checkpoint& checkpoint, const IntGroups& form,
                           const std::string& name) {
    const auto tensor = checkpoint.tensor(name);
    const bool readable = tensor && tensor->dtype == MORTISE_DTYPE_I32 && tensor->elements() == form.columns;
    bool trivial = true;
    if (readable) {
        const std::vector<int32_t> map = checkpoint.probe<int32_t>(name, form.columns);
        std::vector<uint64_t> members(form.groups());
        for (uint64_t c = 0; c < map.size(); ++c) {
            if (map[c] < 0 || static_cast<uint64_t>(map[c]) >= form.groups())
                throw Refused({.what = "column map points outside the groups",
                               .subject = name,
                               .expected = "0 to " + std::to_string(form.groups() - 1),
                               .found = std::to_string(map[c]) + " at column " + std::to_string(c)});
            ++members[static_cast<uint64_t>(map[c])];
            trivial = trivial && static_cast<uint64_t>(map[c]) == c / form.group;
        }
        for (uint64_t g = 0; g < members.size(); ++g)
            if (const uint64_t size = std::min(form.group, form.columns - g * form.group); members[g] != size)
                throw Refused({.what = "column map does not give a group its columns",
                               .subject = name,
                               .expected = std::to_string(size) + " columns in group " + std::to_string(g),
                               .found = std::to_string(members[g])});
    }
    mortise_field& map = spec.field(trivial ? MORTISE_ROLE_UNUSED : MORTISE_ROLE_G_IDX, name,
                                    {MORTISE_DTYPE_I32}, {shape_of({form.columns})});
    map.columns = form.columns;
    map.flags = MORTISE_FIELD_PROBE | MORTISE_FIELD_BELOW_GROUPS;
    if (trivial) map.drop_rule = str("trivial_column_map");
    return !trivial;
}

}  // namespace mortise::sdk
