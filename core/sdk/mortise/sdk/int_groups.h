// Unsigned integers in groups along the columns, packed in 32-bit words, with a scale and a zero point per
// row and group stored as [group][row]: the arithmetic of the files with "qweight", "qzeros" and "scales".
//
// Pure functions over values, but for column_map(), which may read a small tensor. One thread.
#pragma once

#include <algorithm>

#include "mortise/sdk/quant.h"

namespace mortise::sdk {

struct IntGroups {
    enum class Packing : uint8_t {
        columns,         // a dense stream along the columns; zero points: along the rows
        column_planes,   // the same in bit planes of 32 fields
        rows_even_first  // 4 bits along the rows, even rows first; zero points alike
    };
    Packing packing = Packing::columns;
    uint64_t rows = 0, columns = 0, group = 0;  // the last group may be short
    uint32_t bits = 4;
    bool symmetric = false;  // every zero point is 2^(bits-1); where they are stored they must say so
    bool stored = true;      // zero points are stored
    bool less_one =
        false;  // zero points are stored less one, subtracted from whole words where fields fill them

    uint64_t groups() const { return (columns + group - 1) / group; }
    // Effect: the rows and columns fill words (for planes: blocks of 32 fields).
    bool fits() const {
        if (packing == Packing::rows_even_first) return bits == 4 && rows % 8 == 0;
        if (packing == Packing::column_planes) return rows % 32 == 0 && columns % 32 == 0;
        return rows * bits % 32 == 0 && columns * bits % 32 == 0;
    }
};

namespace detail {

inline mortise_shape packed_codes(const IntGroups& form) {
    if (form.packing == IntGroups::Packing::rows_even_first) return shape_of({form.columns, form.rows / 8});
    return shape_of({form.columns * form.bits / 32, form.rows});
}
inline mortise_layout packed_layout(const IntGroups& form, bool codes) {
    switch (form.packing) {
        case IntGroups::Packing::rows_even_first:
            return row_words_even_first(form.rows);
        case IntGroups::Packing::column_planes:
            return codes ? column_planes(form.bits, form.rows) : row_planes(form.bits, form.rows);
        default:
            return codes ? column_words(form.bits, form.rows) : row_words(form.bits, form.rows);
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

}  // namespace detail

// Effect: the spec; `scale_bits` is the width of a stored scale. Requires: form.fits(), group > 0.
inline Spec int_groups(const IntGroups& form, const std::string& codes, const std::string& scales,
                       const std::string& zeros, uint32_t scale_bits) {
    Spec spec(1, form.rows, form.columns);
    const uint32_t encoding = form.symmetric ? MORTISE_ENCODING_OFFSET : MORTISE_ENCODING_UNSIGNED;
    spec.codes(codes, encoding, form.bits, {MORTISE_DTYPE_I32}, {detail::packed_codes(form)}).layout =
        detail::packed_layout(form, true);
    mortise_field& scale = spec.level(MORTISE_ROLE_SCALE, scales, 1, form.group, float_dtypes,
                                      {shape_of({form.groups(), form.rows})});
    scale.bits = scale_bits;
    scale.layout = column_major(scale_bits, form.rows);
    scale.flags = MORTISE_FIELD_FINITE;
    if (form.stored) detail::add_zeros(spec, form, zeros);
    return spec;
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
