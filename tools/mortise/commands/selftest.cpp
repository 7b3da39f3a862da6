// selftest: do the installed schemes decode the test vectors bit for bit, and refuse what must be refused?
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "load/part_stream.h"
#include "mortise/command.h"
#include "mortise/output.h"
#include "mortise/session.h"
#include "mortise/vectors.h"
#include "plan/single.h"
#include "quant/decode.h"

namespace mortise::tool {

namespace {

struct Outcome {
    bool covered = true, passed = false;
    std::string detail;
};

// A scratch folder that goes with the object.
class Scratch {
  public:
    Scratch()
        : path_((std::filesystem::temp_directory_path() / fmt::format("mortise-selftest-{}", ::getpid()))
                    .string()) {
        std::filesystem::create_directories(path_);
    }
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    std::string file() const { return path_ + "/vector.bin"; }

  private:
    std::string path_;
};

// No scheme for it, or one that says itself that this flavour is not its own yet.
bool not_covered(const Error& error, bool must_fail) {
    return error.code() == Code::unsupported_scheme ||
           (!must_fail && error.code() == Code::unsupported_variant);
}

// Decodes the planned module and compares every bit.
Result<Outcome> compare(const VectorCase& vector, const plan::Planned& planned) {
    const uint64_t columns = vector.query.columns,
                   weights = vector.query.experts * vector.query.rows * columns;
    std::vector<float> out(weights);
    MORTISE_CHECK(
        load::for_each_source_tile(load::Origin(planned), 0, {}, [&](const mortise_tile& tile) -> Status {
            quant::decode_tile(tile, out.data() + (tile.expert * vector.query.rows + tile.row) * columns);
            return {};
        }));
    if (vector.expected.size() != weights * sizeof(float))
        return Outcome{
            true, false,
            fmt::format("{} weights, expected {}", weights, vector.expected.size() / sizeof(float))};
    for (uint64_t i = 0; i < weights; ++i) {
        float want;
        std::memcpy(&want, vector.expected.data() + i * sizeof want, sizeof want);
        if (std::memcmp(&want, &out[i], sizeof want) != 0)
            return Outcome{true, false,
                           fmt::format("weight [{},{}] is {:.9g}, expected {:.9g}", i / columns, i % columns,
                                       out[i], want)};
    }
    return Outcome{true, true, planned.plan().sources[0].spec.describe()};
}

Outcome run_case(const VectorCase& vector, registry::Registry& registry, const std::string& scratch) {
    const bool must_fail = vector.expected.empty();
    const auto failed = [&](const Error& error) {
        if (not_covered(error, must_fail)) return Outcome{false, false, error.first().what};
        return Outcome{true, must_fail,
                       must_fail
                           ? fmt::format("refused: {} (stated: {})", to_string(error.first()), vector.stated)
                           : to_string(error)};
    };
    auto checkpoint = make_checkpoint(vector, scratch);
    if (!checkpoint) return failed(checkpoint.error());
    auto planned = plan::make_single(std::move(*checkpoint), vector.query, registry);
    if (!planned) return failed(planned.error());
    auto outcome = compare(vector, **planned);
    if (!outcome) return failed(outcome.error());
    if (must_fail) return {true, false, "accepted, but must be refused: " + vector.stated};
    return *outcome;
}

class Selftest : public Command {
  public:
    void declare(CLI::App& app) override {
        app.add_option("--vectors", file_, "JSON file of test vectors")->required();
        app.add_option("--only", only_, "vectors whose id contains this");
    }

    Result<int> run(Session& session) override {
        MORTISE_TRY(const std::string bytes, read_file(file_));
        MORTISE_TRY(const json::Document document, json::Document::parse(bytes, file_));
        MORTISE_TRY(const auto vectors, read_vectors(document));
        MORTISE_TRY(registry::Registry * plugins, session.registry());
        const Scratch scratch;
        uint64_t passed = 0, failed = 0, uncovered = 0;
        for (const VectorCase& vector : vectors) {
            if (vector.id.find(only_) == std::string::npos) continue;
            const Outcome outcome = run_case(vector, *plugins, scratch.file());
            line(fmt::format("{:12} {}: {}",
                             !outcome.covered ? "not covered"
                             : outcome.passed ? "passed"
                                              : "FAILED",
                             vector.id, outcome.detail));
            ++(!outcome.covered ? uncovered : outcome.passed ? passed : failed);
        }
        if (uncovered) line(fmt::format("{} not covered: no installed scheme reads them", uncovered));
        line(fmt::format("{} passed, {} failed", passed, failed));
        return failed ? 1 : 0;
    }

  private:
    std::string file_, only_;
};

const Registration registration(
    {.name = "selftest",
     .summary = "hold the installed schemes against test vectors, bit for bit",
     .examples = "  mortise selftest --vectors format_vectors.json\n"
                 "  mortise selftest --vectors format_vectors.json --only fp8\n"
                 "  mortise selftest --vectors format_vectors.json --plugin-dir my-plugins\n",
     .uses = Uses::nothing},
    make_command<Selftest>);

}  // namespace

}  // namespace mortise::tool
