#include "base/team.h"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <system_error>

#include "base/result.h"

namespace mortise {
namespace {

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cpus;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
        }
    }
    if (cpus.empty()) cpus.push_back(0);
    return cpus;
}

void pin_to(pthread_t thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    ::pthread_setaffinity_np(thread, sizeof set, &set);
}

void relax() {
#if defined(__has_builtin)
#if __has_builtin(__builtin_ia32_pause)
    __builtin_ia32_pause();
#endif
#endif
}

}  // namespace

int usable_cpus() { return static_cast<int>(allowed_cpus().size()); }

Team::Team(int size, bool pin) {
    MORTISE_INVARIANT(size >= 1);
    std::vector<int> cpus;
    if (pin) cpus = allowed_cpus();
    size_ = size;
    threads_.reserve(static_cast<size_t>(size - 1));
    for (int rank = 1; rank < size; ++rank) {
        try {
            threads_.emplace_back([this, rank] { serve(rank); });
        } catch (const std::system_error&) {
            size_ = rank;  // no thread has run yet that could have read the larger number
            break;
        }
        if (pin) pin_to(threads_.back().native_handle(), cpus[static_cast<size_t>(rank) % cpus.size()]);
    }
    if (pin) pin_to(::pthread_self(), cpus[0]);
}

Team::~Team() {
    stop_.store(true, std::memory_order_relaxed);
    job_.fetch_add(1, std::memory_order_release);
    job_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void Team::wait_while(const std::atomic<uint32_t>& word, uint32_t value) {
    using Clock = std::chrono::steady_clock;
    auto limit = Clock::now() + std::chrono::microseconds(50);
    do {
        for (int i = 0; i < 64; ++i) {
            if (word.load(std::memory_order_acquire) != value) return;
            relax();
        }
    } while (Clock::now() < limit);
    while (word.load(std::memory_order_acquire) == value) word.wait(value, std::memory_order_acquire);
}

void Team::serve(int rank) {
    for (uint32_t seen = 0;; ++seen) {
        wait_while(job_, seen);
        if (stop_.load(std::memory_order_relaxed)) return;
        function_(state_, rank, size_);
        barrier();
    }
}

void Team::run_erased(Function function, void* state) {
    function_ = function;
    state_ = state;
    if (size_ > 1) {
        job_.fetch_add(1, std::memory_order_release);
        job_.notify_all();
    }
    function(state, 0, size_);
    barrier();
}

void Team::barrier() {
    if (size_ == 1) return;
    uint32_t generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(size_)) {
        arrived_.store(0, std::memory_order_relaxed);
        generation_.store(generation + 1, std::memory_order_release);
        generation_.notify_all();
        return;
    }
    wait_while(generation_, generation);
}

}  // namespace mortise
