// Inputs of linears and the KV cache quantized as the checkpoint says, against the producers' own quantizers.
//
// Tolerances: logits move by 1e-6 with the order of sums; where that carries one value over a rounding border
// its code changes by a whole step, and what follows sees it. core/quant/README.md has the figures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/engine.h"
#include "plan/plan.h"

namespace mortise::engine {
namespace {

constexpr double no_code_differs = 1e-5, a_code_differs = 2e-2;

template <class T>
std::vector<T> read_tensor(const checkpoint::Checkpoint& file, const std::string& name) {
    const checkpoint::TensorReader reader(file.catalog);
    const auto bytes = reader.read_all(*file.catalog.find(name)).value();
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

struct Mode {
    const char *checkpoint, *oracle;
    uint32_t activations;
    const char* cache;
    bool reference;
    double tolerance;
};

// Largest difference of the logits over the largest logit.
Result<double> distance(const Mode& mode) {
    const std::string folder = std::string(MORTISE_SOURCE_DIR "/tests/golden/checkpoints/") + mode.checkpoint;
    MORTISE_TRY(const auto expected, checkpoint::open_native(folder + "/expected.safetensors"));
    const auto want = read_tensor<float>(expected, mode.oracle);
    std::vector<int32_t> ids;
    for (int64_t id : read_tensor<int64_t>(expected, "input_ids")) ids.push_back(static_cast<int32_t>(id));
    registry::Options where;
    where.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
    MORTISE_TRY(auto registry, registry::Registry::discover(where));
    Team team(2);
    plan::Options options;
    options.path = folder + "/checkpoint";
    options.reference_kernels = mode.reference;
    options.activations = mode.activations;
    options.cache_dtype = mode.cache;
    options.threads = 2;
    MORTISE_TRY(auto planned, plan::make(options, registry));
    MORTISE_TRY(auto model, load::load(planned, team));
    MORTISE_TRY(auto engine, Engine::make(model, team));
    MORTISE_TRY(const uint32_t sequence, engine->open_sequence());
    const Slice slice{sequence, ids, true};
    MORTISE_TRY(const auto got, engine->forward(std::span(&slice, 1)));
    double worst = 0, top = 0;
    for (size_t i = 0; i < want.size(); ++i) {
        worst = std::max(worst, std::fabs(double{got[i]} - want[i]));
        top = std::max(top, std::fabs(double{want[i]}));
    }
    return worst / top;
}

class Quantized : public ::testing::TestWithParam<Mode> {};

TEST_P(Quantized, LogitsAreTheProducers) {
    const auto measured = distance(GetParam());
    ASSERT_TRUE(measured) << to_string(measured.error());
    RecordProperty("distance", std::to_string(*measured));
    EXPECT_LE(*measured, GetParam().tolerance);
}

constexpr uint32_t exact = MORTISE_ACTIVATIONS_EXACT, as_specified = MORTISE_ACTIVATIONS_AS_SPECIFIED;
INSTANTIATE_TEST_SUITE_P(
    Rules, Quantized,
    ::testing::Values(
        Mode{"ct-fp8-dynamic", "logits_act", as_specified, "f32", true, no_code_differs},
        Mode{"ct-kv-fp8", "logits_kv", exact, "checkpoint", true, no_code_differs},
        Mode{"ct-kv-fp8", "logits_act", as_specified, "checkpoint", true, a_code_differs},
        // The fast kernels sum in another order and take bf16 inputs: codes differ here and there.
        Mode{"ct-kv-fp8", "logits_kv", exact, "checkpoint", false, 5e-2}),
    [](const auto& tested) {
        std::string name = std::string(tested.param.checkpoint) + "_" + tested.param.oracle +
                           (tested.param.reference ? "_reference" : "_fast");
        std::ranges::replace(name, '-', '_');
        return name;
    });

TEST(QuantizedCache, ChangesTheLogitsItIsThereToChange) {
    const auto with = distance({"ct-kv-fp8", "logits_kv", exact, "checkpoint", true, 0});
    const auto without = distance({"ct-kv-fp8", "logits_kv", exact, "f32", true, 0});
    ASSERT_TRUE(with && without);
    EXPECT_GT(*without, 100 * *with) << "else nothing says that the cache was quantized";
}

}  // namespace
}  // namespace mortise::engine
