// Runs operators of a kernel provider on random data, and computes the same in f64.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "mortise/abi.h"

namespace mortise::test {

// A provider under test.
struct Provider {
    std::string name;
    const mortise_kernels_v1* table;
};

// What a part's weights look like.
struct Format {
    std::string name;
    uint32_t encoding = MORTISE_ENCODING_F32;
    uint32_t bits = 32;
    uint64_t group = 0;      // columns per scale; 0 = one for the row
    uint64_t row_group = 1;  // rows that share a scale
    uint32_t offset = 0;     // as mortise_spec.offset_kind
    bool indexed = false;
    bool cast = false;
    bool pre_scale = false;
    bool int8_input = false;  // dynamic symmetric int8 per token
    bool one_scale = false;   // of int8_input: for all rows together
    uint64_t low_rank = 0;
    uint32_t scale_as = MORTISE_ENCODING_F32;  // F16, BF16 or E8M0: how the file has the scales
    bool stored_input = false;                 // of int8_input: one scale from the file
};

// One part with its canonical arrays and its weights in f64.
class Part {
  public:
    Part(const Format& format, uint64_t rows, uint64_t columns, uint32_t seed, bool bias = false,
         uint64_t first_column = 0, uint64_t experts = 1);
    Part(const Part&) = delete;

    const mortise_kernel_part& facts() const { return part_; }
    const mortise_extras& extras() const { return extras_; }
    uint64_t rows() const { return part_.rows; }
    uint64_t columns() const { return part_.columns; }
    // Rows [row, row + count) of `expert`; valid as long as the part.
    mortise_tile tile(uint64_t expert, uint64_t row, uint64_t count) const;
    const std::vector<double>& weights() const { return weights_; }  // [experts][rows][columns]
    // Under which the weights are what weights() says: a cast needs inputs that may be quantized.
    uint32_t activations() const {
        return spec_.has_cast ? MORTISE_ACTIVATIONS_AS_SPECIFIED : MORTISE_ACTIVATIONS_EXACT;
    }
    // Effect: y[row] in f64 of the prepared input, bias included.
    double dot(const std::vector<double>& prepared, uint64_t row, uint64_t expert = 0) const;
    // Effect: what the low-rank term adds to y[row], from the operator's own input.
    double low_rank(const float* x, uint64_t row) const;
    void poison(uint64_t row, uint64_t column);  // a NaN weight (float codes and plain weights only)

  private:
    void fill_scales(const Format& format, std::mt19937& random);
    void fill_offsets(const Format& format, uint32_t seed, std::mt19937& random);
    void fill_input_rule(const Format& format, std::mt19937& random);
    void fill_low_rank(uint64_t rank, uint32_t seed);
    void fill_codes(std::mt19937& random);
    void decode();
    mortise_spec spec_{};
    std::vector<mortise_field> fields_;
    mortise_kernel_part part_{};
    mortise_extras extras_{};
    float input_scale_ = 0.03f;
    mortise_tile tile_{};
    std::vector<uint8_t> codes_;
    std::vector<float> plain32_;
    std::vector<uint16_t> plain16_;
    std::vector<float> scale_, zero_, addend_, table_, bias_, pre_scale_, cast_scale_, low_a_, low_b_;
    std::vector<uint32_t> map_;
    std::vector<double> weights_;
};

// Effect: rows of input as the spec wants them, prepared together, in f64.
std::vector<double> prepare(const Part& part, uint32_t activations, const float* x, uint64_t rows = 1);

std::vector<float> random_floats(size_t count, uint32_t seed, float spread = 1);

// Effect: calls work(team) on `threads` threads at once.
void with_team(uint32_t threads, const std::function<void(const mortise_team&)>& work);

// A problem and the arrays behind it.
struct ProblemBox {
    mortise_problem problem{};
    std::vector<mortise_attr> attrs;
    std::vector<uint64_t> inputs, outputs;
    std::vector<const mortise_kernel_part*> parts;
    void attr(uint32_t key, int64_t integer) { attrs.push_back({key, 0, integer, 0, nullptr}); }
    void real(uint32_t key, double value) { attrs.push_back({key, 0, 0, value, nullptr}); }
    void array(uint32_t key, const std::vector<float>& v) {
        attrs.push_back({key, static_cast<uint32_t>(v.size()), 0, 0, v.data()});
    }
    const mortise_problem& finish(uint32_t kind, uint64_t max_rows, uint32_t threads);
};

// A kernel bound, packed and sealed. The box and the parts must outlive it.
class Bound {
  public:
    Bound(const Provider& provider, const mortise_problem& problem,
          const std::vector<const Part*>& parts = {});
    ~Bound();
    Bound(const Bound&) = delete;

    bool can() const { return bid_.score > 0; }
    const mortise_bid& bid() const { return bid_; }
    uint64_t packed_bytes() const { return packed_bytes_; }
    // Effect: runs once with `threads` threads; outputs are poisoned with NaN before.
    std::vector<std::vector<float>> run(uint32_t threads, uint32_t rows,
                                        const std::vector<const float*>& inputs,
                                        const mortise_batch* batch = nullptr,
                                        const mortise_cache* cache = nullptr,
                                        const std::vector<const float*>& weights = {}, uint32_t op = 0);
    void run_into(const mortise_team& team, mortise_arguments arguments);
    mortise_arguments arguments(uint32_t rows);
    const std::vector<mortise_address>& packed() const { return packed_; }

  private:
    void pack(const std::vector<const Part*>& parts);
    const mortise_kernels_v1& table_;
    const mortise_problem& problem_;
    mortise_bid bid_{};
    mortise_kernel* kernel_ = nullptr;
    std::vector<mortise_address> packed_;
    mortise_address workspace_{};
    uint64_t packed_bytes_ = 0;
};

// Sequences laid out for attention: positions, tables, lengths.
struct BatchBox {
    BatchBox(const std::vector<uint32_t>& rows, const std::vector<uint32_t>& before, uint32_t block_slots);
    mortise_batch batch{};
    uint32_t blocks = 0;  // in the cache
    std::vector<int32_t> tokens, positions;
    std::vector<uint32_t> first_row, lengths, tables;
};

// Effect: installs the test's host for code that asks for sdk::host().
void install_host();

}  // namespace mortise::test
