// LoadPlans made by hand over a file made by hand, so that load and engine are tested without plugins.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/catalog.h"
#include "load/part_stream.h"
#include "plan/load_plan.h"

namespace mortise::testing {

// A folder that is gone afterwards.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// Builds file, catalog and plan together. The file is written and opened by finish().
class HandMade {
  public:
    explicit HandMade(const mortise_kernels_v1* provider) : provider_(provider) {}

    // Each adds a tensor and returns its number (until finish() sorts them; the plan follows).
    uint32_t tensor(const std::string& name, DType dtype, Shape shape, std::vector<std::byte> bytes);
    uint32_t tensor(const std::string& name, Shape shape, const std::vector<float>& values);  // F32

    // A source over tensors by name, fields as the spec names them; absent tensors become `none`.
    uint32_t source(const std::string& name, quant::QuantSpec spec);
    static quant::QuantSpec plain(const std::string& tensor, uint64_t rows, uint64_t columns);

    // A part over one source (or one per expert), with parameters and moves for its codes and bias.
    uint32_t part(const std::string& name, std::vector<uint32_t> sources, uint64_t rows, uint64_t columns);
    // Both at once: a plain linear of pseudo-random weights.
    uint32_t random_part(const std::string& name, uint64_t rows, uint64_t columns);
    uint32_t equal_part(const std::string& name, const std::string& other, uint64_t rows, uint64_t columns);
    uint32_t random_vector(const std::string& name, uint64_t columns);  // index of plan.vectors

    // A graph op and the step that runs it; returns the first output value. `parts` and `vectors` by index.
    uint32_t op(uint32_t kind, std::vector<uint32_t> inputs, std::vector<uint64_t> widths,
                std::vector<uint32_t> parts = {}, std::vector<uint32_t> vectors = {},
                std::vector<model::Attribute> attributes = {});
    void obligation(plan::Promise promise, uint32_t source, uint32_t field, double value = 0);
    void finish();

    // Valid after finish().
    load::Origin origin() const { return {plan, catalog}; }
    std::string file_path() const { return folder_.path() + "/data.bin"; }
    // Overwrites bytes of a tensor in the file, size and time of the file as before.
    void overwrite(const std::string& tensor, uint64_t begin, const std::vector<std::byte>& bytes);
    const checkpoint::TensorEntry& entry(const std::string& name) const { return *catalog.find(name); }

    plan::LoadPlan plan;
    checkpoint::Catalog catalog;

  private:
    struct Pending {
        checkpoint::TensorEntry entry;
        std::vector<std::byte> bytes;
    };
    const mortise_kernels_v1* provider_;
    TemporaryFolder folder_;
    std::vector<Pending> pending_;
    uint64_t seed_ = 1;
};

std::vector<std::byte> bytes_of(const std::vector<float>& values);
std::vector<float> pseudo_random(size_t count, uint64_t seed);

// A decoder of one head: embedding, `layers` blocks of (norm, attention, add, norm, linear, add), head.
struct TinyOptions {
    const mortise_kernels_v1* provider = nullptr;
    uint32_t layers = 2;
    uint64_t max_rows = 4, max_length = 24;
    uint32_t block_slots = 3;
    bool softcap = false;
    bool equal_tables = false;  // head and embedding hold the same values
};
std::unique_ptr<HandMade> tiny_model(const TinyOptions& options);
inline constexpr uint64_t tiny_vocabulary = 13;

}  // namespace mortise::testing
