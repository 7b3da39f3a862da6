// QuantSpec: how the bytes of a checkpoint become one quantized (or plain) linear, as data.
//
// The C++ mirror of abi_quant.h, which defines the meaning of every attribute; numbers are its constants.
// Every format is a point in this space and nothing downstream asks for its name. Values; share freely.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "mortise/abi_quant.h"

namespace mortise::quant {

// One digit of a bit address: ((source / div) mod m) * stride; mod 0 = no modulus.
struct Term {
    uint32_t source = 0;  // MORTISE_SOURCE_*
    uint64_t div = 1, mod = 0;
    int64_t stride = 0;  // bits; negative where a lane order runs backwards
    bool operator==(const Term&) const = default;
};

struct Plane {
    uint32_t bits = 0;   // of the element, next to those of the planes before
    int64_t offset = 0;  // bits
    std::vector<Term> terms;
    bool operator==(const Plane&) const = default;
};

// Where the bits of element (expert, row, column) lie. No planes: dense row-major.
struct Layout {
    std::vector<Plane> planes;
    bool dense() const { return planes.empty(); }
    bool operator==(const Layout&) const = default;
};

struct Extent {
    uint64_t experts = 1, rows = 1, columns = 1;
    bool operator==(const Extent&) const = default;
};

// One role of one module: which tensor, accepted as what, and how its elements are packed.
struct Field {
    uint32_t role = MORTISE_ROLE_NONE;
    uint32_t encoding = MORTISE_ENCODING_AS_DTYPE;
    uint32_t bits = 0;   // of one element as stored; 0 = those of the dtype
    uint32_t flags = 0;  // MORTISE_FIELD_*
    Extent extent;       // of the logical elements
    std::string tensor;
    std::string drop_rule;
    std::vector<DType> dtypes;  // accepted as stored
    std::vector<Shape> shapes;  // accepted as stored
    Layout layout;
    double default_value = 0;
    int64_t stored_bias = 0;
    uint32_t stored_bias_word = 0;

    bool has(uint32_t flag) const { return (flags & flag) != 0; }
    bool accepts(DType dtype) const;
    bool accepts(const Shape& shape) const;
    // Effect: encoding and bits with AS_DTYPE and 0 replaced by what `dtype` says.
    std::pair<uint32_t, uint32_t> stored_as(DType dtype) const;
    bool operator==(const Field&) const = default;
};

// Index map of a scale level, zero point or addend.
struct Level {
    uint32_t role = MORTISE_ROLE_NONE;  // NONE: `constant`
    bool divide = false;
    uint64_t row_group = 0, column_group = 0;  // 0: one for all
    double constant = 1;
    bool flat = false;                 // element (row * columns + column) / column_group
    std::vector<uint64_t> row_splits;  // end row of each piece; replaces row_group
    bool operator==(const Level&) const = default;
};

struct Activation {
    uint32_t granularity = MORTISE_ACTIVATION_NONE;
    uint32_t encoding = 0, bits = 0;
    bool dynamic = false, asymmetric = false;
    uint32_t exponent_rule = MORTISE_EXPONENT_NONE;
    uint32_t scale_encoding = MORTISE_ENCODING_F32;
    uint32_t second_level = 0;  // 0 none, 1 multiplies, 2 divides
    uint64_t group = 0;
    double divisor = 0, amax_floor = 0, amax_ceiling = 0, scale_floor = 0, zero_scale = 0;  // ceiling 0: none
    bool ties_to_zero = false;                                                              // else to even
    bool operator==(const Activation&) const = default;
};

enum class Offset : uint8_t { none = 0, constant = 1, zero_point = 2, addend = 3 };

struct QuantSpec {
    Extent extent;  // of the module as it lies on disk
    uint32_t encoding = MORTISE_ENCODING_F32;
    uint32_t bits = 32;
    std::vector<Field> fields;
    std::vector<Level> levels;  // multiplying levels are folded in this order, then the dividing ones
    double scale_addend = 0;    // added to the folded scale; 0 = nothing is added
    Offset offset = Offset::none;
    double offset_constant = 0;
    Level zero_map;      // of ZERO_POINT or ADDEND
    Level addend_scale;  // second level of ADDEND; role NONE = none
    double addend_sign = 1;
    Activation activation;
    bool has_cast = false;
    uint32_t cast_encoding = 0;
    uint32_t rotation_block = 0;
    double rotation_factor = 1;
    std::vector<float> table;  // values of LOOKUP codes when no TABLE field holds them

    // Float weights without scales, offset and table: nothing was quantized.
    bool is_plain() const;
    bool is_integer() const;                 // codes are integers of `bits` bits
    const Field* find(uint32_t role) const;  // null = the spec has no such role
    // Columns that share one scale, zero point and addend; extent.columns when all do. With a column map,
    // the size of a group in that map. For kernels: always at least 1.
    uint64_t column_group() const;
    uint64_t column_groups() const;  // number of them over all columns
    bool indexed() const { return find(MORTISE_ROLE_G_IDX) != nullptr; }
    // Does a row's scale, zero point or addend differ from its neighbour's?
    bool row_scales_vary() const;
    // The code in a tile of the integer value 0: 2^(bits-1) for signed kinds, else 0.
    int32_t code_origin() const;
    // One line from the attributes, without a format's name: "int4 g128 asymmetric, f16 scales".
    std::string describe() const;
    bool operator==(const QuantSpec&) const = default;
};

// Effect: the spec of `experts` modules like `one` whose tensors are slices of tensors with one axis more in
// front; what belongs to no expert (tables, rotations) is stored once. Requires: one.extent.experts == 1.
QuantSpec stacked(const QuantSpec& one, uint64_t experts);

std::string_view role_name(uint32_t role);          // "zero_point"; "?" for unknown ones
std::string_view encoding_name(uint32_t encoding);  // "e4m3"; "?" for unknown ones
uint32_t encoding_bits(uint32_t encoding);          // of encodings that fix their width; else 0

// Effect: a deep copy; nothing of `spec` is needed afterwards. Fields outside head.size are absent.
// Errors: plugin_contract, all problems at once, naming the attribute: unknown enum, count above the limit,
// a role twice, a level without its field, extents of 0 or that contradict each other, inconsistent maps.
Result<QuantSpec> from_abi(const mortise_spec& spec);
// One field by itself, as a KV cache's scales come. Errors: plugin_contract.
Result<Field> from_abi(const mortise_field& field);

// Owns what a mortise_spec points to. Neither copied nor moved, so that pointers to abi() stay good.
class AbiSpec {
  public:
    explicit AbiSpec(QuantSpec spec);
    AbiSpec(const AbiSpec&) = delete;
    AbiSpec& operator=(const AbiSpec&) = delete;
    const mortise_spec& abi() const { return abi_; }
    const mortise_spec& operator*() const { return abi_; }
    const mortise_spec* operator->() const { return &abi_; }
    const QuantSpec& spec() const { return spec_; }

  private:
    QuantSpec spec_;
    std::vector<mortise_field> fields_;
    mortise_spec abi_{};
};

// Effect: what from_abi checks, for specs made in C++. Errors: plugin_contract.
Status validate(const QuantSpec& spec);

}  // namespace mortise::quant
