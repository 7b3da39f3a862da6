// Frequencies against values computed from the formulae of the papers, by hand and apart from the SDK.
#include "mortise/sdk/rope.h"

#include <gtest/gtest.h>

#include "support/fake_host.h"

namespace mortise::sdk {
namespace {

using test::FakeHost;

Rope rope_of(const std::string& text, uint64_t dim = 8) {
    host_slot() = FakeHost::instance().table();
    FakeHost::instance().reset();
    return read_rope(Config(FakeHost::instance().file("config.json", text)), dim);
}
void expect_near(const std::vector<float>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6 * want[i]) << i;
}

TEST(Rope, TurnsByPowersOfItsBase) {
    expect_near(rope_of(R"({"max_position_embeddings": 64, "rope_theta": 10000})").frequencies,
                {1, 0.1, 0.01, 0.001});
    expect_near(rope_of(R"({"max_position_embeddings": 64})").frequencies, {1, 0.1, 0.01, 0.001});
}

TEST(Rope, ReadsBothSpellingsAlike) {
    const auto now = rope_of(
        R"({"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 100, "rope_type": "linear", "factor": 4}})");
    EXPECT_EQ(FakeHost::instance().unread(), "");
    const auto old = rope_of(
        R"({"max_position_embeddings": 64, "rope_theta": 100, "rope_scaling": {"type": "linear", "factor": 4}})");
    EXPECT_EQ(FakeHost::instance().unread(), "");
    EXPECT_EQ(now.frequencies, old.frequencies);
    const auto beside =
        rope_of(R"({"max_position_embeddings": 64, "rope_theta": 100, "rope_type": "linear", "factor": 4})");
    EXPECT_EQ(FakeHost::instance().unread(), "");
    EXPECT_EQ(now.frequencies, beside.frequencies) << "the object's keys among those of the model";
    expect_near(now.frequencies, {0.25, 0.25 / std::sqrt(10.0), 0.025, 0.025 / std::sqrt(10.0)});
}

TEST(Rope, Llama3KeepsShortWavesAndStretchesLongOnes) {
    const auto rope = rope_of(
        R"({"max_position_embeddings": 8192, "rope_theta": 10000, "rope_scaling": {"rope_type": "llama3", "factor": 8,
        "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 1024}})");
    // Wavelengths 6.28, 62.8, 628, 6283: below 256 kept, above 1024 divided by 8, 628 in between.
    const double smooth = (1024 / (2 * std::numbers::pi * 100) - 1) / 3;
    expect_near(rope.frequencies, {1, 0.1, (1 - smooth) * 0.01 / 8 + smooth * 0.01, 0.001 / 8});
}

TEST(Rope, YarnRampsBetweenItsTwoCorrections) {
    const auto rope = rope_of(
        R"({"max_position_embeddings": 256, "rope_theta": 10000, "rope_scaling": {"rope_type": "yarn", "factor": 4,
        "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1}})");
    // c(32) = 8 ln(64 / 64 pi) / (2 ln 1e4) < 0 -> 0; c(1) = 8 ln(10.19) / 18.42 = 1.008 -> 2: ramp 0, 1/2,
    // 1, 1.
    expect_near(rope.frequencies, {1, 0.1 / 4 * 0.5 + 0.1 * 0.5, 0.0025, 0.00025});
    EXPECT_NEAR(rope.amplitude, 0.1 * std::log(4) + 1, 1e-12);
}

TEST(Rope, YarnTakesItsAmplitudeFromTheConfigFirst) {
    const std::string head =
        R"({"max_position_embeddings": 256, "rope_scaling": {"rope_type": "yarn", "factor": 4)";
    EXPECT_EQ(rope_of(head + R"(, "attention_factor": 1.5}})").amplitude, 1.5);
    EXPECT_EQ(rope_of(head + R"(, "mscale": 1, "mscale_all_dim": 1}})").amplitude, 1.0);
}

TEST(Rope, DynamicLeavesTheBaseToTheLength) {
    const auto rope =
        rope_of(R"({"max_position_embeddings": 64, "rope_scaling": {"rope_type": "dynamic", "factor": 2}})");
    expect_near(rope.frequencies, {1, 0.1, 0.01, 0.001});
    EXPECT_EQ(rope.dynamic_factor, 2);
    EXPECT_EQ(rope.max_positions, 64u);
}

TEST(Rope, LongropeHasTwoListsAndOneAmplitude) {
    const auto rope = rope_of(
        R"({"max_position_embeddings": 64, "original_max_position_embeddings": 16, "rope_scaling": {"type": "longrope",
        "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 4, 8]}})");
    expect_near(rope.frequencies, {1, 0.1, 0.01, 0.001});
    expect_near(rope.long_frequencies, {1, 0.05, 0.0025, 0.000125});
    EXPECT_EQ(rope.long_from, 16u);
    EXPECT_NEAR(rope.amplitude, std::sqrt(1 + std::log(4) / std::log(16)), 1e-12);
}

TEST(Rope, RefusesWhatItDoesNotKnow) {
    EXPECT_THROW(rope_of(R"({"max_position_embeddings": 64, "rope_scaling": {"type": "ntk-by-parts"}})"),
                 Unsupported);
    EXPECT_THROW(rope_of(R"({"max_position_embeddings": 64, "rope_scaling": {"type": "linear"}})"), Refused);
    EXPECT_THROW(
        rope_of(
            R"({"max_position_embeddings": 64, "original_max_position_embeddings": 16, "rope_scaling": {"type": "longrope",
        "short_factor": [1], "long_factor": [1]}})"),
        Refused);
}

}  // namespace
}  // namespace mortise::sdk
