// Speed of the linear kernels on the layers of a 1.1B Llama (hidden 2048, ffn 5632, 32 / 4 heads of 64), each
// round beside the provider's own probes: kernel_bench [LEVEL [FORMAT [ROWS...]]]. With THREADS=1 seconds of the
// processor are counted, not of the clock: on a machine that is busy with other work only that says anything.
// Prints the median share of the read probe (up to 4 rows) or of the matrix probe (more).
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "../harness.h"
#include "cpu/provider.h"
#include "mortise/sdk/host.h"

namespace mortise::test {
namespace {

constexpr uint32_t most_threads = 2;
const uint32_t threads = std::getenv("THREADS") && std::atoi(std::getenv("THREADS")) == 1 ? 1 : most_threads;
constexpr uint64_t hidden = 2048, inner = 5632, kv = 256, copies = 6;  // layers: beyond any cache
constexpr int rounds = 7;

// Threads that wait actively, so that wake-ups are not measured.
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

double now() {
    if (threads == 1) {
        timespec spent;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
        return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) * 1e-9;
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double probe(SpinTeam& team, const mortise_kernels_v1& table, uint32_t kind, char* name) {
    double rate[most_threads] = {};
    char names[most_threads][64];
    const auto wall = std::chrono::steady_clock::now();
    const double start = now();
    team.run([&](const mortise_team& t) { table.probe(kind, t.rank, t.size, 0.08, &rate[t.rank], names[t.rank]); });
    const double spent = now() - start;
    const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
    std::memcpy(name, names[0], 64);
    return (rate[0] + rate[1]) * passed / spent;
}

// One linear group, packed `copies` times from the same tiles.
struct Group {
    Group(const Provider& provider, const Format& format, uint64_t columns, const std::vector<uint64_t>& rows) {
        for (uint64_t n : rows) {
            parts.push_back(std::make_unique<Part>(format, n, columns, 1));
            box.parts.push_back(&parts.back()->facts());
            box.outputs.push_back(n);
            weights += n * columns;
        }
        box.inputs = {columns};
        box.finish(MORTISE_OP_LINEAR, 512, threads);
        std::vector<const Part*> borrowed;
        for (const auto& part : parts) borrowed.push_back(part.get());
        for (uint64_t i = 0; i < copies; i++) {
            bound.push_back(std::make_unique<Bound>(provider, box.problem, borrowed));
        }
    }
    std::vector<std::unique_ptr<Part>> parts;
    ProblemBox box;
    std::vector<std::unique_ptr<Bound>> bound;
    double weights = 0;
};

struct Model {
    Model(const Provider& provider, const Format& format) {
        groups.push_back(std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{hidden, kv, kv}));
        groups.push_back(std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{hidden}));
        groups.push_back(std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{inner, inner}));
        groups.push_back(std::make_unique<Group>(provider, format, inner, std::vector<uint64_t>{hidden}));
        for (auto& group : groups) {
            for (auto& bound : group->bound) bytes += static_cast<double>(bound->packed_bytes());
            weights += group->weights * copies;
        }
        x = random_floats(512 * inner, 5);
        y.resize(512 * (2 * inner + hidden));
    }
    bool can() const { return groups[0]->bound[0]->can(); }

    // Effect: seconds of one pass over all layers.
    double pass(SpinTeam& team, uint32_t rows) {
        const double start = now();
        team.run([&](const mortise_team& t) {
            for (uint64_t layer = 0; layer < copies; layer++) {
                for (auto& group : groups) {
                    run(*group, layer, rows, t);
                    t.barrier(t.context);
                }
            }
        });
        return now() - start;
    }

    void run(Group& group, uint64_t layer, uint32_t rows, const mortise_team& t) {
        mortise_arguments a = group.bound[layer]->arguments(rows);
        const mortise_address in{reinterpret_cast<uintptr_t>(x.data()), 0};
        mortise_address out[3];
        uint64_t at = 0;
        for (size_t i = 0; i < group.parts.size(); i++) {
            out[i] = {reinterpret_cast<uintptr_t>(y.data()) + at * sizeof(float), 0};
            at += rows * group.parts[i]->rows();
        }
        a.inputs = &in, a.outputs = out;
        group.bound[layer]->run_into(t, a);
    }

    std::vector<std::unique_ptr<Group>> groups;
    std::vector<float> x, y;
    double bytes = 0, weights = 0;
};

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void measure(SpinTeam& team, const Provider& provider, const Format& format, const std::vector<uint32_t>& row_counts) {
    Model model(provider, format);
    if (!model.can()) return void(std::printf("%-20s not taken\n", format.name.c_str()));
    for (uint32_t rows : row_counts) {
        const bool few = rows <= 4;
        std::vector<double> rates, shares;
        char name[64];
        for (int round = 0; round <= rounds; round++) {
            const double yardstick = probe(team, *provider.table, few ? MORTISE_PROBE_READ : MORTISE_PROBE_MATRIX, name);
            const double seconds = model.pass(team, rows);
            if (round == 0) continue;  // warms up
            rates.push_back((few ? model.bytes : 2 * model.weights * rows) / seconds);
            shares.push_back(rates.back() / yardstick);
        }
        std::printf("%-20s %-18s rows %-4u %8.2f %s  %.3f of %s\n", provider.name.c_str(), format.name.c_str(), rows,
                    median(rates) / 1e9, few ? "GB/s" : "GF/s", median(shares), name);
        std::fflush(stdout);
    }
}

}  // namespace
}  // namespace mortise::test

int main(int argc, char** argv) {
    using namespace mortise::test;
    namespace cpu = mortise::cpu;
    install_host();
    const std::vector<Format> formats = {
        {"int4_g128", MORTISE_ENCODING_OFFSET, 4, 128},
        {"int4_g128_zero", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 2},
        {"fp8_row", MORTISE_ENCODING_E4M3, 8},
        {"fp8_block", MORTISE_ENCODING_E4M3, 8, 128, 128},
        {"int8_row", MORTISE_ENCODING_TWOS, 8},
        {"fp4_g16", MORTISE_ENCODING_E2M1, 4, 16},
        {"bf16", MORTISE_ENCODING_BF16, 16},
    };
    const std::string wanted_level = argc > 1 ? argv[1] : "", wanted_format = argc > 2 ? argv[2] : "all";
    std::vector<uint32_t> rows;
    for (int i = 3; i < argc; i++) rows.push_back(static_cast<uint32_t>(std::atoi(argv[i])));
    if (rows.empty()) rows = {1, 4, 16, 64, 512};
    SpinTeam team;
    for (int i = 0; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        if (!wanted_level.empty() && wanted_level != cpu::name(level)) continue;
        if (const char* why = cpu::why_not(level)) {
            std::printf("%s not run: %s\n", cpu::name(level), why);
            continue;
        }
        for (const Format& format : formats) {
            if (wanted_format != "all" && wanted_format != format.name) continue;
            measure(team, {cpu::name(level), &cpu::kernels(level)}, format, rows);
        }
    }
}
