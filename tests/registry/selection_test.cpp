#include <gmock/gmock.h>

#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// "good" and "other" answer with score 500, "strong" with 900.
void add(World& world, const std::string& sample, const std::string& method,
         int priority = default_priority) {
    world.plugin("plugins", sample,
                 ManifestText().id("com.test." + sample).scheme("sample", method, priority));
}

std::string chosen(World& world, const std::string& method) {
    Registry registry = discover(world);
    const auto scheme = choose_scheme(registry, method);
    return scheme ? scheme->plugin : text_of(scheme);
}

const Decision* decision_on(const Registry& registry, std::string_view plugin) {
    const Decision* last = nullptr;
    for (const Decision& each : registry.decisions())
        if (each.plugin == plugin) last = &each;
    return last;
}

TEST(Selection, BestScoreWins) {
    World world;
    add(world, "good", "m", 100);
    add(world, "strong", "m", 0);
    EXPECT_EQ(chosen(world, "m"), "com.test.strong");
}

TEST(Selection, PriorityDecidesBetweenEqualScores) {
    World world;
    add(world, "good", "m", 50);
    add(world, "other", "m", 51);
    EXPECT_EQ(chosen(world, "m"), "com.test.other");
}

TEST(Selection, TieIsAnErrorThatNamesBothFilesAndTheLineThatSettlesIt) {
    World world;
    add(world, "good", "m");
    add(world, "other", "m");
    EXPECT_THAT(chosen(world, "m"), AllOf(HasSubstr("E4011"), HasSubstr("/plugins/good.yaml:9"),
                                          HasSubstr("/plugins/other.yaml:9"),
                                          HasSubstr("plugins.select: {scheme.m: com.test.good}")));
    world.options.prefer["scheme.m"] = "com.test.other";
    EXPECT_EQ(chosen(world, "m"), "com.test.other");
    world.options.prefer = {{"scheme", "com.test.good"}};
    EXPECT_EQ(chosen(world, "m"), "com.test.good");
}

TEST(Selection, OnlyPluginsWhoseManifestFitsAreOpened) {
    World world;
    add(world, "good", "m");
    add(world, "other", "n");
    Registry registry = discover(world);
    ASSERT_TRUE(choose_scheme(registry, "m"));
    EXPECT_EQ(find(registry, "com.test.good")->state, State::ready);
    EXPECT_EQ(find(registry, "com.test.other")->state, State::discovered);
    EXPECT_TRUE(is_mapped(world.root() + "/plugins/good.so"));
    EXPECT_FALSE(is_mapped(world.root() + "/plugins/other.so"));
}

TEST(Selection, EveryCandidateHasARecordedReason) {
    World world;
    add(world, "good", "m");
    add(world, "other", "n");
    add(world, "strong", "m");
    world.options.disable = {"com.test.strong"};
    world.options.file = "deploy.yaml";
    Registry registry = discover(world);
    ASSERT_TRUE(choose_scheme(registry, "m"));
    EXPECT_EQ(decision_on(registry, "com.test.good")->stage, "chosen");
    EXPECT_THAT(decision_on(registry, "com.test.good")->where, HasSubstr("good.yaml:9"));
    EXPECT_EQ(decision_on(registry, "com.test.other")->stage, "manifest");
    EXPECT_EQ(decision_on(registry, "com.test.other")->reason, "reads n");
    EXPECT_EQ(decision_on(registry, "com.test.strong")->stage, "state");
    EXPECT_THAT(decision_on(registry, "com.test.strong")->reason,
                HasSubstr("plugins.disable of deploy.yaml"));
}

TEST(Selection, UnknownQuantizationNamesWhatIsInstalledAndWhatIsOff) {
    World world;
    add(world, "good", "m");
    add(world, "other", "wanted");
    world.options.deny = {"com.test.oth*"};
    EXPECT_THAT(chosen(world, "wanted"), AllOf(HasSubstr("E5001"), HasSubstr("quantization 'wanted'"),
                                               HasSubstr("sample"), HasSubstr("denied by 'com.test.oth*'")));
}

