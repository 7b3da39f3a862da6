#include "registry/filters.h"

#include <gmock/gmock.h>

#include "registry/open_plugin.h"
#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

World& with_two(World& world) {
    world.plugin("plugins", "good", ManifestText().scheme("sample", "a"));
    world.plugin("plugins", "other", ManifestText().id("com.test.other").scheme("sample", "b"));
    return world;
}

State state_of(const World& world, std::string_view id) {
    const Registry registry = discover(world);
    return find(registry, id)->state;
}

TEST(Filters, AllCanBeDisabledAndOnePinned) {
    World world;
    with_two(world).options.disable = {"*"};
    world.options.pin_version["com.test.good"] = "1.0.0";
    EXPECT_EQ(state_of(world, "com.test.good"), State::discovered);
    EXPECT_EQ(state_of(world, "com.test.other"), State::disabled);
}

TEST(Filters, DeniedStaysDeniedThoughPinned) {
    World world;
    with_two(world).options.deny = {"com.test.good"};
    world.options.pin_version["com.test.good"] = "1.0.0";
    EXPECT_EQ(state_of(world, "com.test.good"), State::disabled);
}

TEST(Filters, AllowTurnsAllOthersOff) {
    World world;
    with_two(world).options.allow = std::vector<std::string>{"com.test.o*"};
    EXPECT_EQ(state_of(world, "com.test.good"), State::disabled);
    EXPECT_EQ(state_of(world, "com.test.other"), State::discovered);
    world.options.allow = std::vector<std::string>{};
    EXPECT_EQ(state_of(world, "com.test.other"), State::disabled);
}

TEST(Filters, FilterThatMatchesNothingIsAWarningWithASuggestion) {
    World world;
    with_two(world).options.disable = {"com.test.godd"};
    const Registry registry = discover(world);
    EXPECT_THAT(registry.warnings(),
                Contains(AllOf(HasSubstr("'com.test.godd' in plugins.disable matches no plugin"),
                               HasSubstr("did you mean 'com.test.good'?"))));
}

TEST(Filters, PinOfAnotherVersionLeavesTheOneThatIsThereOff) {
    World world;
    with_two(world).options.pin_version["com.test.good"] = "=2.0.0";
    const Registry registry = discover(world);
    EXPECT_EQ(find(registry, "com.test.good")->state, State::disabled);
    EXPECT_THAT(find(registry, "com.test.good")->reason, HasSubstr("version 1.0.0 is not the pinned =2.0.0"));
}

TEST(Filters, VariableSwitchesOffByItsValueAndNotByBeingThere) {
    World world;
    world.plugin("plugins", "good", ManifestText().more("disable_env: GOOD_OFF"));
    for (const auto& [value, state] : {std::pair("1", State::disabled),
                                       {"true", State::disabled},
                                       {"yes", State::disabled},
                                       {"0", State::discovered},
                                       {"false", State::discovered},
                                       {"", State::discovered}}) {
        world.variables["GOOD_OFF"] = value;
        EXPECT_EQ(state_of(world, "com.test.good"), state) << value;
    }
}

TEST(Duplicates, TwoVersionsOfOneIdAreAnErrorWithTheLineThatSettlesIt) {
    World world;
    world.plugin("plugins", "good", {});
    world.plugin("plugins", "newer", ManifestText().version("2.0.0"));
    Registry registry = discover(world);
    const std::string found = text_of(choose_scheme(registry, "sample"));
    EXPECT_THAT(found, AllOf(HasSubstr("E4002"), HasSubstr("good.yaml"), HasSubstr("newer.yaml"),
                             HasSubstr("plugins.pin: {com.test.good: {version: \"1.0.0\"}}")));
    world.options.pin_version["com.test.good"] = "2.0.0";
    Registry settled = discover(world);
    EXPECT_TRUE(choose_scheme(settled, "sample"));
    EXPECT_EQ(settled.candidates()[0].state, State::disabled);
    EXPECT_EQ(settled.candidates()[1].state, State::ready);
}

TEST(Duplicates, TwoBuildsOfOneVersionAreSettledByDigest) {
    World world;
    world.plugin("plugins", "good", {});
    world.library("plugins", "rounding");
    world.manifest("plugins", "rounding", ManifestText().library("rounding.so"));
    Registry registry = discover(world);
    EXPECT_THAT(text_of(choose_scheme(registry, "sample")), AllOf(HasSubstr("E4002"), HasSubstr("sha256")));
    world.options.pin_sha256["com.test.good"] = *digest_of(*File::open(world.root() + "/plugins/good.so"));
    Registry settled = discover(world);
    EXPECT_TRUE(choose_scheme(settled, "sample")) << text_of(choose_scheme(settled, "sample"));
}

TEST(Duplicates, CopyOfAPluginIsShadowedByTheFirst) {
    World world;
    world.plugin("plugins", "good", {});
    world.plugin("second", "good", {});
    world.options.search.directories.push_back(world.root() + "/second");
    Registry registry = discover(world);
    EXPECT_TRUE(choose_scheme(registry, "sample"));
    EXPECT_EQ(registry.candidates()[1].state, State::shadowed);
}

TEST(Duplicates, OfOneIdDoNotTouchOthers) {
    World world;
    world.plugin("plugins", "good", {});
    world.plugin("plugins", "newer", ManifestText().version("2.0.0"));
    world.plugin("plugins", "other", ManifestText().id("com.test.other").scheme("sample", "b"));
    Registry registry = discover(world);
    EXPECT_TRUE(choose_scheme(registry, "b"));
}

TEST(Relations, MissingRequirementTurnsOffAlsoWhatRequiresThat) {
    World world;
    world.plugin("plugins", "good", ManifestText().more("requires: com.test.other"));
    world.plugin("plugins", "other", ManifestText().id("com.test.other").more("requires: com.test.gone"));
    const Registry registry = discover(world);
    EXPECT_EQ(find(registry, "com.test.good")->state, State::disabled);
    EXPECT_THAT(find(registry, "com.test.other")->reason, HasSubstr("com.test.gone"));
}

TEST(Relations, ConflictTurnsBothOffUnlessOneIsPinned) {
    World world;
    world.plugin("plugins", "good", ManifestText().more("conflicts: com.test.other"));
    world.plugin("plugins", "other", ManifestText().id("com.test.other"));
    EXPECT_EQ(state_of(world, "com.test.good"), State::disabled);
    EXPECT_EQ(state_of(world, "com.test.other"), State::disabled);
    world.options.pin_version["com.test.other"] = "1.0.0";
    EXPECT_EQ(state_of(world, "com.test.good"), State::disabled);
    EXPECT_EQ(state_of(world, "com.test.other"), State::discovered);
}

}  // namespace
}  // namespace mortise::registry::test
