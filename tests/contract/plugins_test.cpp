// What every plugin of the tree keeps, found through its manifest: a new one is tested without a line here.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "plan/plan.h"
#include "registry/library_file.h"
#include "registry/registry.h"

namespace mortise::registry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> files_in(const std::string& folder, const std::string& ending) {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().string().ends_with(ending)) out.push_back(entry.path().string());
    std::ranges::sort(out);
    return out;
}

std::vector<std::string> manifests() { return files_in(MORTISE_BINARY_DIR "/lib/mortise/plugins", ".yaml"); }
std::vector<std::string> checkpoints() {
    return files_in(MORTISE_SOURCE_DIR "/tests/golden/checkpoints", "");
}

Registry discover() {
    Options options;
    options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
    options.search.environment = [](std::string_view) { return std::nullopt; };
    options.search.admin_directory = "";
    return Registry::discover(options).value();
}

std::string stem_of(const testing::TestParamInfo<std::string>& info) {
    std::string out = fs::path(info.param).stem().string();
    std::ranges::replace_if(out, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return out;
}

class Plugin : public testing::TestWithParam<std::string> {};

TEST_P(Plugin, HasAManifestOfItsOwnName) {
    const auto manifest = read_manifest(GetParam());
    ASSERT_TRUE(manifest) << to_string(manifest.error());
    const std::string stem = fs::path(GetParam()).stem();
    std::string id = manifest->id;  // where file names have '_', ids may have '-'
    std::ranges::replace(id, '-', '_');
    EXPECT_EQ(id, "org.mortise." + stem);
    EXPECT_EQ(fs::path(manifest->library).filename(), stem + ".so");
    EXPECT_FALSE(manifest->description.empty());
    EXPECT_FALSE(manifest->license.empty());
}

TEST_P(Plugin, ShowsOneSymbolAndCallsNothingForbidden) {
    const auto facts = examine(read_manifest(GetParam())->library);
    ASSERT_TRUE(facts) << to_string(facts.error());
    EXPECT_THAT(facts->exports, ElementsAre(MORTISE_PLUGIN_SYMBOL));
    EXPECT_THAT(forbidden_imports(*facts), IsEmpty());
    EXPECT_FALSE(facts->build_id.empty());
}

TEST_P(Plugin, Opens) {
    Registry registry = discover();
    for (size_t i = 0; i < registry.candidates().size(); ++i) {
        if (registry.candidates()[i].manifest.path != GetParam()) continue;
        const Status status = registry.open(i, plan::host());
        EXPECT_TRUE(status) << to_string(status.error());
        return;
    }
    FAIL() << "not found on the search path";
}

INSTANTIATE_TEST_SUITE_P(OfTheTree, Plugin, testing::ValuesIn(manifests()), stem_of);

class GoldenCheckpoint : public testing::TestWithParam<std::string> {};

TEST_P(GoldenCheckpoint, IsClaimedByAtMostOneSchemeAndOneArchitecture) {
    Registry registry = discover();
    plan::Options options;
    options.path = GetParam() + "/checkpoint";
    options.bind_kernels = false;
    const auto planned = plan::make(options, registry);
    const std::string error = planned ? "" : to_string(planned.error());
    std::map<Interface, std::vector<std::string>> claims;
    for (const Decision& each : registry.decisions())
        if (each.accepted &&
            (each.stage == "match" || (each.stage == "chosen" && each.kind == Interface::architecture)))
            claims[each.kind].push_back(each.entry);
    for (const auto& [kind, ids] : claims) EXPECT_EQ(ids.size(), 1u) << testing::PrintToString(ids) << error;
    if (planned) {
        EXPECT_EQ(claims[Interface::scheme].size(), 1u);
        EXPECT_EQ(claims[Interface::architecture].size(), 1u);
    } else {
        EXPECT_NE(planned.error().code(), Code::plugin_ambiguous) << error;
    }
}

INSTANTIATE_TEST_SUITE_P(OfTheTree, GoldenCheckpoint, testing::ValuesIn([] {
                             auto folders = checkpoints();
                             std::erase_if(folders,
                                           [](const std::string& path) { return !fs::is_directory(path); });
                             return folders;
                         }()),
                         stem_of);

}  // namespace
}  // namespace mortise::registry
