// One folder, many broken plugins: each one is named precisely, none hurts the others, nothing dies.
#include "registry/open_plugin.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cfenv>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "registry/plugin_call.h"
#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

// Opens the one plugin of a world; the text of what is wrong.
std::string opening(World& world) {
    Registry registry = discover(world);
    if (registry.candidates().size() != 1) return "not one candidate";
    const Status status = registry.open(0, host());
    EXPECT_EQ(registry.candidates()[0].state, status ? State::ready : State::failed);
    return status ? "no error" : text_of(status.error());
}

std::string opening(const std::string& sample, const ManifestText& text = {}) {
    World world;
    world.plugin("plugins", sample, text);
    return opening(world);
}

TEST(OpenPlugin, GoodOneOpens) { EXPECT_EQ(opening("good"), "no error"); }

TEST(OpenPlugin, MissingLibraryIsNamed) {
    World world;
    world.manifest("plugins", "good", ManifestText().library("gone.so"));
    EXPECT_THAT(opening(world), AllOf(HasSubstr("/plugins/gone.so"), HasSubstr("E7005")));
}

TEST(OpenPlugin, EmptyFileIsNoLibrary) {
    World world;
    world.plugin("plugins", "good", {});
    world.write(world.root() + "/plugins/good.so", "");
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4003"), HasSubstr("an empty file")));
}

TEST(OpenPlugin, TextFileIsNoLibrary) {
    World world;
    world.plugin("plugins", "good", {});
    world.write(world.root() + "/plugins/good.so", "INPUT(libm.so)");
    EXPECT_THAT(opening(world), HasSubstr("E4003"));
}

TEST(OpenPlugin, FolderWithALibrarysNameIsNoLibrary) {
    World world;
    world.manifest("plugins", "good", {});
    world.folder("plugins/good.so");
    EXPECT_THAT(opening(world), HasSubstr("/plugins/good.so"));
}

TEST(OpenPlugin, LibraryOfAnotherMachineIsNamed) {
    World world;
    world.plugin("plugins", "good", {});
    std::string bytes = *read_file(world.root() + "/plugins/good.so");
    bytes[18] = static_cast<char>(bytes[18] + 1);  // e_machine
    world.write(world.root() + "/plugins/good.so", bytes);
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4003"), HasSubstr("another machine")));
}

TEST(OpenPlugin, ProgramIsNoLibrary) {
    World world;
    world.plugin("plugins", "good", {});
    std::string bytes = *read_file(world.root() + "/plugins/good.so");
    bytes[16] = 2;  // e_type: executable
    world.write(world.root() + "/plugins/good.so", bytes);
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4003"), HasSubstr("no shared library")));
}

TEST(OpenPlugin, LibraryCutAnywhereIsRefusedBeforeItIsMapped) {
    World world;
    world.plugin("plugins", "good", {});
    const std::string path = world.root() + "/plugins/good.so";
    const std::string whole = *read_file(path);
    for (const int percent : {1, 10, 29, 50, 75, 90, 99}) {
        world.write(path, whole.substr(0, whole.size() * static_cast<size_t>(percent) / 100));
        EXPECT_THAT(opening(world), HasSubstr("E4004")) << percent << " % of the file";
    }
}

TEST(OpenPlugin, LibraryWithoutNoteIsNoPlugin) {
    EXPECT_THAT(opening("no_note"), AllOf(HasSubstr("E4005"), HasSubstr("no plugin note")));
}

TEST(OpenPlugin, LibraryWithoutTheSymbolSaysHowToBuildIt) {
    EXPECT_THAT(opening("no_symbol"), AllOf(HasSubstr("E4005"), HasSubstr("mortise_add_plugin()")));
}

TEST(OpenPlugin, UndefinedSymbolIsQuotedFromTheLinker) {
    const std::string found = opening("undefined");
    EXPECT_THAT(
        found, AllOf(HasSubstr("E4007"), HasSubstr("undefined symbol: mortise_test_symbol_that_nobody_has")));
    EXPECT_THAT(found, testing::Not(HasSubstr("Bad file descriptor")));
}

TEST(OpenPlugin, CallsThatChangeTheWholeProcessAreWarnedOf) {
    World world;
    world.plugin("plugins", "forbidden", {});
    Registry registry = discover(world);
    ASSERT_TRUE(registry.open(0, host()));
    EXPECT_THAT(registry.candidates()[0].warnings,
                testing::Contains(HasSubstr("calls what no plugin may: setenv")));
}

TEST(OpenPlugin, OtherMajorIsRefusedFromTheNote) {
    EXPECT_THAT(opening("abi_major", ManifestText().abi("2.0")),
                AllOf(HasSubstr("E4005"), HasSubstr("found 2.0")));
}

