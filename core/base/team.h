// The threads of the process: a fixed team, made once; nothing else owns threads that compute.
//
// run() is called by one thread at a time, the one that made the team; it is rank 0. barrier() is called by
// all ranks inside run(). Waiting spins for at most 50 microseconds, then sleeps: with more threads than free
// cores a spinning team loses a scheduler tick at every barrier.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace mortise {

class Team {
  public:
    // Requires: size >= 1. `pin` binds rank r to the r-th CPU that the process may use; refusal is ignored.
    // Effect: fewer threads than asked for when the system gives no more.
    explicit Team(int size, bool pin = false);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }

    // Effect: calls work(rank, size) once on every rank and returns when all have returned. Allocates
    // nothing. Requires: work does not throw and does not call run().
    template <class Work>
    void run(Work&& work) {
        run_erased([](void* state, int rank,
                      int size) { (*static_cast<std::remove_reference_t<Work>*>(state))(rank, size); },
                   const_cast<void*>(static_cast<const void*>(&work)));
    }

    // Effect: returns when every rank has called it. What ranks wrote before is visible to all after.
    void barrier();

  private:
    using Function = void (*)(void* state, int rank, int size);
    void run_erased(Function function, void* state);
    void serve(int rank);
    static void wait_while(const std::atomic<uint32_t>& word, uint32_t value);

    int size_ = 1;
    Function function_ = nullptr;  // written before job_ is raised
    void* state_ = nullptr;
    std::atomic<bool> stop_{false};
    alignas(64) std::atomic<uint32_t> job_{0};
    alignas(64) std::atomic<uint32_t> arrived_{0};
    alignas(64) std::atomic<uint32_t> generation_{0};
    std::vector<std::thread> threads_;
};

// Effect: CPUs that this process may use, at least 1.
int usable_cpus();

// Effect: the share [begin, end) of `count` items for one rank: contiguous, sizes differ by at most one.
struct Share {
    uint64_t begin, end;
};
inline Share share(uint64_t count, int rank, int size) {
    uint64_t each = count / static_cast<uint64_t>(size), left = count % static_cast<uint64_t>(size);
    uint64_t r = static_cast<uint64_t>(rank);
    uint64_t begin = r * each + (r < left ? r : left);
    return {begin, begin + each + (r < left ? 1 : 0)};
}

}  // namespace mortise
