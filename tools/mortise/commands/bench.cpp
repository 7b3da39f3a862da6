// bench: load, prefill and decode, each beside what the machine could do in the same minute.
#include "engine/bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "base/json.h"
#include "base/text.h"
#include "mortise/command.h"
#include "mortise/loading.h"
#include "mortise/output.h"

namespace mortise::tool {

namespace {

uint64_t peak_memory() {
    struct rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

uint64_t disk_bytes(const checkpoint::Catalog& catalog) {
    uint64_t bytes = 0;
    for (const auto& file : catalog.files()) bytes += file.file.size();
    return bytes;
}

class Bench : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_option("--prompt", options_.prompt, "tokens of the prefill")->capture_default_str();
        app.add_option("--gen", options_.generate, "tokens to generate")->capture_default_str();
        app.add_option("--rounds", options_.rounds, "rounds; medians are printed")
            ->capture_default_str()
            ->check(CLI::Range(1, 100));
    }

    Result<int> run(Session& session) override {
        const auto start_time = std::chrono::steady_clock::now();
        MORTISE_TRY(Running running, start(session));
        MORTISE_CHECK(first_token(*running.engine));
        const double load_s =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start_time).count();
        const auto& catalog = running.planned->checkpoint().catalog;
        MORTISE_TRY(const auto result,
                    engine::bench(*running.engine, *running.model, catalog, session.team(), options_));
        if (!session.json()) print_text(session, load_s, result);
        print_json(session, load_s, result, disk_bytes(catalog));
        return 0;
    }

  private:
    static Status first_token(engine::Engine& engine) {
        MORTISE_TRY(const uint32_t sequence, engine.open_sequence());
        const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8};
        const engine::Slice slice{sequence, ids, false};
        if (const auto logits = engine.forward({&slice, 1}); !logits) return std::unexpected(logits.error());
        engine.close_sequence(sequence);
        return {};
    }

    void print_text(const Session& session, double load_s, const engine::BenchResult& r) const {
        const auto range = [](const engine::Spread& s, const char* unit) {
            return fmt::format("{:.4g} {} ({:.4g} to {:.4g})", s.median, unit, s.low, s.high);
        };
        const auto share = [](const engine::Spread& s) {
            return s.median > 0 ? fmt::format("{:.2f} of the probe", s.median) : std::string("no probe here");
        };
        Table table("lll");
        table.add({fmt::format("{} rounds", options_.rounds), "median (lowest to highest)", "share"});
        table.add({"read probe", range(r.read_gbps, "GB/s"), ""});
        table.add({"matrix probe", range(r.matrix_tflops, "TFLOP/s"), r.matrix_name});
        table.add({fmt::format("prefill {}", options_.prompt), range(r.prefill_tps, "tok/s"),
                   share(r.prefill_share)});
        table.add({fmt::format("decode {}", options_.generate), range(r.decode_tps, "tok/s"),
                   share(r.decode_share)});
        table.add({"load to first token", fmt::format("{:.3f} s", load_s), ""});
        table.add({"peak memory", human_bytes(peak_memory()), ""});
        print(table.text());
        line(fmt::format("activations {}, {} threads", session.deployment().activations,
                         session.deployment().threads));
    }

    static void print_json(const Session& session, double load_s, const engine::BenchResult& r,
                           uint64_t disk) {
        json::Writer w;
        w.begin_object()
            .entry("schema", "mortise.bench/v1")
            .entry("load_s", load_s)
            .entry("prefill_tps", r.prefill_tps.median);
        w.entry("decode_tps", r.decode_tps.median)
            .entry("bytes_per_token", r.bytes_per_token)
            .entry("disk_bytes", disk);
        w.entry("read_gbps", r.read_gbps.median)
            .entry("matrix_tflops", r.matrix_tflops.median)
            .entry("matrix_probe", r.matrix_name);
        w.entry("decode_share", r.decode_share.median).entry("prefill_share", r.prefill_share.median);
        w.entry("peak_bytes", peak_memory())
            .entry("threads", uint64_t{session.deployment().threads})
            .entry("activations", session.deployment().activations)
            .end_object();
        line(w.take());
    }

    engine::BenchOptions options_;
};

const Registration registration(
    {.name = "bench",
     .summary = "load, prefill and decode, beside probes of the same process",
     .examples = "  mortise bench models/my-checkpoint\n"
                 "  mortise bench models/my-checkpoint --prompt 512 --gen 64 --threads 2\n"
                 "  mortise bench models/my-checkpoint --rounds 9 --activations fast --json\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Bench>);

}  // namespace

}  // namespace mortise::tool
