// Writing: canonical values back into the tensors of a spec, exactly where they fit, by a recipe where not.
//
// A ModuleWriter holds the tensors of one module. Floats are quantized by a producer's recipe (quantize), or
// the weights of another spec are written as they are (reencode), which counts every weight that could not be
// kept: a conversion is lossless iff that count is 0, found by decoding what was written. One thread per
// writer, but quantize() may be called from several with different rows.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mortise/abi_scheme.h"
#include "quant/reader.h"

namespace mortise::quant {

// How codes and scales come from floats: the producer's own recipe. Mirror of mortise_quantizer and
// mortise_recipe, which say what each number means.
struct Quantizer {
    uint32_t method = MORTISE_METHOD_AMAX;
    uint32_t compute = MORTISE_ENCODING_F32;  // dtype of every intermediate: F32, BF16 or F16
    double divisor = 0;                       // symmetric: scale = amax / divisor
    double zero_scale = 0;                    // of an all-zero group; 0 = the epsilon of its dtype
    double code_min = 0, code_max = 0;        // in values of the code, not of the stored field
    bool clamp = false;                       // quotient is clamped to the range before the cast
    uint32_t exponent_rule = MORTISE_EXPONENT_NONE;
    uint32_t flags = 0;     // MORTISE_RECIPE_*
    uint32_t quotient = 0;  // dtype of weight / scale; 0 = `compute`, or F32 under a second level
    double amax_floor = 0, zero_amax = 0, scale_floor = 0;
    double second_divisor = 0;
    std::string shared;  // modules with the same words share the amax of the second level

    bool has(uint32_t flag) const { return (flags & flag) != 0; }
};
Quantizer from_abi(const mortise_quantizer& quantizer, const mortise_recipe& recipe);

// What happened to the weights.
struct Change {
    uint64_t weights = 0;
    uint64_t changed = 0;  // not bit-equal
    double max_error = 0;  // absolute
    double squared_error = 0, squared_signal = 0;
    void add(float was, float is);
    void add(const Change& other);
    double rms() const;
    double sqnr_db() const;  // infinity when nothing changed
};

struct WrittenTensor {
    std::string name;
    DType dtype{};
    Shape shape;
    std::vector<std::byte> bytes;
};

// Effect: the raw field of `value`; floats round to nearest even and saturate (f16 overflows to infinity).
// in_range is cleared when an integer does not fit and was clamped.
uint64_t encode_raw(uint32_t encoding, uint32_t bits, double value, bool& in_range);

class ModuleWriter {
  public:
    // Effect: zero-filled tensors with the first accepted dtype and shape of each field. UNUSED fields and
    // those named in `absent` (optional roles) are not written; the stored shape is.
    // Errors: plugin_contract; layout_invalid when a layout does not fit its tensor or two fields overlap.
    static Result<ModuleWriter> make(const QuantSpec& target, const std::vector<uint32_t>& absent = {});

    const QuantSpec& spec() const;
    // Rows that quantize() must get together: whole scale groups; all rows for a scale per tensor.
    uint64_t row_step() const;

    // Is there a second level over the whole expert, so that quantize() wants its amax?
    bool wants_amax() const;

    // Effect: quantizes rows [row0, row0 + rows) of one expert. `amax` = largest magnitude of the expert, for
    // recipes with a second level; 0 = taken from these rows.
    // Requires: row0 a multiple of row_step(), rows too or to the end. Errors: unsupported_variant for a spec
    // that no recipe fills (lookup codes, two levels of addends).
    Result<Change> quantize(const Quantizer& quantizer, uint64_t expert, uint64_t row0, uint64_t rows,
                            const float* weights, double amax = 0);

    struct Origin {
        uint64_t from_expert = 0, to_expert = 0;
        std::span<const uint64_t> rows;  // source row of each target row; empty = same order
    };
    // Effect: bias, pre-scale, static input scales and the like of one expert, as numbers. Errors: lossy when
    // the source has something that the target has no place for, or the target needs something that it has
    // not.
    Status copy_companions(const QuantSpec& from, const Sources& bytes, const Origin& origin);
    // Effect: writes all rows of one expert as the source has them, companions too. Errors: those of
    // copy_companions; lossy when scales or offsets have no form in the target; as PartReader otherwise.
    Result<Change> reencode(const QuantSpec& from, const Sources& bytes, const Origin& origin);

    // Effect: a whole field from numbers, [experts][rows][columns]. Errors: value_range when one does not
    // fit.
    Status put(uint32_t role, std::span<const double> values);
    bool has(uint32_t role) const;  // a field that is written

    // What has been written so far, as a reader wants it; borrows from this writer.
    Sources sources() const;
    // Effect: the tensors, in the order of the fields; tensors of several fields once. Ends the writer's use.
    std::vector<WrittenTensor> take();

    ModuleWriter(ModuleWriter&&) noexcept;
    ModuleWriter& operator=(ModuleWriter&&) noexcept;
    ~ModuleWriter();

    struct Rep;

  private:
    explicit ModuleWriter(std::unique_ptr<Rep> rep);
    std::unique_ptr<Rep> rep_;
};

}  // namespace mortise::quant
