// From a path to a proven LoadPlan: opens the checkpoint, asks one architecture and one scheme, resolves,
// binds kernels, proves. Reads headers and probe roles only.
//
// Threads: one call at a time per Registry; the result is immutable.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "plan/load_plan.h"
#include "registry/registry.h"

namespace mortise::plan {

struct Options {
    std::string path;          // folder, file, or org/name in the local cache
    std::string scheme;        // id that overrides the choice; empty = by the checkpoint
    std::string quantization;  // id of a scheme and options, "some:g64": float weights become that while they
                               // are loaded
    uint32_t rank = 0, size = 1;              // tensor-parallel; rank < size
    bool reference_kernels = false;           // only score-1 kernels, f32 cache
    std::vector<std::string> prefer, forbid;  // kernel provider ids
    uint32_t activations = MORTISE_ACTIVATIONS_AS_SPECIFIED;
    std::string cache_dtype = "auto";  // auto | checkpoint | f32 | bf16 | f16 | fp8_e4m3 | ... (caches.cpp)
    uint64_t max_length = 0;           // positions; 0 = the model's, at most default_max_length
    uint64_t max_rows = 512;           // rows of one forward call
    uint32_t threads = 1;
    std::set<std::string> accepted_config_keys;  // paths, reported and let pass
    std::set<std::string> accepted_rules;        // patterns of the config that may match no module; as above
    bool accept_missing_head = false;            // embedding without a head under an untied config
    bool bind_kernels = true;  // false: proof only (check, hash, diff), memory without packed bytes
};
inline constexpr uint64_t default_max_length = 4096;

// A checkpoint, opened, and what it means. Owns all; the plan points into it.
class Planned {
  public:
    const checkpoint::Checkpoint& checkpoint() const;
    const checkpoint::TensorReader& reader() const;  // of the checkpoint's tensors
    const LoadPlan& plan() const;
    // What plugins are handed as this checkpoint; valid as long as this.
    const mortise_checkpoint* view() const;
    // The scheme's interface and its per-model state, for questions beyond the plan (writing).
    const mortise_scheme_v1* scheme() const;
    ~Planned();
    struct Rep;
    explicit Planned(std::unique_ptr<Rep> rep);

  private:
    std::unique_ptr<Rep> rep_;
};

// Effect: opens `path` through the native reader or a container plugin, whose id goes to `container`. Headers
// only.
Result<checkpoint::Checkpoint> open_checkpoint(const std::string& path, registry::Registry& registry,
                                               std::string* container = nullptr);

// Effect: a proven plan. Errors: everything that is wrong with the structure, together.
Result<std::shared_ptr<const Planned>> make(const Options& options, registry::Registry& registry);

// Independent of how the plan was made: checks I1 (each parameter tiled exactly), I2 (each catalog tensor
// consumed or dropped by a coded rule), I3 (dtypes, shapes and boxes fit) over moves and drops alone.
Status prove(const LoadPlan& plan, const checkpoint::Catalog& catalog);

// Checks that the ranks together read every element that one rank alone reads, and that each part's rows
// and columns are covered. Requires: plans of ranks 0 to n-1 of one checkpoint, and the plan of size 1.
Status prove_union(const std::vector<const LoadPlan*>& ranks, const LoadPlan& whole);

// The services that plugins get. One per process.
const mortise_host& host();

}  // namespace mortise::plan
