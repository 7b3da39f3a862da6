// Plugins that released SDKs built, kept as binaries: this core loads them all.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>

#include "registry/plugin_world.h"

namespace mortise::registry::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> releases() {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(MORTISE_SOURCE_DIR "/tests/golden/plugins"))
        if (entry.is_directory()) out.push_back(entry.path().string());
    std::ranges::sort(out);
    return out;
}

class ReleasedSdk : public testing::TestWithParam<std::string> {};

TEST_P(ReleasedSdk, PluginStillOpens) {
    World world;
    world.options.search.directories = {GetParam()};
    world.options.trust = Policy::warn;  // a checkout may belong to anybody
    Registry registry = discover(world);
    ASSERT_EQ(registry.candidates().size(), 1u);
    const auto chosen = registry.scheme_by_id("weave", host());
    if (!chosen && text_of(chosen).find("for another machine") != std::string::npos)
        GTEST_SKIP() << "the binary is for another machine: " << text_of(chosen);
    EXPECT_TRUE(chosen) << text_of(chosen);
}

std::string name_of(const testing::TestParamInfo<std::string>& release) {
    std::string text = fs::path(release.param).filename();
    std::ranges::replace_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return text;
}

INSTANTIATE_TEST_SUITE_P(Each, ReleasedSdk, testing::ValuesIn(releases()), name_of);

}  // namespace
}  // namespace mortise::registry::test
