// How the parts of linears and the banks of experts are found on disk.
#include <gtest/gtest.h>

#include <map>

#include "golden_plan.h"
#include "plan/report.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::plan {
namespace {

const std::string gate = "model.layers.0.mlp.experts.{e}.gate_proj";

std::vector<const PartPlan*> parts_called(const LoadPlan& plan, const std::string& name) {
    std::vector<const PartPlan*> out;
    for (const PartPlan& part : plan.parts)
        if (part.name == name) out.push_back(&part);
    return out;
}

// A golden mixture with some tensors changed.
class Banks : public ::testing::Test {
  protected:
    Result<std::shared_ptr<const Planned>> planned(const std::function<void(test::Tensors&)>& change,
                                                   const Options& options = {}) {
        auto tensors = test::read_tensors(golden("qwen3_moe"));
        change(tensors);
        const std::string folder = root_.at("changed" + std::to_string(++count_));
        test::write_tensors(golden("qwen3_moe"), folder, tensors);
        return plan_of(folder, options);
    }
    test::TempFolder root_;
    int count_ = 0;
};

// Three experts of layer 0 keep their gate in F32.
void three_differ(test::Tensors& tensors) {
    for (const char* e : {"1", "4", "6"})
        test::widen(tensors["model.layers.0.mlp.experts." + std::string(e) + ".gate_proj.weight"]);
}

TEST_F(Banks, AreFilledExpertByExpertOrFromAStack) {
    const auto apart = plan_of(golden("qwen3_moe")), stacked = plan_of(golden("qwen3_moe_v5names"));
    ASSERT_TRUE(apart && stacked);
    const auto bank = parts_called((*apart)->plan(), gate), stack = parts_called((*stacked)->plan(), gate);
    ASSERT_EQ(bank.size(), 1u);
    ASSERT_EQ(stack.size(), 1u);
    EXPECT_EQ(bank[0]->experts, 8u);
    EXPECT_EQ(bank[0]->sources.size(), 8u);
    EXPECT_EQ(stack[0]->experts, 8u);
    EXPECT_EQ(stack[0]->sources.size(), 1u);
    EXPECT_EQ((*stacked)->plan().sources[stack[0]->sources[0]].name,
              "model.layers.0.mlp.experts.gate_up_proj");
}

TEST_F(Banks, SplitWhereExpertsDifferInMoreThanData) {
    const auto changed = planned(three_differ);
    ASSERT_TRUE(changed) << to_string(changed.error());
    const LoadPlan& plan = (*changed)->plan();
    const auto banks = parts_called(plan, gate);
    ASSERT_EQ(banks.size(), 2u);
    EXPECT_EQ(banks[0]->members, (std::vector<uint32_t>{0, 2, 3, 5, 7}));
    EXPECT_EQ(banks[1]->members, (std::vector<uint32_t>{1, 4, 6}));
    EXPECT_EQ(parts_called(plan, "model.layers.0.mlp.experts.{e}.down_proj").size(), 2u)
        << "a bank is gate, up and down of the same experts";
    EXPECT_EQ(parts_called(plan, "model.layers.2.mlp.experts.{e}.gate_proj").size(), 1u);
    ASSERT_FALSE(plan.notes.empty());
    EXPECT_NE(plan.notes[0].find("2 banks"), std::string::npos) << plan.notes[0];
    std::vector<uint32_t> adds;
    for (const KernelPlan& kernel : plan.kernels)
        if (kernel.problem->abi().kind == MORTISE_OP_MOE) adds.push_back(kernel.problem->abi().accumulate);
    EXPECT_EQ(adds, (std::vector<uint32_t>{0, 1, 0})) << "the second bank of layer 0 adds to the first";
}

TEST_F(Banks, ThatWereSplitAreWholeOverRanks) {
    Options options;
    options.bind_kernels = false;
    const auto whole = planned(three_differ, options);
    ASSERT_TRUE(whole);
    options.size = 2;
    const auto first = planned(three_differ, options);
    options.rank = 1;
    const auto second = planned(three_differ, options);
    ASSERT_TRUE(first && second);
    EXPECT_TRUE(prove_union({&(*first)->plan(), &(*second)->plan()}, (*whole)->plan()));
    EXPECT_FALSE(prove_union({&(*first)->plan(), &(*first)->plan()}, (*whole)->plan()));
}

TEST_F(Banks, NameTheExpertThatIsMissing) {
    const auto changed =
        planned([](test::Tensors& tensors) { tensors.erase("model.layers.2.mlp.experts.5.up_proj.weight"); });
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code(), Code::tensor_missing);
    EXPECT_NE(to_string(changed.error()).find("model.layers.2.mlp.experts.5.up_proj.weight"),
              std::string::npos)
        << to_string(changed.error());
}

