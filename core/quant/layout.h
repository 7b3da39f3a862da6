// Layouts: proof that a map from elements to bits is one-to-one, the bytes that hold a row range, and fast
// copying of elements out of bytes and back.
//
// The proof is algebra on the terms and never visits elements. Thread-safe: values and const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "quant/spec.h"

namespace mortise::quant {

struct Proof {
    uint64_t element_bits = 0;  // bits that carry elements
    uint64_t padding_bits = 0;  // bits of the tensor that carry none
};

// Effect: proof that every bit of every element has an address of its own inside [0, tensor_bits).
// Sound, not complete: what is accepted is right; digits that overlap are refused even if they happen to
// work. Errors: layout_invalid, saying which source or stride is wrong.
Result<Proof> prove(const Layout& layout, Extent extent, uint32_t bits, uint64_t tensor_bits);

// Effect: proof that two fields of one tensor share no bit. Requires: each was proven alone.
Status prove_disjoint(const Layout& a, Extent a_extent, uint32_t a_bits, const Layout& b, Extent b_extent,
                      uint32_t b_bits);

// Effect: the address of one bit, straight from the definition: slow, the measure of everything else.
int64_t bit_address(const Layout& layout, Extent extent, uint32_t bits, uint64_t expert, uint64_t row,
                    uint64_t column, uint32_t bit);

// Effect: bytes of the tensor that a dense field of this extent fills.
uint64_t dense_bytes(Extent extent, uint32_t bits);

struct ByteRange {
    uint64_t begin = 0, bytes = 0;
    bool operator==(const ByteRange&) const = default;
};

// Some rows of one expert: byte ranges of the tensor, ascending and disjoint, and the layout that reads those
// rows (by their own numbers) from the ranges laid end to end. One range where rows are outermost; a range
// for each step of the outer columns where a row is spread over the tensor.
struct Window {
    std::vector<ByteRange> ranges;
    Layout layout;
    uint64_t bytes() const;
};
// Requires: proven layout, rows >= 1, row0 + rows <= extent.rows, expert < extent.experts.
Window window(const Layout& layout, Extent extent, uint32_t bits, uint64_t expert, uint64_t row0,
              uint64_t rows);

// Copies elements of a column range between bytes and arrays. Compiled once per field and column range.
class Copier {
  public:
    // Requires: layout proven for extent and bits; column0 + columns <= extent.columns; bits <= 64.
    Copier(const Layout& layout, Extent extent, uint32_t bits, uint64_t column0, uint64_t columns);

    // Effect: out[i][c] = raw field of element (expert, rows[i], column0 + c), [rows][columns].
    // Requires: bits fit the type of out; `bytes` holds every address (checked, an invariant).
    void extract(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 uint8_t* out) const;
    void extract(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 uint16_t* out) const;
    void extract(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 uint32_t* out) const;
    void extract(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 uint64_t* out) const;

    // The inverse: writes the elements' bits, leaves all others as they are. Not concurrent on one tensor:
    // neighbouring rows may share a byte.
    void deposit(std::span<std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 const uint8_t* in) const;
    void deposit(std::span<std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                 const uint64_t* in) const;

    uint64_t columns() const { return columns_; }

  private:
    struct Lane {                       // a run of adjacent bits of every element
        uint32_t shift = 0, width = 0;  // in the element
        uint32_t bit = 0;               // first bit within the plane
        const Plane* plane = nullptr;
        std::vector<int64_t> columns;  // part of the address that each column gives
        int64_t lowest = 0, highest = 0;
        int64_t step = 0;          // between neighbours when it is always the same, else 0
        uint64_t run = 0;          // columns that follow each other from every multiple of it on, or 0
        bool in_bytes = false;     // a run's elements lie one byte apart, else packed in a word
        bool whole_bytes = false;  // every column adds whole bytes to the address
    };
    void add_lanes(const Plane& plane, uint32_t shift);
    void find_runs(Lane& lane) const;
    int64_t row_address(const Lane& lane, uint64_t expert, uint64_t row) const;
    int64_t flat_address(const Lane& lane, uint64_t row, uint64_t column) const;
    void check_bounds(size_t bytes, const Lane& lane, int64_t row_address) const;
    template <class T>
    bool copy_run(const uint8_t* data, const Lane& lane, int64_t address, T* to) const;
    template <class T>
    void extract_flat(std::span<const std::byte> bytes, const Lane& lane, std::span<const int64_t> bases,
                      std::span<const uint64_t> rows, bool first, T* out) const;
    template <bool first, class T>
    size_t extract_some(std::span<const std::byte> bytes, const Lane& lane, std::span<const int64_t> bases,
                        uint64_t c, uint64_t n, T* to) const;
    template <class T>
    void extract_as(std::span<const std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                    T* out) const;
    template <class T>
    void deposit_as(std::span<std::byte> bytes, uint64_t expert, std::span<const uint64_t> rows,
                    const T* in) const;

    std::unique_ptr<const Layout> layout_;  // lanes point into it
    Extent extent_;
    uint64_t column0_ = 0, columns_ = 0;
    bool flat_ = false;  // addresses of columns depend on the row
    std::vector<Lane> lanes_;
};

}  // namespace mortise::quant
