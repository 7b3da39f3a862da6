#include "mortise/sdk/rules.h"

#include <gtest/gtest.h>

#include "mortise/sdk/groups.h"
#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

using test::FakeHost;

// A linear called `name`; fused from `parts` if there are any.
struct Module {
    explicit Module(std::string own, std::vector<std::string> fused = {})
        : name(std::move(own)), parts(std::move(fused)) {
        if (parts.empty()) parts = {name};
        for (const std::string& part : parts) views.push_back(str(part));
        abi = make<mortise_module>();
        abi.name = abi.canonical = str(name);
        abi.kind = MORTISE_MODULE_LINEAR;
        abi.class_count = 1;
        abi.classes = &linear;
        abi.experts = 1;
        abi.n_parts = views.size();
        abi.part_names = views.data();
    }
    std::string name;
    std::vector<std::string> parts;
    std::vector<mortise_str> views;
    mortise_str linear{"Linear", 6};
    mortise_module abi{};
};

class RulesOf : public testing::Test {
  protected:
    void SetUp() override {
        host_slot() = FakeHost::instance().table();
        FakeHost::instance().reset();
    }
    Config list(const std::string& text) {
        return Config(FakeHost::instance().file("config.json", R"({"l":)" + text + "}"))["l"];
    }
    std::vector<uint64_t> counts(const Rules& rules) {
        std::vector<uint64_t> out;
        rules.report(
            [](void* to, const mortise_rule* rule) {
                static_cast<std::vector<uint64_t>*>(to)->push_back(rule->matches);
            },
            &out);
        return out;
    }
};

TEST_F(RulesOf, MatchWholeNamesClassesAndExpressions) {
    Rules rules(list(R"(["Linear", "re:.*up_proj$", "model.a.q_proj"])"), "targets", exact_or_regex);
    EXPECT_NE(rules.find(Module("model.a.q_proj").abi), nullptr);
    EXPECT_NE(rules.find(Module("model.a.up_proj").abi), nullptr);
    EXPECT_EQ(counts(rules), (std::vector<uint64_t>{2, 1, 1}));
}

TEST_F(RulesOf, DoNotMatchHalfAComponent) {
    Rules rules(list(R"(["gate", "q_proj"])"), "skip", any_component);
    EXPECT_EQ(rules.find(Module("model.layers.0.mlp.gate_proj").abi), nullptr);
    EXPECT_NE(rules.find(Module("model.layers.0.mlp.gate").abi), nullptr);
    EXPECT_NE(rules.find(Module("model.layers.0.self_attn.q_proj").abi), nullptr);
}

TEST_F(RulesOf, MatchAFusedModuleByAllOfItsPartsOrNone) {
    const std::vector<std::string> parts = {"a.gate_proj", "a.up_proj"};
    Rules both(list(R"(["re:.*(gate|up)_proj"])"), "ignore", exact_or_regex);
    EXPECT_NE(both.find(Module("a.gate_up_proj", parts).abi), nullptr);
    Rules one(list(R"(["a.up_proj"])"), "ignore", exact_or_regex);
    EXPECT_THROW(one.find(Module("a.gate_up_proj", parts).abi), Refused);
}

TEST_F(RulesOf, MatchAFusedModuleTogetherByItsParts) {
    const Module fused("a.gate_up_proj", {"a.gate_proj", "a.up_proj"});
    Rules both(list(R"(["a.gate_proj", "a.up_proj"])"), "ignore", exact_or_regex);
    EXPECT_NE(both.find(fused.abi), nullptr);
    EXPECT_EQ(counts(both), (std::vector<uint64_t>{1, 1}));
    EXPECT_EQ(both.narrowest(fused.abi), Rules::Width::by_name);
}

// Lists are written in the names of the library that quantized, files in those of a wrapper around the model.
TEST_F(RulesOf, MatchTheNameOnDiskAndTheModelsOwn) {
    Module module("language_model.model.a.gate_up_proj", {"model.a.gate_proj", "model.a.up_proj"});
    module.abi.canonical = str("model.a.gate_up_proj");
    for (const char* rule : {R"(["language_model.model.a.gate_up_proj"])", R"(["model.a.gate_up_proj"])",
                             R"(["re:model\\..*up_proj$"])"})
        EXPECT_NE(Rules(list(rule), "ignore", exact_or_regex).find(module.abi), nullptr) << rule;
}

