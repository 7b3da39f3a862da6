#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "engine/text/sampling.h"
#include "registry/plugin_call.h"

namespace mortise::engine {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t read_probe = 1, matrix_probe = 2;  // kinds of mortise_kernels_v1.probe
constexpr double probe_seconds = 0.15;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Rate of all threads together; 0 when no provider of the model measures it.
double probe(const plan::LoadPlan& plan, Team& team, uint32_t kind, std::string* name) {
    const mortise_kernels_v1* best = nullptr;
    for (const plan::KernelPlan& kernel : plan.kernels)
        if (MORTISE_HAS(kernel.provider, mortise_kernels_v1, probe) && kernel.provider->probe)
            best = kernel.provider;
    if (!best) return 0;
    std::vector<double> rates(static_cast<size_t>(team.size()), 0);
    char text[64] = {};
    team.run([&](int rank, int size) {
        const registry::PluginCall::Guard guard;
        char own[64] = {};
        double rate = 0;
        if (best->probe(kind, static_cast<uint32_t>(rank), static_cast<uint32_t>(size), probe_seconds, &rate,
                        own) == MORTISE_OK)
            rates[static_cast<size_t>(rank)] = rate;
        if (rank == 0) std::copy(std::begin(own), std::end(own), std::begin(text));
    });
    text[63] = 0;
    if (name) *name = text;
    double sum = 0;
    for (double rate : rates) sum += rate;
    return sum;
}

// Prompts are all different, so that nothing can be remembered.
std::vector<int32_t> random_ids(uint64_t count, uint64_t vocabulary, uint64_t seed) {
    std::vector<int32_t> ids;
    for (uint64_t i = 0; i < count; ++i)
        ids.push_back(static_cast<int32_t>(text::random_unit(seed, i) * static_cast<double>(vocabulary - 1)));
    return ids;
}

Result<double> time_prefill(Engine& engine, uint64_t tokens, uint64_t seed) {
    MORTISE_TRY(const uint32_t sequence, engine.open_sequence());
    const auto ids = random_ids(tokens, engine.vocabulary(), seed);
    const Slice slice{sequence, ids, false};
    const auto start = Clock::now();
    const auto logits = engine.forward({&slice, 1});
    const double taken = seconds_since(start);
    engine.close_sequence(sequence);
    if (!logits) return std::unexpected(logits.error());
    return static_cast<double>(tokens) / taken;
}

Result<double> time_decode(Engine& engine, const BenchOptions& options, uint64_t seed) {
    MORTISE_TRY(const uint32_t sequence, engine.open_sequence());
    auto ids = random_ids(options.decode_prompt, engine.vocabulary(), seed);
    Clock::time_point start;
    for (uint64_t step = 0; step < options.generate; ++step) {
        const Slice slice{sequence, ids, false};
        auto logits = engine.forward({&slice, 1});
        if (!logits) {
            engine.close_sequence(sequence);
            return std::unexpected(logits.error());
        }
        ids = {static_cast<int32_t>(std::max_element(logits->begin(), logits->end()) - logits->begin())};
        if (step == 0) start = Clock::now();
    }
    const double taken = seconds_since(start);
    engine.close_sequence(sequence);
    return static_cast<double>(options.generate - 1) / taken;
}

// Stored bytes that one token must read, and the weights of the layers' matrices.
void count_bytes(const plan::LoadPlan& plan, const checkpoint::Catalog& catalog, BenchResult& result) {
    std::set<uint32_t> tensors;
    for (const plan::Step& step : plan.steps) {
        const model::Op& op = plan.tree.ops[step.op];
        if (op.kind != MORTISE_OP_LINEAR && op.kind != MORTISE_OP_MOE) continue;
        const auto* linear = std::get_if<model::Linear>(&plan.tree.weights[op.weights[0]]);
        for (const uint32_t part : plan.kernels[step.kernel].parts) {
            if (!linear || !linear->head)
                result.matrix_parameters +=
                    plan.parts[part].experts * plan.parts[part].n_rows * plan.parts[part].n_columns;
            for (const uint32_t source : plan.parts[part].sources)
                for (const uint32_t tensor : plan.sources[source].tensors)
                    if (tensor != plan::none && tensors.insert(tensor).second)
                        result.bytes_per_token += catalog.tensors()[tensor].bytes;
        }
    }
}

}  // namespace

Spread spread(std::vector<double> values) {
    if (values.empty()) return {};
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    const double median = values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return {median, values.front(), values.back()};
}

Result<BenchResult> bench(Engine& engine, const load::Model& model, const checkpoint::Catalog& catalog,
                          Team& team, const BenchOptions& options) {
    if (std::max(options.prompt, options.decode_prompt + options.generate) > engine.max_length() ||
        options.generate < 2 || options.prompt < 1)
        return fail(Problem{
            .code = Code::usage,
            .what = "prompt and generation do not fit the context",
            .expected = "1 to " + std::to_string(engine.max_length()) + " tokens, at least 2 generated",
            .fix = "raise --max-model-len or ask for fewer tokens"});
    BenchResult result;
    count_bytes(model.plan(), catalog, result);
    std::vector<double> prefill, decode, read, matrix, decode_share, prefill_share;
    if (const auto warm = time_prefill(engine, options.prompt, options.seed); !warm)
        return std::unexpected(warm.error());
    for (uint32_t round = 0; round < options.rounds; ++round) {
        const uint64_t seed = options.seed + 1 + 2 * round;
        const double read0 = probe(model.plan(), team, read_probe, nullptr),
                     matrix0 = probe(model.plan(), team, matrix_probe, &result.matrix_name);
        MORTISE_TRY(const double p, time_prefill(engine, options.prompt, seed));
        MORTISE_TRY(const double d, time_decode(engine, options, seed + 1));
        const double read1 = probe(model.plan(), team, read_probe, nullptr),
                     matrix1 = probe(model.plan(), team, matrix_probe, nullptr);
        const double read_rate = (read0 + read1) / 2, matrix_rate = (matrix0 + matrix1) / 2;
        prefill.push_back(p);
        decode.push_back(d);
        read.push_back(read_rate / 1e9);
        matrix.push_back(matrix_rate / 1e12);
        if (read_rate > 0)
            decode_share.push_back(d * static_cast<double>(result.bytes_per_token) / read_rate);
        if (matrix_rate > 0)
            prefill_share.push_back(2 * static_cast<double>(result.matrix_parameters) * p / matrix_rate);
    }
    result.prefill_tps = spread(prefill);
    result.decode_tps = spread(decode);
    result.read_gbps = spread(read);
    result.matrix_tflops = spread(matrix);
    result.decode_share = spread(decode_share);
    result.prefill_share = spread(prefill_share);
    return result;
}

}  // namespace mortise::engine
