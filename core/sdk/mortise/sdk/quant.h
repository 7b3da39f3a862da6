// Specs of the border as C++ values, and plain floats, which every dialect has.
//
// A Spec owns its strings and fields; spec.abi() borrows from it. One thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/layout.h"

namespace mortise::sdk {

// Element types that a float parameter may be stored in.
inline constexpr std::initializer_list<uint32_t> float_dtypes = {MORTISE_DTYPE_F32, MORTISE_DTYPE_BF16,
                                                                 MORTISE_DTYPE_F16};
inline bool is_float(uint32_t dtype) {
    return dtype == MORTISE_DTYPE_F32 || dtype == MORTISE_DTYPE_BF16 || dtype == MORTISE_DTYPE_F16;
}
// Effect: the encoding of a plain float dtype, and back; BF16 for anything else.
inline uint32_t encoding_of(uint32_t dtype) {
    return dtype == MORTISE_DTYPE_F32   ? uint32_t{MORTISE_ENCODING_F32}
           : dtype == MORTISE_DTYPE_F16 ? uint32_t{MORTISE_ENCODING_F16}
                                        : uint32_t{MORTISE_ENCODING_BF16};
}
inline uint32_t dtype_of(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_F32   ? uint32_t{MORTISE_DTYPE_F32}
           : encoding == MORTISE_ENCODING_F16 ? uint32_t{MORTISE_DTYPE_F16}
                                              : uint32_t{MORTISE_DTYPE_BF16};
}

// Effect: an accepted shape.
inline mortise_shape shape_of(std::initializer_list<uint64_t> dims) {
    mortise_shape shape{};
    shape.rank = static_cast<uint32_t>(dims.size());
    uint32_t d = 0;
    for (const uint64_t dim : dims) shape.dims[d++] = static_cast<int64_t>(dim);
    return shape;
}

namespace detail {

// A shape with the experts of a stack in front, or of one matrix.
inline mortise_shape stacked(uint64_t experts, std::initializer_list<uint64_t> dims) {
    mortise_shape shape = shape_of({experts});
    if (experts == 1) shape.rank = 0;
    for (const uint64_t dim : dims) shape.dims[shape.rank++] = static_cast<int64_t>(dim);
    return shape;
}

}  // namespace detail

class Spec {
  public:
    Spec() : Spec(1, 0, 0) {}
    Spec(uint64_t experts, uint64_t rows, uint64_t columns) {
        abi_.head = head_of<mortise_spec>();
        abi_.experts = experts;
        abi_.rows = rows;
        abi_.columns = columns;
        abi_.addend_sign = 1;
        abi_.rotation_factor = 1;
    }
    // Moved only: what the fields point to moves along, and would stay behind in a copy's source.
    Spec(Spec&&) = default;
    Spec& operator=(Spec&&) = default;
    mortise_spec& operator*() { return abi_; }
    mortise_spec* operator->() { return &abi_; }

