// One model, however its tensors are laid out: digests and logits are the same for matrices that are fused on
// disk, experts in stacks, and experts whose kinds differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/sha256.h"
#include "engine/engine.h"
#include "load/digest.h"
#include "plan/plan.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::engine {
namespace {

using test::fuse;
using test::TensorBytes;
using test::Tensors;

std::string golden(const std::string& name) {
    return MORTISE_SOURCE_DIR "/tests/golden/checkpoints/" + name + "/checkpoint";
}

std::shared_ptr<const plan::Planned> plan_of(const std::string& folder) {
    registry::Options where;
    where.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
    auto registry = registry::Registry::discover(where).value();
    plan::Options options;
    options.path = folder;
    options.reference_kernels = true;
    options.threads = 2;
    auto planned = plan::make(options, registry);
    EXPECT_TRUE(planned) << to_string(planned.error());
    return planned ? *planned : nullptr;
}

load::Digests digests_of(const std::string& folder) {
    Team team(2);
    const auto planned = plan_of(folder);
    auto digests = planned ? load::digest(*planned, team) : Result<load::Digests>();
    EXPECT_TRUE(digests) << to_string(digests.error());
    return digests ? *digests : load::Digests{};
}

std::vector<float> logits_of(const std::string& folder) {
    Team team(2);
    auto model = load::load(plan_of(folder), team);
    EXPECT_TRUE(model) << to_string(model.error());
    auto engine = Engine::make(*model, team).value();
    const std::vector<int32_t> ids = {5, 17, 99, 3, 64, 21, 8, 120, 77};
    const Slice slice{engine->open_sequence().value(), ids, true};
    const auto rows = engine->forward(std::span(&slice, 1)).value();
    return {rows.begin(), rows.end()};
}

class Spellings : public ::testing::Test {
  protected:
    std::string changed(const std::string& name, const std::function<void(Tensors&)>& change) {
        Tensors tensors = test::read_tensors(golden(name));
        change(tensors);
        test::write_tensors(golden(name), root_.at(name), tensors);
        return root_.at(name);
    }
    test::TempFolder root_;
};

TEST_F(Spellings, QuantizedPartsHashAlikeFusedAndApart) {
    const std::string fused = changed("ct-fp8-dynamic", [](Tensors& tensors) {
        for (const std::string layer : {"model.layers.0.", "model.layers.1."})
            for (const char* role : {".weight", ".weight_scale"}) {
                const auto named = [&](const char* module) { return layer + module + role; };
                fuse(tensors,
                     {named("self_attn.q_proj"), named("self_attn.k_proj"), named("self_attn.v_proj")},
                     named("self_attn.qkv_proj"));
                fuse(tensors, {named("mlp.gate_proj"), named("mlp.up_proj")}, named("mlp.gate_up_proj"));
            }
    });
    const auto apart = digests_of(golden("ct-fp8-dynamic")), together = digests_of(fused);
    EXPECT_GT(apart.parts.size(), together.modules.size());
    EXPECT_EQ(apart.model, together.model);
    EXPECT_EQ(logits_of(golden("ct-fp8-dynamic")), logits_of(fused));
}

TEST_F(Spellings, ExpertsHashAlikeOneByOneAndStacked) {
    const auto apart = digests_of(golden("qwen3_moe")), stacked = digests_of(golden("qwen3_moe_v5names"));
    ASSERT_EQ(apart.parts.size(), stacked.parts.size());
    EXPECT_EQ(apart.model, stacked.model);
    EXPECT_GT(apart.modules.size(), stacked.modules.size())
        << "a stack under a name of its own is one module";
    EXPECT_EQ(logits_of(golden("qwen3_moe")), logits_of(golden("qwen3_moe_v5names")));
}

TEST_F(Spellings, ExpertsOfSeveralKindsComputeTheSame) {
    const std::string mixed = changed("qwen3_moe", [](Tensors& tensors) {
        for (const char* e : {"0", "5", "6"})
            test::widen(tensors["model.layers.0.mlp.experts." + std::string(e) + ".down_proj.weight"]);
    });
    const auto same = logits_of(golden("qwen3_moe")), got = logits_of(mixed);
    ASSERT_EQ(same.size(), got.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], same[i], 1e-5) << i;
    const auto one = digests_of(golden("qwen3_moe")), two = digests_of(mixed);
    ASSERT_EQ(one.parts.size(), two.parts.size());
    for (size_t p = 0; p < one.parts.size(); ++p) {
        EXPECT_EQ(one.parts[p].name, two.parts[p].name);
        EXPECT_EQ(one.parts[p].values, two.parts[p].values) << one.parts[p].name;
    }
}

TEST_F(Spellings, AStackIsHashedInItsOwnOrderOfAxes) {
    const auto digests = digests_of(golden("gpt_oss"));
    const auto stack = std::ranges::find(digests.modules, "model.layers.0.mlp.experts.gate_up_proj",
                                         &load::ModuleDigest::name);
    ASSERT_NE(stack, digests.modules.end());
    EXPECT_EQ(stack->shape, (Shape{4, 64, 96})) << "[experts][columns][rows], as it is stored";
    TensorBytes wide = test::read_tensors(golden("gpt_oss")).at(stack->name);
    test::widen(wide);
    EXPECT_EQ(stack->values, sha256_hex(wide.bytes));
}

}  // namespace
}  // namespace mortise::engine
