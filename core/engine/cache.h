// The KV cache as blocks: who owns which, and the memory behind them.
//
// A block holds block_slots positions of one sequence in every layer; memory of a layer comes from the
// provider of its attention kernel and is touched by that provider alone. A block is poisoned when a sequence
// gets it: what nobody wrote, or what another sequence left, must not look like a key. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/result.h"
#include "load/device_memory.h"
#include "load/loader.h"

namespace mortise::engine {

class Cache {
  public:
    // Errors: out_of_memory, plugin_failed, internal (an attention without a cache in the plan).
    static Result<Cache> make(const load::Model& model);

    // The cache of a layer as kernels see it; null where the model has none of that index.
    const mortise_cache* layer(uint32_t layer) const;
    uint32_t block_slots() const { return block_slots_; }
    uint32_t blocks_per_sequence() const { return blocks_per_sequence_; }

    // Errors: out_of_memory when no block is free.
    Result<uint32_t> open();
    void close(uint32_t sequence);
    bool is_open(uint32_t sequence) const;
    uint64_t length(uint32_t sequence) const { return sequences_[sequence].length; }
    void set_length(uint32_t sequence, uint64_t length);  // frees blocks that are no longer reached
    // Effect: the sequence owns blocks for `length` positions; its length stays.
    // Errors: out_of_memory, plugin_failed.
    Status reserve(uint32_t sequence, uint64_t length);
    // Effect: writes the sequence's blocks to table[blocks_per_sequence]; the rest becomes 0.
    void write_table(uint32_t sequence, uint32_t* table) const;

  private:
    void add_numbers(const load::Model& model, const plan::CachePlan& plan, mortise_cache& view);
    struct Sequence {
        bool open = false;
        uint64_t length = 0;
        std::vector<uint32_t> blocks;
    };
    // Keys or values of one layer.
    struct Plane {
        load::DeviceMemory memory;
        uint64_t block_bytes = 0;
    };
    uint32_t block_slots_ = 1, blocks_per_sequence_ = 0;
    std::vector<uint32_t> free_;  // blocks; the lowest is last
    std::vector<Sequence> sequences_;
    std::vector<mortise_cache> layers_;
    std::vector<Plane> planes_;
    std::deque<std::vector<float>> numbers_;  // scales, biases, zero points that layers_ points into
};

}  // namespace mortise::engine