TEST(OpenPlugin, NewerMinorIsRefusedFromTheNote) {
    EXPECT_THAT(opening("abi_minor", ManifestText().abi("1.77")),
                AllOf(HasSubstr("E4005"), HasSubstr("1.77")));
}

TEST(OpenPlugin, ManifestMustNameTheLibrarysId) {
    EXPECT_THAT(opening("good", ManifestText().id("com.test.wrong")),
                AllOf(HasSubstr("E4006"), HasSubstr("'com.test.wrong'"), HasSubstr("'com.test.good'")));
}

TEST(OpenPlugin, ManifestMustNameTheLibrarysVersion) {
    EXPECT_THAT(opening("good", ManifestText().version("1.0.1")),
                AllOf(HasSubstr("E4006"), HasSubstr("'1.0.1'")));
}

TEST(OpenPlugin, ManifestMustNameTheLibrarysAbi) {
    EXPECT_THAT(opening("abi_major", ManifestText().abi("1.0")), HasSubstr("E4005"));
    EXPECT_THAT(opening("good", ManifestText().abi("1.1")), AllOf(HasSubstr("E4006"), HasSubstr("'1.1'")));
}

TEST(OpenPlugin, EntryPointMustSayTheSameAsTheNote) {
    EXPECT_THAT(opening("says_other"), AllOf(HasSubstr("E4006"), HasSubstr("com.test.impostor")));
}

TEST(OpenPlugin, RequiredFunctionThatIsNullIsNamed) {
    EXPECT_THAT(opening("null_function"), AllOf(HasSubstr("E4009"), HasSubstr("expected module")));
}

TEST(OpenPlugin, TableTooSmallForARequiredFunctionIsNamed) {
    EXPECT_THAT(opening("small_table"), AllOf(HasSubstr("E4009"), HasSubstr("expected module")));
}

TEST(OpenPlugin, PluginWithoutEntriesIsRefused) { EXPECT_THAT(opening("no_entries"), HasSubstr("E4009")); }
TEST(OpenPlugin, UnknownInterfaceIsRefused) {
    EXPECT_THAT(opening("unknown_interface"), AllOf(HasSubstr("E4009"), HasSubstr("99")));
}
TEST(OpenPlugin, EntryOfANewerMinorIsRefused) {
    EXPECT_THAT(opening("entry_minor"), AllOf(HasSubstr("E4005"), HasSubstr("1.9")));
}
TEST(OpenPlugin, EntryThatTheManifestHidesIsRefused) {
    EXPECT_THAT(opening("extra_entry"), AllOf(HasSubstr("E4006"), HasSubstr("'secret'")));
}
TEST(OpenPlugin, PluginThatRefusesToStartIsNamed) {
    EXPECT_THAT(opening("refuses"), AllOf(HasSubstr("E4008"), HasSubstr("com.test.good")));
}

TEST(OpenPlugin, EntryThatTheLibraryLacksIsRefused) {
    EXPECT_THAT(opening("good", ManifestText().scheme("sample", "sample").scheme("more", "more")),
                AllOf(HasSubstr("E4006"), HasSubstr("'more'")));
}

TEST(OpenPlugin, LargerTablesAndEntriesOfALaterSdkAreFine) {
    EXPECT_EQ(opening("future", ManifestText().scheme("sample", "a").scheme("second", "b")), "no error");
}

TEST(OpenPlugin, FloatingPointModeSurvivesConstructorsAndCalls) {
    for (const char* sample : {"rounding", "fast_math"}) {
        World world;
        world.plugin("plugins", sample, {});
        Registry registry = discover(world);
        volatile float tiny = 1e-39f, half = 0.5f;  // not normal: lost when the mode flushes to zero
        ASSERT_TRUE(choose_scheme(registry, "sample")) << sample;
        EXPECT_EQ(std::fegetround(), FE_TONEAREST) << sample;
        EXPECT_GT(tiny * half, 0.0f) << sample;
    }
}

TEST(OpenPlugin, ExceptionInsideAPluginBecomesStatusAndMessage) {
    World world;
    world.plugin(
        "plugins", "throwing",
        ManifestText()
            .id("com.test.throwing")
            .provides("{interface: architecture, id: throwing, architectures: [ThrowingForCausalLM]}"));
    Registry registry = discover(world);
    const auto chosen = registry.architecture("ThrowingForCausalLM", "", host());
    ASSERT_TRUE(chosen) << text_of(chosen);
    last_error().clear();
    const mortise_status status = PluginCall::call([&] { return chosen->table->build(nullptr, nullptr); });
    EXPECT_EQ(status, mortise_status{MORTISE_INTERNAL});
    EXPECT_THAT(last_error(), HasSubstr("the author forgot something"));
}