    // Effect: a new field of this role, of one element; fill in the rest through the reference, which stays
    // good.
    mortise_field& field(uint32_t role, std::string tensor, std::initializer_list<uint32_t> dtypes,
                         std::initializer_list<mortise_shape> shapes) {
        strings_.push_back(std::move(tensor));
        mortise_field& f = fields_.emplace_back(make<mortise_field>());
        f.role = role;
        f.tensor = str(strings_.back());
        f.experts = f.rows = f.columns = 1;
        for (const uint32_t dtype : dtypes) f.dtypes[f.n_dtypes++] = dtype;
        for (const mortise_shape& shape : shapes) f.shapes[f.n_shapes++] = shape;
        return f;
    }
    // Effect: the field that holds the codes; the spec's own encoding and extent with it.
    mortise_field& codes(std::string tensor, uint32_t encoding, uint32_t bits,
                         std::initializer_list<uint32_t> dtypes,
                         std::initializer_list<mortise_shape> shapes) {
        abi_.encoding = encoding;
        abi_.bits = bits;
        mortise_field& f = field(MORTISE_ROLE_CODES, std::move(tensor), dtypes, shapes);
        f.encoding = encoding;
        f.bits = bits;
        f.experts = abi_.experts;
        f.rows = abi_.rows;
        f.columns = abi_.columns;
        return f;
    }
    // Effect: one more level of the scale chain and the field that holds it; group 0 = one for all.
    mortise_field& level(uint32_t role, std::string tensor, uint64_t row_group, uint64_t column_group,
                         std::initializer_list<uint32_t> dtypes,
                         std::initializer_list<mortise_shape> shapes) {
        abi_.levels[abi_.n_levels++] = map(role, row_group, column_group);
        return over(field(role, std::move(tensor), dtypes, shapes), row_group, column_group);
    }
    // Effect: a level with one scale for each piece of rows; `ends` are the end rows of the pieces.
    mortise_field& level_of_pieces(uint32_t role, std::string tensor, std::vector<uint64_t> ends,
                                   std::initializer_list<uint32_t> dtypes,
                                   std::initializer_list<mortise_shape> shapes) {
        mortise_level& level = abi_.levels[abi_.n_levels++] = map(role, 0, 0);
        pieces_.push_back(std::move(ends));
        level.row_splits = pieces_.back().data();
        level.n_row_splits = static_cast<uint32_t>(pieces_.back().size());
        mortise_field& scale = field(role, std::move(tensor), dtypes, shapes);
        scale.rows = level.n_row_splits;
        return scale;
    }
    // Effect: integer zero points (ZERO_POINT) or float addends (ADDEND) over the same kind of grid.
    mortise_field& offsets(uint32_t role, std::string tensor, uint64_t row_group, uint64_t column_group,
                           std::initializer_list<uint32_t> dtypes,
                           std::initializer_list<mortise_shape> shapes) {
        abi_.offset_kind = role == MORTISE_ROLE_ADDEND ? 3 : 2;
        abi_.zero_map = map(role, row_group, column_group);
        return over(field(role, std::move(tensor), dtypes, shapes), row_group, column_group);
    }
    // Effect: the field of this role, or null.
    mortise_field* find(uint32_t role) {
        for (mortise_field& each : fields_)
            if (each.role == role) return &each;
        return nullptr;
    }
    mortise_str keep(std::string text) {
        strings_.push_back(std::move(text));
        return str(strings_.back());
    }

    // Effect: the border's form; good until this changes.
    const mortise_spec& abi() {
        flat_.assign(fields_.begin(), fields_.end());
        abi_.fields = flat_.data();
        abi_.n_fields = static_cast<uint32_t>(flat_.size());
        return abi_;
    }

  private:
    static mortise_level map(uint32_t role, uint64_t row_group, uint64_t column_group) {
        mortise_level level{};
        level.role = role;
        level.row_group = row_group;
        level.column_group = column_group;
        return level;
    }
    mortise_field& over(mortise_field& field, uint64_t row_group, uint64_t column_group) const {
        field.rows = row_group == 0 ? 1 : (abi_.rows + row_group - 1) / row_group;
        field.columns = column_group == 0 ? 1 : (abi_.columns + column_group - 1) / column_group;
        return field;
    }

