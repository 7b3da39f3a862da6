// Names against patterns: whole components, never substrings.
#include "plan/patterns.h"

#include <gtest/gtest.h>

#include <chrono>

#include "mortise/abi_base.h"

namespace mortise::plan {
namespace {

bool match(uint32_t kind, std::string_view pattern, std::string_view name) {
    return matches(kind, pattern, name).value();
}

TEST(Patterns, ComponentIsNotASubstring) {
    EXPECT_TRUE(match(MORTISE_PATTERN_COMPONENT, "mlp.gate", "model.layers.0.mlp.gate"));
    EXPECT_FALSE(match(MORTISE_PATTERN_COMPONENT, "mlp.gate", "model.layers.0.mlp.gate_up_proj"));
    EXPECT_FALSE(match(MORTISE_PATTERN_COMPONENT, "layers.1", "model.layers.10.mlp"));
}

TEST(Patterns, PrefixEndsAtADot) {
    EXPECT_TRUE(match(MORTISE_PATTERN_PREFIX, "model.layers.1", "model.layers.1.mlp"));
    EXPECT_FALSE(match(MORTISE_PATTERN_PREFIX, "model.layers.1", "model.layers.10.mlp"));
}

TEST(Patterns, GlobCrossesDotsAndMatchesWhole) {
    EXPECT_TRUE(match(MORTISE_PATTERN_GLOB, "model.*.bias", "model.layers.0.q_proj.bias"));
    EXPECT_FALSE(match(MORTISE_PATTERN_GLOB, "lm_head", "lm_head.weight"));
    EXPECT_TRUE(match(MORTISE_PATTERN_GLOB, "lm_head*", "lm_head.weight"));
}

TEST(Patterns, RegexIsAnchoredAtTheStartOnly) {
    EXPECT_TRUE(match(MORTISE_PATTERN_REGEX, "model", "model.layers.0"));
    EXPECT_FALSE(match(MORTISE_PATTERN_REGEX, "layers", "model.layers.0"));
    EXPECT_TRUE(match(MORTISE_PATTERN_REGEX, ".*self_attn.*_proj$", "model.layers.0.self_attn.q_proj"));
}

TEST(Patterns, LookAroundWorks) {
    EXPECT_TRUE(match(MORTISE_PATTERN_REGEX, "model\\.(?!vision).*", "model.layers.0"));
    EXPECT_FALSE(match(MORTISE_PATTERN_REGEX, "model\\.(?!vision).*", "model.vision.0"));
}

TEST(Patterns, EvilExpressionsEndQuickly) {
    const auto start = std::chrono::steady_clock::now();
    (void)matches(MORTISE_PATTERN_REGEX, "(a+)+$", std::string(400, 'a') + "b");
    (void)matches(MORTISE_PATTERN_REGEX, "(?=a)(a+)+$", std::string(400, 'a') + "b");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Patterns, MalformedOnesAreErrors) {
    EXPECT_FALSE(matches(MORTISE_PATTERN_REGEX, "(", "x"));
    EXPECT_FALSE(matches(MORTISE_PATTERN_EXACT, "", "x"));
    EXPECT_FALSE(matches(99, "x", "x"));
    EXPECT_FALSE(matches(MORTISE_PATTERN_EXACT, std::string(2000, 'x'), "x"));
}

}  // namespace
}  // namespace mortise::plan