TEST(OpenPlugin, DigestOfTheManifestIsCompared) {
    World world;
    const std::string path = world.library("plugins", "good");
    world.manifest("plugins", "good", ManifestText().sha256(*digest_of(*File::open(path))));
    EXPECT_EQ(opening(world), "no error");
    world.manifest("plugins", "good", ManifestText().sha256(std::string(64, '0')));
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4013"), HasSubstr(std::string(64, '0'))));
}

TEST(OpenPlugin, DigestOfThePinIsCompared) {
    World world;
    world.plugin("plugins", "good", {});
    world.options.pin_sha256["com.test.good"] = std::string(64, '1');
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4013"), HasSubstr("plugins.pin")));
}

TEST(OpenPlugin, RequiredDigestMustBePinned) {
    World world;
    world.plugin("plugins", "good", {});
    world.options.require_hash = true;
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4013"), HasSubstr("plugins.pin.com.test.good.sha256")));
}

TEST(OpenPlugin, HashedFileIsTheOneThatIsMappedThoughItsNameIsTakenOver) {
    World world;
    const std::string path = world.library("plugins", "good");
    world.manifest("plugins", "good", ManifestText());
    world.options.pin_sha256["com.test.good"] = *digest_of(*File::open(path));
    const Registry registry = discover(world);
    auto checked = check_file(registry.candidates()[0], world.options);
    ASSERT_TRUE(checked) << text_of(checked);
    world.library("elsewhere", "refuses");
    fs::rename(world.root() + "/elsewhere/refuses.so", path);  // between check and opening
    const auto entries = open_plugin(registry.candidates()[0], std::move(*checked), world.options, host());
    EXPECT_TRUE(entries) << text_of(entries);
}

TEST(OpenPlugin, TwoPinnedPluginsAreNotMistakenForEachOther) {
    World world;
    for (const char* sample : {"good", "strong"}) {
        const std::string id = std::string("com.test.") + sample;
        world.options.pin_sha256[id] = *digest_of(*File::open(world.library("plugins", sample)));
        world.manifest("plugins", sample,
                       ManifestText().id(id).library(std::string(sample) + ".so").scheme("sample", sample));
    }
    Registry registry = discover(world);
    const auto good = choose_scheme(registry, "good"), strong = choose_scheme(registry, "strong");
    ASSERT_TRUE(good && strong);
    EXPECT_EQ(ask(*good->table, "")->score, 500u);
    EXPECT_EQ(ask(*strong->table, "")->score, 900u);
}

TEST(OpenPlugin, FileThatOthersMayWriteIsRefused) {
    World world;
    world.plugin("plugins", "good", {});
    chmod((world.root() + "/plugins/good.so").c_str(), 0777);
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4010"), HasSubstr("mode 0777"), HasSubstr("chmod go-w")));
    world.options.trust = Policy::warn;
    EXPECT_EQ(opening(world), "no error");
}

TEST(OpenPlugin, FolderThatOthersMayWriteIsRefused) {
    World world;
    world.plugin("open/plugins", "good", {});
    world.options.search.directories = {world.root() + "/open/plugins"};
    chmod((world.root() + "/open").c_str(), 0777);
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4010"), HasSubstr("/open"), HasSubstr("a folder above")));
}

TEST(OpenPlugin, ManifestThatOthersMayWriteIsRefused) {
    World world;
    world.plugin("plugins", "good", {});
    chmod((world.root() + "/plugins/good.yaml").c_str(), 0666);
    EXPECT_THAT(opening(world), AllOf(HasSubstr("E4010"), HasSubstr("good.yaml")));
}

TEST(OpenPlugin, InstallationIsAsTrustworthyAsItsProgram) {
    World world;
    world.plugin("prefix/lib/mortise/plugins", "good", {});
    chmod((world.root() + "/prefix/lib/mortise/plugins").c_str(), 0777);
    Registry registry = discover(world);
    EXPECT_TRUE(registry.open(0, host()));
    EXPECT_FALSE(registry.candidates()[0].warnings.empty());
}

TEST(OpenPlugin, BrokenOnesDoNotHurtTheGoodOne) {
    World world;
    world.plugin("plugins", "good", {});
    int n = 0;
    for (const char* sample : {"no_note", "undefined", "null_function", "refuses", "abi_major"}) {
        world.library("plugins", sample);
        world.manifest(
            "plugins", sample,
            ManifestText().id("com.broken.x" + std::to_string(n++)).library(std::string(sample) + ".so"));
    }
    world.write(world.folder("plugins") + "/nonsense.yaml", "][");
    world.folder("plugins/folder.yaml");
    Registry registry = discover(world);
    EXPECT_EQ(registry.broken_manifests().size(), 2u);
    const auto chosen = choose_scheme(registry, "sample");
    ASSERT_TRUE(chosen) << text_of(chosen);
    EXPECT_EQ(chosen->plugin, "com.test.good");
}

}  // namespace
}  // namespace mortise::registry::test