    mortise_spec abi_{};
    std::deque<mortise_field> fields_;
    std::deque<std::string> strings_;
    std::deque<std::vector<uint64_t>> pieces_;
    std::vector<mortise_field> flat_;
};

// Effect: the field of this role, or null.
inline const mortise_field* field_of(const mortise_spec& spec, uint32_t role) {
    for (uint32_t f = 0; f < spec.n_fields; ++f)
        if (spec.fields[f].role == role) return &spec.fields[f];
    return nullptr;
}

// Errors: Refused when the columns of a module are not made of whole groups. group 0: there are none.
inline void need_whole_groups(const mortise_module& module, uint64_t group) {
    if (group != 0 && module.columns % group != 0)
        throw Refused({.what = "the group does not divide the columns",
                       .subject = std::string(view(module.name)),
                       .expected = std::to_string(group),
                       .found = std::to_string(module.columns)});
}

// Effect: adds the bias that the architecture expects; of a stack, one for each expert.
inline mortise_field& add_bias(Spec& spec, const std::string& tensor, uint64_t rows, uint64_t experts = 1) {
    mortise_field& bias = spec.field(MORTISE_ROLE_BIAS, tensor, float_dtypes,
                                     {experts > 1 ? shape_of({experts, rows}) : shape_of({rows})});
    bias.experts = experts;
    bias.rows = rows;
    bias.flags = MORTISE_FIELD_FINITE;
    return bias;
}
// Effect: adds a bias that the architecture does not expect: it may be there and must be zero. Some
// producers give every linear one.
inline void add_zero_bias(Spec& spec, const std::string& tensor, uint64_t rows) {
    mortise_field& bias = add_bias(spec, tensor, rows);
    bias.flags |= MORTISE_FIELD_DROP_IF_ZERO;
    bias.drop_rule = str("zero_bias");
}

// Effect: the bias that the architecture expects, or one that must be zero.
inline void add_bias_or_zeros(Spec& spec, const std::string& tensor, const mortise_module& module) {
    if (module.has_bias != 0)
        add_bias(spec, tensor, module.rows);
    else
        add_zero_bias(spec, tensor, module.rows);
}

// Effect: a float weight [rows][columns] kept in `tensor` as F32, BF16 or F16; `dtype` is what it really has.
inline Spec plain(uint64_t experts, uint64_t rows, uint64_t columns, const std::string& tensor,
                  uint32_t dtype, bool transposed = false) {
    Spec spec(experts, rows, columns);
    const uint32_t encoding = encoding_of(dtype), bits = encoding == MORTISE_ENCODING_F32 ? 32 : 16;
    const uint64_t outer = transposed ? columns : rows, inner = transposed ? rows : columns;
    mortise_field& codes =
        spec.codes(tensor, encoding, bits, float_dtypes,
                   {experts > 1 ? shape_of({experts, outer, inner}) : shape_of({outer, inner})});
    codes.encoding = MORTISE_ENCODING_AS_DTYPE;
    codes.bits = 0;
    codes.flags = MORTISE_FIELD_FINITE;
    if (transposed) {
        codes.bits = bits;
        codes.layout = one_plane(bits, {by_row(bits), by_column(static_cast<int64_t>(rows * bits)),
                                        by_expert(static_cast<int64_t>(rows * columns * bits)), by_bit()});
    }
    return spec;
}
// The tensors of a module as it lies on disk. Stacks of experts may be kept under the module's own name: then
// companions follow an underscore instead of a dot.
struct ModuleNames {
    std::string weight, bias;
    std::string stem;  // of companions: "a.q_proj." or "a.experts.up_proj_"
};
inline ModuleNames names_on_disk(const Checkpoint& checkpoint, const mortise_module& module) {
    const std::string name(view(module.name)), bare = name + std::string(view(module.suffix));
    if (module.experts > 1 && checkpoint.has(bare)) return {bare, name + "_bias", name + "_"};
    return {name + ".weight", name + ".bias", name + "."};
}
// Effect: the plain answer for a module, with its bias if it has one: what every scheme says of what it does
// not quantize.
inline Spec plain(const Checkpoint& checkpoint, const mortise_module& module) {
    const ModuleNames names = names_on_disk(checkpoint, module);
    const auto tensor = checkpoint.tensor(names.weight);
    Spec spec = plain(module.experts, module.rows, module.columns, names.weight,
                      tensor ? tensor->dtype : uint32_t{MORTISE_DTYPE_BF16}, module.transposed != 0);
    if (module.has_bias != 0) add_bias(spec, names.bias, module.rows, module.experts);
    return spec;
}

}  // namespace mortise::sdk
