// What stands beside a weight: of the type that its slot takes, there, and there in every layer.
#include <gtest/gtest.h>

#include <functional>

#include "golden_plan.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::plan {
namespace {

class Companions : public ::testing::Test {
  protected:
    // Effect: what becomes of a golden checkpoint with some tensors changed.
    void expect(const std::string& name, const std::function<void(test::Tensors&)>& change, Code code,
                const std::string& words) {
        auto tensors = test::read_tensors(golden(name));
        change(tensors);
        const std::string folder = root_.at("changed" + std::to_string(++count_));
        test::write_tensors(golden(name), folder, tensors);
        const auto planned = plan_of(folder);
        ASSERT_FALSE(planned);
        EXPECT_EQ(static_cast<int>(planned.error().code()), static_cast<int>(code))
            << to_string(planned.error());
        EXPECT_NE(to_string(planned.error()).find(words), std::string::npos) << to_string(planned.error());
    }
    test::TempFolder root_;
    int count_ = 0;
};

TEST_F(Companions, BytesOfAnotherTypeAreNoCodes) {
    const std::string weight = "model.layers.0.self_attn.q_proj.weight";
    expect(
        "ct-fp8-dynamic", [&](auto& tensors) { tensors.at(weight).dtype = DType::i8; }, Code::tensor_dtype,
        weight);
}

TEST_F(Companions, AFloatWeightLeavesTheScaleOfCodesOver) {
    const std::string module = "model.layers.0.self_attn.q_proj.";
    const auto widened = [&](auto& tensors) {
        auto& weight = tensors.at(module + "weight");
        weight.dtype = DType::bf16;
        weight.bytes.resize(weight.bytes.size() * 2);
    };
    expect("ct-fp8-dynamic", widened, Code::tensor_unexpected, "nothing in the model uses this tensor");
}

// Where it is taken for 0 the activations of one expert become infinite, with some prompts only.
TEST_F(Companions, ThatAreGoneAreNamed) {
    const std::string scale = "model.layers.0.self_attn.q_proj.input_scale";
    expect("mo_nvfp4_svdquant", [&](auto& tensors) { tensors.erase(scale); }, Code::tensor_missing, scale);
}

TEST_F(Companions, OfSomeLayersOnlyAreRefused) {
    const std::string module = "model.layers.1.mlp.down_proj";
    const auto lost = [&](auto& tensors) { ASSERT_EQ(tensors.erase(module + ".pre_quant_scale"), 1u); };
    expect("mo_w4a8_awq", lost, Code::companion_partial, module);
}

}  // namespace
}  // namespace mortise::plan
