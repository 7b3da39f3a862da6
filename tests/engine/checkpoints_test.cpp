// Whole checkpoints of the producers through plugins, plan, loader and engine, against the producers' logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/json.h"
#include "engine/engine.h"
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
    const auto expected = json::Document::parse(read_file(folder + "/expected.json").value(), "expected.json").value();
    if (const json::Node* greedy = expected.root().find("greedy"))
        for (const auto& id : greedy->items()) oracle.greedy.push_back(static_cast<int32_t>(id->as_int().value()));
    return oracle;
}

class Checkpoints : public ::testing::TestWithParam<const char*> {
  protected:
    static std::string folder() { return std::string(MORTISE_SOURCE_DIR "/tests/golden/checkpoints/") + GetParam(); }

    static Result<std::unique_ptr<Engine>> open(Team& team, uint64_t max_rows) {
        registry::Options where;
        where.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        MORTISE_TRY(auto registry, registry::Registry::discover(where));
        plan::Options options;
        options.path = folder() + "/checkpoint";
        options.reference_kernels = true;
        options.activations = MORTISE_ACTIVATIONS_EXACT;
        options.max_rows = max_rows;
        options.threads = static_cast<uint32_t>(team.size());
        MORTISE_TRY(auto planned, plan::make(options, registry));
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

INSTANTIATE_TEST_SUITE_P(Float, Checkpoints,
                         ::testing::Values("llama", "llama_bias", "llama_tied", "llama_rope_linear", "llama_rope_llama3",
                                           "llama_rope_yarn", "qwen2", "qwen2_sliding"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace mortise::engine
