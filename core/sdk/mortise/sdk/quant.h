// Specs of the border as C++ values, and the arithmetic that dialects share: plain floats, ...
//
// A Spec owns its strings and fields; spec.abi() borrows from it. One thread.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "mortise/sdk/host.h"

namespace mortise::sdk {

// Effect: an accepted shape.
inline mortise_shape shape_of(std::initializer_list<uint64_t> dims) {
    mortise_shape shape{};
    shape.rank = static_cast<uint32_t>(dims.size());
    uint32_t d = 0;
    for (const uint64_t dim : dims) shape.dims[d++] = static_cast<int64_t>(dim);
    return shape;
}

class Spec {
  public:
    Spec() { abi_.head = head_of<mortise_spec>(); }
    Spec(uint64_t experts, uint64_t rows, uint64_t columns) : Spec() {
        abi_.experts = experts;
        abi_.rows = rows;
        abi_.columns = columns;
        abi_.addend_sign = 1;
        abi_.rotation_factor = 1;
    }
    mortise_spec& operator*() { return abi_; }
    mortise_spec* operator->() { return &abi_; }

    // Effect: a new field of this role; fill in the rest through the reference, which stays good.
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
    mortise_spec abi_{};
    std::deque<mortise_field> fields_;
    std::deque<std::string> strings_;
    std::vector<mortise_field> flat_;
};

// Effect: adds the bias of a module: required where the architecture has one, else it must be zero if present.
inline void add_bias(Spec& spec, const std::string& tensor, uint64_t rows, bool required) {
    mortise_field& bias = spec.field(MORTISE_ROLE_BIAS, tensor, {MORTISE_DTYPE_F32, MORTISE_DTYPE_BF16, MORTISE_DTYPE_F16}, {shape_of({rows})});
    bias.rows = rows;
    bias.flags = MORTISE_FIELD_FINITE;
    if (!required) {
        bias.flags |= MORTISE_FIELD_DROP_IF_ZERO;
        bias.drop_rule = str("zero_bias");
    }
}

// Effect: a float weight [rows][columns] kept in `tensor` as F32, BF16 or F16.
inline Spec plain(uint64_t experts, uint64_t rows, uint64_t columns, const std::string& tensor, uint32_t dtype) {
    Spec spec(experts, rows, columns);
    spec->encoding = dtype == MORTISE_DTYPE_F32 ? MORTISE_ENCODING_F32 : dtype == MORTISE_DTYPE_F16 ? MORTISE_ENCODING_F16 : MORTISE_ENCODING_BF16;
    spec->bits = dtype == MORTISE_DTYPE_F32 ? 32 : 16;
    mortise_field& codes = spec.field(MORTISE_ROLE_CODES, tensor, {MORTISE_DTYPE_F32, MORTISE_DTYPE_BF16, MORTISE_DTYPE_F16}, {});
    codes.shapes[codes.n_shapes++] = experts > 1 ? shape_of({experts, rows, columns}) : shape_of({rows, columns});
    codes.experts = experts;
    codes.rows = rows;
    codes.columns = columns;
    codes.flags = MORTISE_FIELD_FINITE;
    return spec;
}

}  // namespace mortise::sdk