TEST_F(Banks, RefuseAnExpertThatTheConfigDoesNotCount) {
    const auto changed = planned([](test::Tensors& tensors) {
        tensors["model.layers.2.mlp.experts.8.up_proj.weight"] =
            tensors["model.layers.2.mlp.experts.7.up_proj.weight"];
    });
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code(), Code::tensor_unexpected);
}

TEST_F(Banks, RefuseTwoSpellingsAtOnce) {
    const auto changed = planned([](test::Tensors& tensors) {
        tensors["model.layers.0.mlp.experts.gate_up_proj"] = {
            DType::bf16, {8, 64, 64}, std::vector<std::byte>(size_t{8} * 64 * 64 * 2)};
    });
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code(), Code::tensor_duplicate_source);
}

TEST(Linears, OfAMixtureAreFoundUnderTheNamesThatLibrariesGiveThemInMemory) {
    const auto published = plan_of(golden("mixtral"));
    ASSERT_TRUE(published) << to_string(published.error());
    const std::map<std::string, std::string> in_memory = {
        {"w1", "gate_proj"}, {"w2", "down_proj"}, {"w3", "up_proj"}};
    for (const std::string mixture : {"block_sparse_moe", "mlp"}) {
        test::Tensors renamed;
        for (auto& [name, tensor] : test::read_tensors(golden("mixtral"))) {
            std::string other = name;
            const size_t at = name.find("block_sparse_moe.experts."), leaf = name.rfind(".weight");
            if (at != std::string::npos)
                other = name.substr(0, at) + mixture + name.substr(at + 16, leaf - at - 18) +
                        in_memory.at(name.substr(leaf - 2, 2)) + ".weight";
            renamed[other] = std::move(tensor);
        }
        const test::TempFolder root;
        test::write_tensors(golden("mixtral"), root.at("renamed"), renamed);
        const auto planned = plan_of(root.at("renamed"));
        ASSERT_TRUE(planned) << to_string(planned.error());
        EXPECT_EQ((*planned)->plan().parts.size(), (*published)->plan().parts.size());
    }
}

TEST_F(Banks, ExplainOneExpertByItsOwnName) {
    const auto changed = planned(three_differ);
    ASSERT_TRUE(changed);
    const auto four = explain_text(**changed, "model.layers.0.mlp.experts.4.gate_proj");
    ASSERT_TRUE(four);
    EXPECT_NE(four->find("model.layers.0.mlp.experts.4.gate_proj.weight"), std::string::npos) << *four;
    EXPECT_NE(four->find("F32"), std::string::npos) << *four;
    EXPECT_EQ(four->find("experts.1."), std::string::npos) << *four;
    const auto stacked = plan_of(golden("qwen3_moe_v5names"));
    const auto of_stack = explain_text(**stacked, "model.layers.0.mlp.experts.4.gate_proj");
    ASSERT_TRUE(of_stack);
    EXPECT_NE(of_stack->find("model.layers.0.mlp.experts.gate_up_proj"), std::string::npos) << *of_stack;
}

TEST(Linears, ThatAreFusedOnDiskNameBothSpellingsWhenGone) {
    auto tensors = test::read_tensors(golden("phi3_longrope_long"));
    tensors.erase("model.layers.0.self_attn.qkv_proj.weight");
    const test::TempFolder root;
    test::write_tensors(golden("phi3_longrope_long"), root.at("changed"), tensors);
    const auto changed = plan_of(root.at("changed"));
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code(), Code::tensor_missing);
    EXPECT_NE(to_string(changed.error()).find("self_attn.qkv_proj"), std::string::npos)
        << to_string(changed.error());
}

}  // namespace
}  // namespace mortise::plan
