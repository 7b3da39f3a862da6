// Speed of the linear kernels on the layers of a 1.1B Llama (hidden 2048, ffn 5632, 32 / 4 heads of 64), each
// round beside the provider's own probes: kernel_bench [LEVEL [FORMAT [ROWS...]]]. With THREADS=1 seconds of
// the processor are counted, not of the clock: on a machine that is busy with other work only that says
// anything. Prints the median share of the read probe (up to 4 rows) or of the matrix probe (more).
//
// kernel_bench ratio [LEVEL [FORMAT]]: every kind of codes on one 2048 x 2048 matrix of that model, as a
// multiple of the reference kernel's speed in the same process: one input row, 64, and 512 of them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cpu/provider.h"
#include "quant/activation.h"
#include "quant/decode.h"
#include "reference/provider.h"
#include "spin_team.h"

namespace mortise::test {
namespace cpu = mortise::cpu;
namespace {

constexpr uint64_t hidden = 2048, inner = 5632, kv = 256, copies = 6;  // layers: beyond any cache
constexpr int rounds = 7;

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
    team.run([&](const mortise_team& t) {
        table.probe(kind, t.rank, t.size, 0.08, &rate[t.rank], names[t.rank]);
    });
    const double spent = now() - start;
    const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
    std::memcpy(name, names[0], 64);
    return (rate[0] + rate[1]) * passed / spent;
}

// One linear group, packed `copies` times from the same tiles.
struct Group {
    Group(const Provider& provider, const Format& format, uint64_t columns,
          const std::vector<uint64_t>& rows) {
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
        groups.push_back(
            std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{hidden, kv, kv}));
        groups.push_back(std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{hidden}));
        groups.push_back(
            std::make_unique<Group>(provider, format, hidden, std::vector<uint64_t>{inner, inner}));
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

void measure(SpinTeam& team, const Provider& provider, const Format& format,
             const std::vector<uint32_t>& row_counts) {
    Model model(provider, format);
    if (!model.can()) return void(std::printf("%-20s not taken\n", format.name.c_str()));
    for (uint32_t rows : row_counts) {
        const bool few = rows <= 4;
        std::vector<double> rates, shares;
        char name[64];
        for (int round = 0; round <= rounds; round++) {
            const double yardstick =
                probe(team, *provider.table, few ? MORTISE_PROBE_READ : MORTISE_PROBE_MATRIX, name);
            const double seconds = model.pass(team, rows);
            if (round == 0) continue;  // warms up
            rates.push_back((few ? model.bytes : 2 * model.weights * rows) / seconds);
            shares.push_back(rates.back() / yardstick);
        }
        std::printf("%-20s %-18s rows %-4u %8.2f %s  %.3f of %s\n", provider.name.c_str(),
                    format.name.c_str(), rows, median(rates) / 1e9, few ? "GB/s" : "GF/s", median(shares),
                    name);
        std::fflush(stdout);
    }
}

// One matrix, packed often enough that it comes from memory.
struct Matrix {
    Matrix(const Provider& provider, const Part& part, uint64_t times) {
        box.inputs = {part.columns()}, box.outputs = {part.rows()}, box.parts = {&part.facts()};
        box.problem.activations = part.activations();
        box.finish(MORTISE_OP_LINEAR, most_rows, threads);
        for (uint64_t i = 0; i < times; i++) {
            bound.push_back(std::make_unique<Bound>(provider, box.problem, std::vector<const Part*>{&part}));
        }
        x = random_floats(most_rows * part.columns(), 5);
        y.resize(most_rows * part.rows());
    }
    // Effect: seconds of one product, the least of a few.
    double seconds(SpinTeam& team, uint32_t rows, int times) {
        const mortise_address in{reinterpret_cast<uintptr_t>(x.data()), 0},
            out{reinterpret_cast<uintptr_t>(y.data()), 0};
        double least = 1e9;
        for (int i = 0; i < times; i++) {
            const double start = now();
            team.run([&](const mortise_team& t) {
                for (auto& each : bound) {
                    mortise_arguments a = each->arguments(rows);
                    a.inputs = &in, a.outputs = &out;
                    each->run_into(t, a);
                    t.barrier(t.context);
                }
            });
            least = std::min(least, (now() - start) / static_cast<double>(bound.size()));
        }
        return least;
    }
    static constexpr uint32_t some_rows = 64, most_rows = 512;
    ProblemBox box;
    std::vector<std::unique_ptr<Bound>> bound;
    std::vector<float> x, y;
};

const std::vector<Format>& kinds() {
    static const std::vector<Format> all = {
        {"bf16", MORTISE_ENCODING_BF16, 16},
        {"int1_g32_addend", MORTISE_ENCODING_UNSIGNED, 1, 32, 1, 3},
        {"int2_g16_addend", MORTISE_ENCODING_UNSIGNED, 2, 16, 1, 3},
        {"int3_g64_zero", MORTISE_ENCODING_UNSIGNED, 3, 64, 1, 2},
        {"int4_row", MORTISE_ENCODING_OFFSET, 4},
        {"int4_g128", MORTISE_ENCODING_OFFSET, 4, 128},
        {"int4_g128_zero", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 2},
        {"int4_g32_addend", MORTISE_ENCODING_UNSIGNED, 4, 32, 1, 3},
        {"int4_g128_act_order", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 2, true},
        {"int5_g32_addend", MORTISE_ENCODING_UNSIGNED, 5, 32, 1, 3},
        {"int6_g16", MORTISE_ENCODING_OFFSET, 6, 16},
        {"int7_g128_zero", MORTISE_ENCODING_UNSIGNED, 7, 128, 1, 2},
        {"int8_g128_zero", MORTISE_ENCODING_UNSIGNED, 8, 128, 1, 2},
        {"int8_row", MORTISE_ENCODING_TWOS, 8},
        {"e4m3_tensor", MORTISE_ENCODING_E4M3, 8, 0, 1 << 20},
        {"e4m3_row", MORTISE_ENCODING_E4M3, 8},
        {"e4m3_block", MORTISE_ENCODING_E4M3, 8, 128, 128},
        {"e4m3_g32", MORTISE_ENCODING_E4M3, 8, 32},
        {"e5m2_row", MORTISE_ENCODING_E5M2, 8},
        {"e2m1_g16", MORTISE_ENCODING_E2M1, 4, 16},
        {"e2m1_g32", MORTISE_ENCODING_E2M1, 4, 32},
        {"lookup4_g64", MORTISE_ENCODING_LOOKUP, 4, 64},
        {"lookup8_g64", MORTISE_ENCODING_LOOKUP, 8, 64},
        {"int4_g128_cast", MORTISE_ENCODING_TWOS, 4, 128, 1, 0, false, true},
        {"e2m1_g16_low_rank", MORTISE_ENCODING_E2M1, 4, 16, 1, 0, false, false, false, false, false, 32},
    };
    return all;
}

// Effect: a line for each level: how many times as fast as the reference kernel.
void compare(SpinTeam& team, const Format& format, const std::string& wanted_level) {
    const Part part(format, hidden, hidden, 1);
    Matrix slow({"reference", &reference::kernels()}, part, 1);
    const uint32_t rows[] = {1, Matrix::some_rows, Matrix::most_rows};
    double slow_seconds[3];
    for (int i = 0; i < 3; i++) slow_seconds[i] = slow.seconds(team, rows[i], 3 - i);
    const auto rate = [&](int i) { return 2.0 * hidden * hidden * rows[i] / slow_seconds[i] / 1e9; };
    std::printf("%-20s reference  %7.1f M weights/s at 1 row, %6.2f GF/s at %u, %6.2f GF/s at %u\n",
                format.name.c_str(), rate(0) * 500, rate(1), rows[1], rate(2), rows[2]);
    for (int i = 1; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        if ((!wanted_level.empty() && wanted_level != cpu::name(level)) || cpu::why_not(level)) continue;
        Matrix fast({cpu::name(level), &cpu::kernels(level)}, part, 6);
        double ratio[3];
        for (int r = 0; r < 3; r++) ratio[r] = slow_seconds[r] / fast.seconds(team, rows[r], 5 - r);
        std::printf("%-20s %-10s %7.1f x at 1 row, %7.1f x at %u, %7.1f x at %u\n", format.name.c_str(),
                    cpu::name(level), ratio[0], ratio[1], rows[1], ratio[2], rows[2]);
    }
    std::fflush(stdout);
}

// The decoding and preparing that the product does, in place of the tests' slow ones.
void install_products_host() {
    install_host();
    static mortise_host host = sdk::host();
    host.decode_tile = [](const mortise_tile* tile, float* out) { quant::decode_tile(*tile, out); };
    host.prepare_input = [](const mortise_spec* spec, const mortise_extras* extras, uint32_t activations,
                            uint64_t rows, uint64_t columns, const float* x, float* out) {
        quant::prepare_input(*spec, *extras, activations, rows, columns, x, out);
    };
    sdk::host_slot() = &host;
}

}  // namespace
}  // namespace mortise::test

int main(int argc, char** argv) {
    using namespace mortise::test;
    install_products_host();
    SpinTeam team;
    if (argc > 1 && std::string(argv[1]) == "ratio") {
        for (const Format& format : kinds()) {
            if (argc <= 3 || format.name == argv[3]) compare(team, format, argc > 2 ? argv[2] : "");
        }
        return 0;
    }
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
    for (int i = 0; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        if (!wanted_level.empty() && wanted_level != cpu::name(level)) continue;
        if (const char* why = cpu::why_not(level)) {
            std::printf("%s not run: %s\n", cpu::name(level), why);
            continue;
        }
        const bool some = wanted_format == "all";
        for (const Format& format : some ? formats : kinds()) {
            if (!some && wanted_format != format.name) continue;
            measure(team, {cpu::name(level), &cpu::kernels(level)}, format, rows);
        }
    }
}
