// Whole checkpoints of the producers through plugins, plan, loader and engine, against the producers' logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/json.h"
#include "engine/engine.h"
#include "load/digest.h"
#include "plan/plan.h"

namespace mortise::engine {
namespace {

struct Oracle {
    std::vector<int32_t> ids;
    std::vector<float> logits;  // [ids][vocabulary]
    std::vector<int32_t> greedy;
};

template <class T>
std::vector<T> read_tensor(const checkpoint::Checkpoint& file, const std::string& name) {
    const checkpoint::TensorReader reader(file.catalog);
    const auto bytes = reader.read_all(*file.catalog.find(name)).value();
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

Oracle oracle_of(const std::string& folder) {
    Oracle oracle;
    const auto file = checkpoint::open_native(folder + "/expected.safetensors").value();
    for (int64_t id : read_tensor<int64_t>(file, "input_ids")) oracle.ids.push_back(static_cast<int32_t>(id));
    oracle.logits = read_tensor<float>(file, "logits");
    const auto expected =
        json::Document::parse(read_file(folder + "/expected.json").value(), "expected.json").value();
    if (const json::Node* greedy = expected.root().find("greedy"))
        for (const auto& id : greedy->items())
            oracle.greedy.push_back(static_cast<int32_t>(id->as_int().value()));
    return oracle;
}

class Checkpoints : public ::testing::TestWithParam<const char*> {
  protected:
    static std::string folder() {
        std::string name = GetParam();  // names of tests have no hyphens, some folders have
        if (name.starts_with("ct_")) std::ranges::replace(name, '_', '-');
        return MORTISE_SOURCE_DIR "/tests/golden/checkpoints/" + name;
    }

    static Result<std::shared_ptr<const plan::Planned>> plan_of(Team& team, uint64_t max_rows) {
        registry::Options where;
        where.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        MORTISE_TRY(auto registry, registry::Registry::discover(where));
        plan::Options options;
        options.path = folder() + "/checkpoint";
        options.reference_kernels = true;
        options.activations = MORTISE_ACTIVATIONS_EXACT;
        options.max_rows = max_rows;
        options.threads = static_cast<uint32_t>(team.size());
        return plan::make(options, registry);
    }

    static Result<std::unique_ptr<Engine>> open(Team& team, uint64_t max_rows) {
        MORTISE_TRY(auto planned, plan_of(team, max_rows));
        MORTISE_TRY(auto model, load::load(planned, team));
        return Engine::make(model, team);
    }

    static std::vector<float> logits(Engine& engine, const std::vector<int32_t>& ids) {
        const uint32_t id = engine.open_sequence().value();
        const Slice slice{id, ids, true};
        const auto rows = engine.forward(std::span(&slice, 1)).value();
        engine.close_sequence(id);
        return {rows.begin(), rows.end()};
    }
};

double distance(const std::vector<float>& got, const std::vector<float>& want) {
    double worst = 0, top = 0;
    for (size_t i = 0; i < want.size(); ++i) {
        worst = std::max(worst, std::abs(double{got[i]} - want[i]));
        top = std::max(top, std::abs(double{want[i]}));
    }
    return worst / top;
}

TEST_P(Checkpoints, LogitsAreTheProducersAtAnyChunkAndThreadCount) {
    const Oracle oracle = oracle_of(folder());
    std::vector<float> first;
    for (const auto& [threads, max_rows] : {std::pair{1, 512}, {2, 512}, {2, 5}, {3, 1}}) {
        Team team(threads);
        auto engine = open(team, static_cast<uint64_t>(max_rows));
        ASSERT_TRUE(engine) << to_string(engine.error());
        const auto got = logits(**engine, oracle.ids);
        ASSERT_EQ(got.size(), oracle.logits.size());
        EXPECT_LT(distance(got, oracle.logits), 1e-4);
        if (first.empty()) first = got;
        EXPECT_EQ(got, first) << threads << " threads, " << max_rows << " rows";
    }
}

TEST_P(Checkpoints, GreedyContinuationIsTheProducers) {
    const Oracle oracle = oracle_of(folder());
    if (oracle.greedy.empty()) GTEST_SKIP() << "this fixture has no continuation";
    Team team(2);
    auto engine = open(team, 512);
    ASSERT_TRUE(engine) << to_string(engine.error());
    const uint32_t id = (*engine)->open_sequence().value();
    std::vector<int32_t> next = oracle.ids, got;
    while (got.size() < oracle.greedy.size()) {
        const Slice slice{id, next};
        const auto row = (*engine)->forward(std::span(&slice, 1)).value();
        got.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
        next = {got.back()};
    }
    EXPECT_EQ(got, oracle.greedy);
}

TEST_P(Checkpoints, DecodedWeightsAreTheProducers) {
    const auto expected =
        json::Document::parse(read_file(folder() + "/expected.json").value(), "expected.json").value();
    const json::Node* quantized = expected.root().find("quantized");
    Team team(2);
    auto planned = plan_of(team, 1);
    ASSERT_TRUE(planned) << to_string(planned.error());
    const auto digests = load::digest(**planned, team);
    ASSERT_TRUE(digests) << to_string(digests.error());
    EXPECT_GT(digests->modules.size(), 8u);
    for (size_t i = 0; i < quantized->size(); ++i) {
        const std::string& module = quantized->keys()[i];
        const auto found = std::ranges::find(digests->modules, module, &load::ModuleDigest::name);
        ASSERT_NE(found, digests->modules.end()) << module;
        EXPECT_FALSE(found->plain) << module;
        EXPECT_EQ(found->values, quantized->items()[i]->find("sha256_f32")->text()) << module;
    }
    EXPECT_EQ(static_cast<size_t>(std::ranges::count(digests->modules, false, &load::ModuleDigest::plain)),
              quantized->size());
}

INSTANTIATE_TEST_SUITE_P(Golden, Checkpoints,
                         ::testing::Values("llama", "llama_bias", "llama_tied", "llama_rope_linear",
                                           "llama_rope_llama3", "llama_rope_yarn", "qwen2", "qwen2_sliding",
                                           "qwen3", "qwen3_moe", "qwen3_moe_v5names", "mixtral",
                                           "phi3_longrope_long", "gpt_oss", "mxfp4_gpt_oss", "awq_gemm_g128",
                                           "awq_tied_redundant_lm_head", "ct_fp8_dynamic", "ct_kv_fp8",
                                           "ct_nvfp4", "gguf_q4_0", "gguf_q4_1", "gguf_q8_0", "gguf_qwen3moe",
                                           "gptq4_g128_actorder_sym", "gptq4_g128_ragged",
                                           "ar_autoround_w2g32_asym", "awq_gemv_fast_g128", "mlx_mixed_3_6",
                                           "mlx_affine4_g32_tied"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace mortise::engine