TEST_F(RulesOf, SayThatTheHeadMayBeMissing) {
    Rules rules(list(R"(["lm_head", "other"])"), "ignore", exact_or_regex);
    std::vector<uint32_t> optional;
    rules.report(
        [](void* to, const mortise_rule* rule) {
            static_cast<std::vector<uint32_t>*>(to)->push_back(rule->optional);
        },
        &optional);
    EXPECT_EQ(optional, (std::vector<uint32_t>{1, 0}));
}

TEST_F(RulesOf, RefuseAMalformedExpression) {
    Rules rules(list(R"(["re:("])"), "ignore", exact_or_regex);
    EXPECT_THROW(rules.find(Module("a").abi), Reported);
}

constexpr const char* one_group =
    R"({"config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float",
    "strategy": "channel"}, "input_activations": null}}, "ignore": ["lm_head"]})";

TEST_F(RulesOf, DecideByTensorsWhetherAndByGroupsHow) {
    ModuleGroups groups = read_groups(Config(FakeHost::instance().file("config.json", one_group)));
    const Module head("lm_head"), linear("a.q_proj");
    EXPECT_TRUE(groups.decide(linear.abi, std::nullopt).coded);
    EXPECT_FALSE(groups.decide(head.abi, std::nullopt).coded);
    EXPECT_EQ(groups.decide(linear.abi, true).note, "");
    EXPECT_NE(groups.decide(linear.abi, false).note, "");
    EXPECT_NE(groups.decide(head.abi, true).note, "");
    EXPECT_EQ(groups.decide(head.abi, false).rule, "ignore[0] = lm_head");
    EXPECT_EQ(groups.decide(linear.abi, true).rule, "config_groups.g");
}

TEST_F(RulesOf, ReadBackTheGroupsThatAreWritten) {
    const Coding inputs{.type = "float", .strategy = "token", .dynamic = true};
    const std::string text = groups_text(
        "m", {{.format = "f", .weights = {.type = "float", .strategy = "channel"}, .inputs = inputs}},
        {"lm_head", "x"});
    const Config c(FakeHost::instance().file("config.json", text));
    check_beside_groups(c);
    const ModuleGroups groups = read_groups(c);
    ASSERT_EQ(groups.groups.size(), 1u);
    EXPECT_TRUE(groups.groups[0].weights->is("float", 8, "channel"));
    EXPECT_TRUE(groups.groups[0].inputs->is("float", 8, "token") && groups.groups[0].inputs->dynamic);
    EXPECT_EQ(groups.groups[0].format, "f");
    EXPECT_EQ(FakeHost::instance().unread(), "") << "every key that is written is read";
}

TEST_F(RulesOf, ReadBackACacheThatIsWrittenWithoutGroups) {
    const Coding coding{.type = "float", .strategy = "attn_head"};
    const Config c(FakeHost::instance().file("config.json", groups_text("m", {}, {"lm_head"}, coding)));
    check_beside_groups(c);
    const ModuleGroups groups = read_groups(c);
    EXPECT_TRUE(groups.groups.empty());
    EXPECT_TRUE(cache_coding_of(groups, "kv_cache_scheme").per_head);
    EXPECT_EQ(FakeHost::instance().unread(), "");
}

TEST_F(RulesOf, RefuseSettingsBesideTheGroupsThatWouldChangeNumbers) {
    const auto beside = [&](const std::string& more) {
        check_beside_groups(
            Config(FakeHost::instance().file("config.json", R"({"config_groups": {"g": {}})" + more + "}")));
    };
    EXPECT_NO_THROW(beside(R"(, "transform_config": {}, "sparsity_config": {"format": "dense"})"));
    EXPECT_THROW(beside(R"(, "transform_config": {"config_groups": {}})"), Unsupported);
    EXPECT_THROW(beside(R"(, "sparsity_config": {"format": "sparse-24-bitmask"})"), Unsupported);
    EXPECT_THROW(beside(R"(, "quantization_status": "calibration")"), Unsupported);
}

}  // namespace
}  // namespace mortise::sdk
