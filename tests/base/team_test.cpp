#include "base/team.h"

#include <gtest/gtest.h>

#include <numeric>

namespace mortise {
namespace {

TEST(Team, runs_the_work_once_on_every_rank) {
    for (int size : {1, 2, 3, 8}) {
        Team team(size);
        ASSERT_EQ(team.size(), size);
        for (int round = 0; round < 50; ++round) {
            std::vector<int> seen(static_cast<size_t>(size), 0);
            auto caller = std::this_thread::get_id();
            bool rank_0_is_caller = false;
            team.run([&](int rank, int n) {
                EXPECT_EQ(n, size);
                ++seen[static_cast<size_t>(rank)];
                if (rank == 0) rank_0_is_caller = std::this_thread::get_id() == caller;
            });
            EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(size), 1));
            EXPECT_TRUE(rank_0_is_caller);
        }
    }
}

TEST(Team, barrier_lets_nobody_pass_before_all_have_come) {
    Team team(4);
    std::vector<uint64_t> row(4, 0), sums(4, 0);
    team.run([&](int rank, int size) {
        auto r = static_cast<size_t>(rank);
        for (uint64_t step = 1; step <= 500; ++step) {
            row[r] = step * (r + 1);
            team.barrier();
            uint64_t sum = std::accumulate(row.begin(), row.end(), uint64_t{0});
            if (sum != step * 10) ++sums[r];
            team.barrier();
        }
        EXPECT_EQ(size, 4);
    });
    EXPECT_EQ(sums, std::vector<uint64_t>(4, 0));
}

TEST(Team, sleeps_while_it_waits_for_a_slow_rank) {
    Team team(3);
    std::atomic<int> after{0};
    team.run([&](int rank, int) {
        if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(30));
        team.barrier();
        ++after;
    });
    EXPECT_EQ(after.load(), 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // workers sleep now; the next run wakes them
    team.run([&](int, int) { ++after; });
    EXPECT_EQ(after.load(), 6);
}

TEST(Team, may_be_pinned) {
    std::thread([] {  // pinning rank 0 pins the caller: keep that to a thread of its own
        Team team(2, true);
        std::atomic<int> count{0};
        team.run([&](int, int) { ++count; });
        EXPECT_EQ(count.load(), 2);
    })
        .join();
    EXPECT_GE(usable_cpus(), 1);
}

TEST(Share, shares_are_contiguous_complete_and_even) {
    for (uint64_t count : {0u, 1u, 7u, 64u, 1000u}) {
        for (int size : {1, 2, 3, 7, 64}) {
            uint64_t at = 0, least = count, most = 0;
            for (int rank = 0; rank < size; ++rank) {
                Share part = share(count, rank, size);
                EXPECT_EQ(part.begin, at);
                at = part.end;
                least = std::min(least, part.end - part.begin);
                most = std::max(most, part.end - part.begin);
            }
            EXPECT_EQ(at, count);
            EXPECT_LE(most - least, 1u);
        }
    }
}

}  // namespace
}  // namespace mortise
