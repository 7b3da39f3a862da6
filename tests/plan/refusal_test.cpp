// What must be refused is refused with its own code, and the message names the thing.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/file.h"
#include "checkpoint/write.h"
#include "golden_plan.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::plan {
namespace {

namespace fs = std::filesystem;

// A copy of a golden checkpoint that can be changed.
class Refusal : public ::testing::Test {
  protected:
    std::string copy_of(const std::string& name) {
        folder_ = fs::path(folder_root_.path()) / name;
        fs::copy(golden(name), folder_, fs::copy_options::recursive);
        return folder_.string();
    }
    void edit_config(const std::string& from, const std::string& to) {
        std::string text = read_file((folder_ / "config.json").string()).value();
        const size_t at = text.find(from);
        ASSERT_NE(at, std::string::npos) << from;
        text.replace(at, from.size(), to);
        std::ofstream(folder_ / "config.json") << text;
    }
    void expect(Code code, const std::string& words) {
        const auto planned = plan_of(folder_.string());
        ASSERT_FALSE(planned);
        EXPECT_EQ(static_cast<int>(planned.error().code()), static_cast<int>(code))
            << to_string(planned.error());
        EXPECT_NE(to_string(planned.error()).find(words), std::string::npos) << to_string(planned.error());
    }
    test::TempFolder folder_root_;
    fs::path folder_;
};

TEST_F(Refusal, UnknownConfigKeyNamesFileLineAndKey) {
    copy_of("llama");
    edit_config("\"attention_bias\"", "\"partial_rotary_factor\": 0.5,\n  \"attention_bias\"");
    expect(Code::config_unknown_key, "partial_rotary_factor");
}

TEST_F(Refusal, AnAcceptedKeyIsNotedAndPasses) {
    copy_of("llama");
    edit_config("\"attention_bias\"", "\"my_key\": 7,\n  \"attention_bias\"");
    Options options;
    options.accepted_config_keys = {"my_key"};
    const auto planned = plan_of(folder_.string(), options);
    ASSERT_TRUE(planned) << to_string(planned.error());
    EXPECT_NE((*planned)->plan().notes.front().find("my_key"), std::string::npos);
}

TEST_F(Refusal, UnknownArchitectureListsWhatIsInstalled) {
    copy_of("llama");
    edit_config("LlamaForCausalLM", "FooForCausalLM");
    expect(Code::unsupported_architecture, "FooForCausalLM");
}

TEST_F(Refusal, UnknownSchemeIsNamed) {
    copy_of("llama");
    edit_config("\"attention_bias\"",
                "\"quantization_config\": {\"quant_method\": \"acme_fp4\"},\n  \"attention_bias\"");
    expect(Code::unsupported_scheme, "acme_fp4");
}

TEST_F(Refusal, ConfigAgainstTensorsNamesTheTensor) {
    copy_of("llama");
    edit_config("\"intermediate_size\": 96", "\"intermediate_size\": 64");
    expect(Code::tensor_shape, "gate_proj");
}

TEST_F(Refusal, MissingConfigSaysWhatToDo) {
    copy_of("llama");
    fs::remove(folder_ / "config.json");
    expect(Code::config_missing, "config.json");
}

TEST_F(Refusal, AnIgnoreRuleThatMatchesNothingIsAnError) {
    copy_of("ct-fp8-dynamic");
    edit_config("\"lm_head\"\n", "\"lm_head\", \"model.layers.7.mlp.nothing\"\n");
    expect(Code::rule_unmatched, "model.layers.7.mlp.nothing");
    Options options;
    options.accepted_rules = {"model.layers.6.mlp.nothing"};
    EXPECT_FALSE(plan_of(folder_.string(), options)) << "another rule";
    options.accepted_rules = {"model.layers.7.mlp.nothing"};
    const auto planned = plan_of(folder_.string(), options);
    ASSERT_TRUE(planned) << to_string(planned.error());
    const auto& notes = (*planned)->plan().notes;
    EXPECT_TRUE(std::ranges::any_of(notes, [](const std::string& note) {
        return note.find("model.layers.7.mlp.nothing") != note.npos && note.find("by request") != note.npos;
    })) << "an exception that is not repeated in the report";
}

// Writers expand expressions to the names of all modules, routers and norms among them.
TEST_F(Refusal, ARuleMayNameAModuleThatIsNoLinear) {
    copy_of("ct-fp8-dynamic");
    edit_config("\"lm_head\"\n", "\"lm_head\", \"model.norm\"\n");
    const auto planned = plan_of(folder_.string());
    EXPECT_TRUE(planned) << to_string(planned.error());
}

// A file without the prefix "model.", and a rule with it.
TEST_F(Refusal, ARuleFindsAModuleUnderAnotherRoot) {
    test::Tensors tensors;
    for (auto& [name, tensor] : test::read_tensors(golden("ct-fp8-dynamic")))
        tensors[name.starts_with("model.") ? name.substr(6) : name] = std::move(tensor);
    folder_ = folder_root_.at("bare");
    test::write_tensors(golden("ct-fp8-dynamic"), folder_.string(), tensors);
    edit_config("\"lm_head\"\n", "\"lm_head\", \"model.norm\"\n");
    const auto planned = plan_of(folder_.string());
    EXPECT_TRUE(planned) << to_string(planned.error());
}

// ModelOpt 0.33 named itself by another key.
TEST_F(Refusal, DoesNotMeetAConfigOfAnOlderExporter) {
    copy_of("mo_fp8_pcpt");
    edit_config("\"quant_method\": \"modelopt\"", "\"quant_library\": \"modelopt\"");
    const auto planned = plan_of(folder_.string());
    EXPECT_TRUE(planned) << to_string(planned.error());
}

TEST_F(Refusal, OfAModuleSaysNothingMoreOfItsTensors) {
    copy_of("ct-nvfp4");
    edit_config("\"strategy\": \"tensor_group\"", "\"strategy\": \"group\"");
    edit_config("\"strategy\": \"tensor_group\"", "\"strategy\": \"group\"");
    const auto planned = plan_of(folder_.string());
    ASSERT_FALSE(planned);
    for (const Problem& problem : planned.error().problems())
        EXPECT_EQ(problem.code, Code::unsupported_variant) << to_string(planned.error());
}

TEST_F(Refusal, AHeadThatIsGoneUnderAnUntiedConfigIsNamed) {
    copy_of("llama_tied");
    edit_config("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    expect(Code::tensor_missing, "lm_head");
    Options options;
    options.accept_missing_head = true;
    EXPECT_TRUE(plan_of(folder_.string(), options));
}

TEST(Plan, RedundantQuantizedHeadIsDroppedTogether) {
    const auto planned = plan_of(golden("awq_tied_redundant_lm_head"));
    ASSERT_TRUE(planned) << to_string(planned.error());
    uint64_t dropped = 0;
    for (const Drop& drop : (*planned)->plan().drops) dropped += drop.code == DropCode::redundant_head;
    EXPECT_EQ(dropped, 3u);
}

TEST(Plan, CacheScalesAreReportedAsUnusedAndKept) {
    const auto planned = plan_of(golden("ct-kv-fp8"));
    ASSERT_TRUE(planned) << to_string(planned.error());
    uint64_t unused = 0;
    for (const Drop& drop : (*planned)->plan().drops) unused += drop.code == DropCode::cache_scale_unused;
    EXPECT_EQ(unused, 4u) << "k and v of two layers";
}

TEST(Plan, TiedTableIsBoundOnceToAKernelThatGathers) {
    const auto planned = plan_of(golden("llama_tied"));
    ASSERT_TRUE(planned);
    uint64_t gathers = 0;
    for (const KernelPlan& kernel : (*planned)->plan().kernels) gathers += kernel.problem->abi().gather;
    EXPECT_EQ(gathers, 1u);
}

}  // namespace
}  // namespace mortise::plan
