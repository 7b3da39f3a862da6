// Executes a LoadPlan: reads the tensors, checks the obligations, packs every part into the layout of the
// kernel it is bound to, and closes the books in a receipt.
//
// Memory is poisoned before it is written; a part is sealed when its declared sources are in. Peak memory is
// the plan's figure. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/team.h"
#include "load/part_stream.h"

namespace mortise::load {

struct Receipt {
    uint64_t tensors_read = 0, tensors_dropped = 0;
    uint64_t bytes_read = 0;        // of tensor data
    uint64_t elements_written = 0;  // over all parameters; equals the plan's sum
    uint64_t obligations_met = 0;
    uint64_t values_checked = 0;
    double seconds = 0;
    std::vector<std::string> notes;  // equal copies shared, defaults used
};

// Called with bytes done and bytes in all, from the calling thread, a few times a second.
using Progress = std::function<void(uint64_t done, uint64_t total)>;

// Everything a plan's kernels need at run time. Frees through the providers; kernels first. Immutable;
// kernels may be run by any team.
class Model {
  public:
    const plan::LoadPlan& plan() const;
    const Receipt& receipt() const;
    // Of plan().kernels; an embedding and a head that are equal in the file have one kernel in common.
    const mortise_kernels_v1* provider(uint32_t kernel) const;
    mortise_kernel* kernel(uint32_t kernel) const;
    const std::vector<mortise_address>& packed(uint32_t kernel) const;  // [parts]
    std::span<const float> vector(uint32_t vector) const;               // f32, of plan().vectors
    ~Model();
    struct Rep;
    explicit Model(std::unique_ptr<Rep> rep);

  private:
    std::unique_ptr<Rep> rep_;
};

// Effect: a model that can run. Packed memory is touched by its provider alone (pack, seal, run).
// Errors: value_* for a failed obligation (naming tensor, element, value), file_*, value_changed,
// out_of_memory with the figures, plugin_failed.
Result<std::shared_ptr<const Model>> load(const std::shared_ptr<const plan::Planned>& planned, Team& team,
                                          const Progress& progress = {});
// The same for a plan that came from elsewhere; `keep` holds what the origin borrows.
Result<std::shared_ptr<const Model>> load(const Origin& origin, std::shared_ptr<const void> keep, Team& team,
                                          const Progress& progress = {});

// Reads everything and checks every obligation without kernels: what `check` does after the plan.
Result<Receipt> verify(const Origin& origin, Team& team, const Progress& progress = {});

}  // namespace mortise::load
