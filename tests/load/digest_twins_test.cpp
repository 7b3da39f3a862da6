// One set of codes and scales has one set of digests: in two dialects, and wherever its bytes lie in a file.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "load/digest.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

Digests digests_of(const std::string& path) {
    const auto planned = test::try_plan(path);
    EXPECT_TRUE(planned) << to_string(planned.error());
    Team team(2);
    return planned ? digest(Origin(**planned), team).value() : Digests{};
}

void expect_equal(const Digests& one, const Digests& other) {
    ASSERT_EQ(one.parts.size(), other.parts.size());
    ASSERT_GT(one.parts.size(), 0u);
    for (size_t i = 0; i < one.parts.size(); ++i) {
        EXPECT_EQ(one.parts[i].name, other.parts[i].name);
        EXPECT_EQ(one.parts[i].values, other.parts[i].values) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].spec, other.parts[i].spec) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].act, other.parts[i].act) << one.parts[i].name;
    }
}

// [first, second]: folders of the golden checkpoints.
class Twins : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Twins, HaveEqualValuesSpecsAndActivations) {
    expect_equal(digests_of(test::golden(GetParam().first)), digests_of(test::golden(GetParam().second)));
}
INSTANTIATE_TEST_SUITE_P(Golden, Twins, ::testing::Values(std::pair("mo_fp8_pcpt", "mo_fp8_pcpt_ct_twin")));

// Spaces may fill a header up to any length: tensor data then starts on an odd byte.
TEST(Digests, DoNotDependOnWhereTensorDataStarts) {
    const std::string source = test::golden("mo_fp8_pcpt");
    const test::TempFolder folder;
    for (const auto& entry : std::filesystem::directory_iterator(source)) {
        std::string bytes = test::read_bytes(entry.path());
        if (entry.path().extension() == ".safetensors") {
            uint64_t length = 0;
            std::memcpy(&length, bytes.data(), sizeof length);
            const uint64_t spaces = 8 - (length + 7) % 8;
            bytes.insert(8 + length, spaces, ' ');
            length += spaces;
            ASSERT_EQ(length % 8, 1u);
            std::memcpy(bytes.data(), &length, sizeof length);
        }
        folder.write(entry.path().filename().string(), bytes);
    }
    expect_equal(digests_of(folder.path()), digests_of(source));
}

}  // namespace
}  // namespace mortise::load