TEST(Selection, ChosenButBrokenPluginIsTheErrorAndNotUnsupported) {
    World world;
    world.plugin("plugins", "null_function", ManifestText().scheme("sample", "m"));
    EXPECT_THAT(chosen(world, "m"), AllOf(HasSubstr("E4009"), Not(HasSubstr("E5001"))));
}

TEST(Selection, NativeSchemesAreNotAskedAboutAnotherContainersTensors) {
    World world;
    add(world, "good", "m");
    Registry registry = discover(world);
    EXPECT_THAT(text_of(registry.scheme("m", "blocks", "", host(), ask)), HasSubstr("E5001"));
    world.manifest("plugins", "good",
                   ManifestText().provides("{interface: scheme, id: sample, name_space: blocks}"));
    Registry again = discover(world);
    EXPECT_TRUE(again.scheme("anything", "blocks", "", host(), ask));
    EXPECT_THAT(text_of(again.scheme("anything", "", "", host(), ask)), HasSubstr("E5001"));
}

TEST(Selection, EmptyMethodMeansThatNothingSaysQuantized) {
    World world;
    add(world, "good", "");
    EXPECT_EQ(chosen(world, ""), "com.test.good");
    EXPECT_THAT(chosen(world, "m"), HasSubstr("E5001"));
}

TEST(Selection, ForcedSchemeIsAskedAloneAndMustAgree) {
    World world;
    add(world, "good", "m");
    Registry registry = discover(world);
    EXPECT_TRUE(registry.scheme("other", "", "sample", host(), ask));
    const auto never = [](const mortise_scheme_v1&, std::string_view) {
        return Verdict{false, 0, "not mine"};
    };
    EXPECT_THAT(text_of(registry.scheme("other", "", "sample", host(), never)), HasSubstr("not mine"));
    EXPECT_THAT(text_of(registry.scheme("m", "", "sampel", host(), ask)),
                HasSubstr("did you mean 'sample'?"));
}

TEST(Selection, ArchitectureIsFoundByNameAndElseByModelType) {
    World world;
    world.plugin("plugins", "throwing",
                 ManifestText()
                     .id("com.test.throwing")
                     .provides("{interface: architecture, id: throwing, architectures: "
                               "[ThrowingForCausalLM], model_type: [throwing]}"));
    Registry registry = discover(world);
    EXPECT_TRUE(registry.architecture("ThrowingForCausalLM", "other", host()));
    EXPECT_TRUE(registry.architecture("", "throwing", host()));
    EXPECT_THAT(text_of(registry.architecture("ThrowingForCausalLm", "throwing", host())),
                AllOf(HasSubstr("E5002"), HasSubstr("did you mean 'ThrowingForCausalLM'?")));
}

TEST(Selection, ArchitectureThatTheLibraryDoesNotBuildIsAMismatch) {
    World world;
    world.plugin("plugins", "throwing",
                 ManifestText()
                     .id("com.test.throwing")
                     .provides("{interface: architecture, id: throwing, architectures: [Other]}"));
    Registry registry = discover(world);
    EXPECT_THAT(text_of(registry.architecture("Other", "", host())),
                AllOf(HasSubstr("E4006"), HasSubstr("throwing.yaml:9")));
}

TEST(Selection, FileThatNoContainerClaimsIsNoError) {
    World world;
    Registry registry = discover(world);
    const auto none = registry.container("model.bin", "abc", host());
    ASSERT_TRUE(none);
    EXPECT_EQ(none->table, nullptr);
}

TEST(Selection, UnusableKernelsAreLeftOutAndRecorded) {
    World world;
    world.plugin("plugins", "no_note", ManifestText().provides("{interface: kernels, id: k, device: here}"));
    Registry registry = discover(world);
    const auto found = registry.kernels("here", {}, host());
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->empty());
    EXPECT_EQ(decision_on(registry, "com.test.good")->stage, "open");
    const auto forbidden = registry.kernels("here", {"k*"}, host());
    EXPECT_EQ(decision_on(registry, "com.test.good")->reason,
              "failed: " + find(registry, "com.test.good")->reason);
}

}  // namespace
}  // namespace mortise::registry::test
