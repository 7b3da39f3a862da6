// Runs a loaded model: ragged batches in, logits out. No formats, no files.
//
// An Engine belongs to one thread at a time; inside a call all threads of its team work. Results are
// bit-identical for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/team.h"
#include "load/loader.h"

namespace mortise::engine {

// One sequence's share of a forward call.
struct Slice {
    uint32_t sequence = 0;            // from Engine::open_sequence
    std::span<const int32_t> tokens;  // appended to the sequence's cache
    bool all_logits = false;          // logits of every token, else of the last one only
};

class Engine {
  public:
    // Effect: allocates activations and the KV cache as planned. Requires: a team of at most as many threads
    // as were planned for. Errors: out_of_memory, plugin_failed.
    static Result<std::unique_ptr<Engine>> make(std::shared_ptr<const load::Model> model, Team& team);
    ~Engine();

    // A sequence owns cache blocks until it is closed. Errors: out_of_memory when no block is free.
    Result<uint32_t> open_sequence();
    void close_sequence(uint32_t sequence);
    // Effect: forgets the tokens from position `length` on. Requires: length <= current length.
    void truncate(uint32_t sequence, uint64_t length);
    uint64_t length(uint32_t sequence) const;

    // Effect: runs the slices as one batch, in chunks of the plan's max_rows, and returns the logits rows in
    // slice order: [rows][vocabulary], valid until the next call. A failed call leaves every sequence as it
    // was. Errors: usage when a token is outside the vocabulary, a sequence would pass max_length, is not
    // open or occurs twice; out_of_memory when no cache block is free.
    Result<std::span<const float>> forward(std::span<const Slice> slices);

    uint64_t vocabulary() const;
    uint64_t max_length() const;

  private:
    struct Rep;
    explicit Engine(std::unique_ptr<Rep> rep);
    std::unique_ptr<Rep> rep_;
};

}  // namespace mortise::engine
