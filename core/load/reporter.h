// Calls the user's progress function from the thread that made it, ten times a second at most.
#pragma once

#include <chrono>
#include <thread>

#include "load/ledger.h"
#include "load/loader.h"

namespace mortise::load {

class Reporter {
  public:
    // Requires: all three outlive this.
    Reporter(const Progress& progress, const Origin& origin, const Ledger& ledger);

    // Effect: reports what the ledger has read by now. Any thread; does nothing on others than the maker's.
    void tick();
    void done() const;

  private:
    using Clock = std::chrono::steady_clock;
    const Progress& progress_;
    const Ledger& ledger_;
    std::thread::id owner_ = std::this_thread::get_id();
    Clock::time_point last_ = Clock::now();
    uint64_t total_ = 0;  // bytes of the tensors that are not dropped
};

}  // namespace mortise::load
