#include "registry/search_path.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> used(const World& world) {
    std::vector<std::string> out;
    const Registry registry = discover(world);
    for (const Place& place : registry.places())
        if (place.used) out.push_back(place.path.substr(world.root().size() + 1));
    return out;
}

const Place* place_of(const std::vector<Place>& places, std::string_view origin) {
    for (const Place& place : places)
        if (place.origin == origin) return &place;
    return nullptr;
}

// Every folder there is, so that only the rules decide.
void make_all(World& world) {
    world.options.search.directories = {world.folder("flag1"), world.folder("flag2")};
    world.options.search.deployment = {world.folder("deployment")};
    world.variables["XDG_DATA_HOME"] = world.folder("data");
    world.folder("data/mortise/plugins");
    world.folder("etc");
    world.folder("prefix/lib/mortise/plugins");
    world.folder("added");
    world.folder("replaced");
}

TEST(SearchPath, GoesFromTheCommandLineToTheInstallation) {
    World world;
    make_all(world);
    EXPECT_THAT(used(world),
                ElementsAre("flag1", "flag2", "deployment", "etc", "prefix/lib/mortise/plugins"));
}

TEST(SearchPath, TakesTheUsersFolderOnlyWhenAsked) {
    World world;
    make_all(world);
    world.options.search.user_directory = true;
    EXPECT_THAT(used(world), ElementsAre("flag1", "flag2", "deployment", "data/mortise/plugins", "etc",
                                         "prefix/lib/mortise/plugins"));
}

TEST(SearchPath, OneVariableReplacesAndTheOtherAdds) {
    World world;
    make_all(world);
    world.variables["MORTISE_PLUGIN_PATH_ADD"] = world.root() + "/added";
    EXPECT_THAT(used(world),
                ElementsAre("flag1", "flag2", "added", "deployment", "etc", "prefix/lib/mortise/plugins"));
    world.variables["MORTISE_PLUGIN_PATH"] = world.root() + "/replaced";
    EXPECT_THAT(used(world), ElementsAre("flag1", "flag2", "added", "replaced"));
}

TEST(SearchPath, SecureModeReadsNoVariableAndSaysSo) {
    World world;
    make_all(world);
    world.options.search.secure = true;
    world.options.search.user_directory = true;
    world.variables["MORTISE_PLUGIN_PATH"] = world.root() + "/replaced";
    EXPECT_THAT(used(world),
                ElementsAre("flag1", "flag2", "deployment", "etc", "prefix/lib/mortise/plugins"));
    const Registry registry = discover(world);
    const Place* place = place_of(registry.places(), "MORTISE_PLUGIN_PATH");
    ASSERT_NE(place, nullptr);
    EXPECT_EQ(place->note, "ignored in secure mode");
}

TEST(SearchPath, RelativeFolderInAVariableIsAnError) {
    World world;
    world.variables["MORTISE_PLUGIN_PATH"] = "plugins";
    EXPECT_THAT(text_of(Registry::discover(world.options)),
                AllOf(HasSubstr("MORTISE_PLUGIN_PATH"), HasSubstr("'plugins'")));
}

TEST(SearchPath, NeverLooksIntoTheCurrentFolderOrTheLinkersPath) {
    World world;
    world.options.search.directories = {};
    world.plugin("here", "good", ManifestText());
    world.variables["LD_LIBRARY_PATH"] = world.root() + "/here";
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(world.root() + "/here");
    const Registry registry = discover(world);
    std::filesystem::current_path(before);
    EXPECT_TRUE(registry.candidates().empty());
}

TEST(SearchPath, FolderThatIsNotThereIsNamedWithTheReason) {
    World world;
    world.options.search.directories = {world.root() + "/typo"};
    const Registry registry = discover(world);
    EXPECT_THAT(registry.warnings(),
                testing::Contains(AllOf(HasSubstr("/typo"), HasSubstr("does not exist"))));
}

TEST(SearchPath, FolderNamedTwiceIsReadOnce) {
    World world;
    world.plugin("plugins", "good", ManifestText());
    std::filesystem::create_directory_symlink(world.root() + "/plugins", world.root() + "/link");
    world.options.search.directories.push_back(world.root() + "/link");
    EXPECT_EQ(discover(world).candidates().size(), 1u);
}

TEST(SearchPath, InstallationNamedByAFlagIsStillTheInstallation) {
    World world;
    world.plugin("prefix/lib/mortise/plugins", "good", ManifestText());
    world.options.search.directories = {world.root() + "/prefix/lib/mortise/plugins"};
    const Registry registry = discover(world);
    ASSERT_EQ(registry.candidates().size(), 1u);
    EXPECT_TRUE(registry.candidates()[0].installed);
}

TEST(SearchPath, ManifestsComeInByteOrderOfTheirNames) {
    World world;
    for (const char* name : {"b", "a", "C", "a-b", "a0"})
        world.manifest("plugins", name,
                       ManifestText().id(std::string("id.") + static_cast<char>(name[0] | 32) + name));
    std::vector<std::string> names;
    const Registry registry = discover(world);
    for (const Candidate& each : registry.candidates())
        names.push_back(std::filesystem::path(each.manifest.path).stem().string());
    EXPECT_THAT(names, ElementsAre("C", "a-b", "a", "a0", "b"));
}

TEST(SearchPath, LinkToAManifestStandsForTheFileItLeadsTo) {
    World world;
    world.plugin("store", "good", ManifestText());
    std::filesystem::create_symlink(world.root() + "/store/good.yaml", world.root() + "/plugins/linked.yaml");
    Registry registry = discover(world);
    ASSERT_EQ(registry.candidates().size(), 1u);
    EXPECT_EQ(registry.candidates()[0].manifest.library, world.root() + "/store/good.so");
    EXPECT_TRUE(choose_scheme(registry, "sample"));
}

TEST(SearchPath, TwoNamesOfOneManifestAreOnePlugin) {
    World world;
    world.plugin("plugins", "good", ManifestText());
    std::filesystem::create_hard_link(world.root() + "/plugins/good.yaml",
                                      world.root() + "/plugins/twin.yaml");
    Registry registry = discover(world);
    ASSERT_EQ(registry.candidates().size(), 2u);
    EXPECT_EQ(registry.candidates()[1].state, State::shadowed);
    EXPECT_THAT(registry.candidates()[1].reason, HasSubstr("good.yaml"));
    EXPECT_TRUE(choose_scheme(registry, "sample"));
}

}  // namespace
}  // namespace mortise::registry::test
