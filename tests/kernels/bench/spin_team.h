// Threads that wait actively, so that wake-ups are not measured.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "../harness.h"
#include "mortise/sdk/host.h"

namespace mortise::test {

inline constexpr uint32_t most_threads = 2;
inline const uint32_t threads =
    std::getenv("THREADS") && std::atoi(std::getenv("THREADS")) == 1 ? 1 : most_threads;

class SpinTeam {
  public:
    SpinTeam() {
        for (uint32_t rank = 1; rank < threads; rank++) workers_.emplace_back([this, rank] { serve(rank); });
        if (threads > 1) pin(0);
    }
    ~SpinTeam() {
        stop_ = true;
        phase_++;
        for (auto& worker : workers_) worker.join();
    }
    void run(const std::function<void(const mortise_team&)>& work) {
        work_ = &work;
        phase_++;
        enter(0);
        barrier(this);
    }

  private:
    static void pin(uint32_t cpu) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    }
    static void barrier(void* context) {
        auto& team = *static_cast<SpinTeam*>(context);
        const uint32_t turn = team.turn_.load();
        if (team.waiting_.fetch_add(1) + 1 == threads) {
            team.waiting_ = 0;
            team.turn_ = turn + 1;
        } else {
            for (uint32_t spins = 0; team.turn_.load() == turn; spins++) {
                if (spins > 2000) std::this_thread::yield();
            }
        }
    }
    void enter(uint32_t rank) {
        auto team = sdk::make<mortise_team>();
        team.rank = rank, team.size = threads, team.barrier = barrier, team.context = this;
        (*work_)(team);
    }
    void serve(uint32_t rank) {
        pin(rank);
        for (uint32_t seen = 0;;) {
            for (uint32_t spins = 0; phase_.load() == seen; spins++) {
                if (spins > 2000) std::this_thread::yield();
            }
            seen = phase_;
            if (stop_) return;
            enter(rank);
            barrier(this);
        }
    }
    std::atomic<uint32_t> phase_{0}, waiting_{0}, turn_{0};
    std::atomic<bool> stop_{false};
    const std::function<void(const mortise_team&)>* work_ = nullptr;
    std::vector<std::thread> workers_;
};

}  // namespace mortise::test
