// From a field's bytes to canonical tiles: what packing, digests, export and the reference kernel read.
//
// A tile holds unsigned codes, the effective f32 scale of each row and column group, zero points and addends,
// exactly as mortise_tile documents; no trace of the dialect is left. Readers are immutable after make() and
// may be used by many threads, each with a Tile of its own.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "mortise/abi_kernels.h"
#include "quant/layout.h"
#include "quant/spec.h"

namespace mortise::quant {

// Bytes of one field: the whole tensor, or a window of it with the layout that reads it. Borrowed.
struct FieldBytes {
    std::span<const std::byte> bytes;
    DType dtype{};                   // as stored; 0 = the field is absent
    const Layout* window = nullptr;  // null: the field's own layout, `bytes` is the whole tensor
    bool present() const { return dtype != DType{}; }
};
// By role. An absent optional field is left empty.
inline constexpr size_t role_count = 32;
using Sources = std::array<FieldBytes, role_count>;

// A canonical tile that owns its arrays; reuse one per thread.
class Tile {
  public:
    const mortise_tile& view() const { return view_; }

  private:
    friend class PartReader;
    mortise_tile view_{};
    std::vector<uint8_t> codes_;
    std::vector<std::byte> plain_;
    std::vector<float> scale_, zero_, addend_, other_, floats_;
    std::vector<uint64_t> raw_;
};

struct TileRequest {
    std::span<const uint64_t> rows;  // rows of the spec's module, in the order of the tile
    uint64_t expert = 0;             // of the spec
    uint64_t tile_expert = 0;        // what the tile says of itself
    uint64_t tile_row = 0;
};

struct ReaderOptions {
    uint64_t column0 = 0;
    uint64_t columns = 0;    // 0: all from column0 on
    bool cast = false;       // tiles carry the execution cast: weights as executed, not as stored
    bool need_codes = true;  // false: codes come with each read()
};

class PartReader {
  public:
    // Effect: binds a spec to bytes. The bytes of all fields but the codes are decoded or kept by reference
    // and must outlive the reader.
    // Errors: tensor_missing for a required field without bytes, tensor_dtype, tensor_shape (byte count),
    // layout_invalid, value_range for a column map or table that points outside.
    static Result<PartReader> make(const QuantSpec& spec, const Sources& sources,
                                   const ReaderOptions& options);

    // Effect: fills `out` with canonical rows; out.view() is good until the next read into it.
    // Errors: value_range (a code outside the kind's range), value_not_finite never: scales are checked
    // apart.
    Status read(const TileRequest& request, Tile& out) const;
    // The same with the codes from `codes`, usually a Window around request.rows.
    Status read(const TileRequest& request, const FieldBytes& codes, Tile& out) const;

    uint64_t groups() const;  // column groups of a tile
    uint64_t group_size() const;
    bool indexed() const;  // false also when the column map is the trivial one
    // Effect: memory that a tile of `rows` rows takes.
    uint64_t tile_bytes(uint64_t rows) const;

    PartReader(PartReader&&) noexcept;
    PartReader& operator=(PartReader&&) noexcept;
    ~PartReader();

  private:
    struct Rep;
    explicit PartReader(std::unique_ptr<Rep> rep);
    std::unique_ptr<Rep> rep_;
};

// Is this column map the plain one (column / group), or unset (-1)? Decides whether a part is indexed.
// Requires: group >= 1.
bool is_trivial_index(std::span<const int64_t> index, uint64_t group);

// Effect: column -> group, as stored; -1 anywhere means unset. Errors: tensor_dtype, tensor_shape,
// layout_invalid.
Result<std::vector<int64_t>> read_index(const Field& field, const FieldBytes& bytes);

// Effect: elements of a float or integer field as f32 (doubles rounded once), [rows][columns], stored bias
// and encoding applied. Rows: those given, or all when empty. For bias, pre-scale, rotation, low rank.
// Errors: as PartReader::make.
Result<std::vector<float>> read_floats(const Field& field, const FieldBytes& bytes, uint64_t expert,
                                       std::span<const uint64_t> rows, uint64_t column0, uint64_t columns);

// What belongs to a part besides its rows, as f32.
struct Extras {
    std::vector<float> bias, pre_scale, rotation, input_scale, input_zero_point, input_scale2, low_rank_a,
        low_rank_b, cast_scale;
    uint64_t low_rank = 0;
    // Effect: the C view; borrows from this object.
    mortise_extras abi() const;
};
// Effect: bias and low_rank_b by the module rows given, pre_scale and low_rank_a by columns. Absent = empty.
// A column range that cuts a rotation block is an error of the caller.
Result<Extras> read_extras(const QuantSpec& spec, const Sources& sources, uint64_t expert,
                           std::span<const uint64_t> rows, uint64_t column0, uint64_t columns);

// The promises of a field about its contents.
struct ContentRules {
    bool finite = false, positive = false, zero = false, constant = false, power_of_two = false;
    double value = 0;            // constant
    int64_t below = -1;          // 0 <= element < below; -1 = not asked
    bool unset_allowed = false;  // -1 everywhere in a column map passes `below`
};
// Effect: what the flags of a field ask for. `groups` = column groups of the first level.
ContentRules content_rules(const Field& field, uint64_t groups);
// Effect: checks every element of the rows [row0, row0 + rows) of one expert; returns how many.
// Errors: value_not_finite, value_range, value_obligation, naming tensor, element and value.
Result<uint64_t> check_contents(const Field& field, const FieldBytes& bytes, const ContentRules& rules,
                                uint64_t expert, uint64_t row0, uint64_t rows);

}  // namespace mortise::quant
