// One set of codes and scales in two dialects has one set of digests: the bridge between dialects.
#include <gtest/gtest.h>

#include "load/digest.h"
#include "plan/plan.h"

namespace mortise::load {
namespace {

Digests digests_of(const std::string& name) {
    static registry::Registry registry = [] {
        registry::Options options;
        options.search.directories = {MORTISE_BINARY_DIR "/lib/mortise/plugins"};
        return registry::Registry::discover(options).value();
    }();
    plan::Options options;
    options.path = std::string(MORTISE_SOURCE_DIR) + "/tests/golden/checkpoints/" + name + "/checkpoint";
    options.bind_kernels = false;
    const auto planned = plan::make(options, registry);
    EXPECT_TRUE(planned) << to_string(planned.error());
    Team team(2);
    return planned ? digest(Origin(**planned), team).value() : Digests{};
}

// [first, second]: folders of the golden checkpoints.
class Twins : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Twins, HaveEqualValuesSpecsAndActivations) {
    const Digests one = digests_of(GetParam().first), other = digests_of(GetParam().second);
    ASSERT_EQ(one.parts.size(), other.parts.size());
    ASSERT_GT(one.parts.size(), 0u);
    for (size_t i = 0; i < one.parts.size(); ++i) {
        EXPECT_EQ(one.parts[i].name, other.parts[i].name);
        EXPECT_EQ(one.parts[i].values, other.parts[i].values) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].spec, other.parts[i].spec) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].act, other.parts[i].act) << one.parts[i].name;
    }
}
INSTANTIATE_TEST_SUITE_P(Golden, Twins, ::testing::Values(std::pair("mo_fp8_pcpt", "mo_fp8_pcpt_ct_twin")));

}  // namespace
}  // namespace mortise::load
