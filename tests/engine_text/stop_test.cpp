#include "engine/text/stop.h"

#include <gtest/gtest.h>

#include <random>

namespace mortise::text {
namespace {

TEST(StopStrings, HoldBackWhatMayBecomeAStop) {
    StopStrings stop({"\n\nUser:"});
    EXPECT_EQ(stop.push("Hello\n"), "Hello");
    EXPECT_EQ(stop.push("there\n"), "\nthere");
    EXPECT_EQ(stop.push("\nUs"), "");
    EXPECT_FALSE(stop.stopped());
    EXPECT_EQ(stop.push("er: no"), "");
    EXPECT_TRUE(stop.stopped());
    EXPECT_EQ(stop.matched(), "\n\nUser:");
    EXPECT_EQ(stop.push("more"), "");
    EXPECT_EQ(stop.flush(), "");
}

TEST(StopStrings, FlushGivesWhatNeverBecameAStop) {
    StopStrings stop({"END"});
    EXPECT_EQ(stop.push("the EN"), "the ");
    EXPECT_EQ(stop.flush(), "EN");
    EXPECT_FALSE(stop.stopped());
}

TEST(StopStrings, TheOneThatEndsFirstCountsAndOfThoseTheLongest) {
    StopStrings inner({"abcd", "bc"});
    EXPECT_EQ(inner.push("xabcd"), "xa");
    EXPECT_EQ(inner.matched(), "bc");
    StopStrings longest({"c", "abc"});
    EXPECT_EQ(longest.push("xabc"), "x");
    EXPECT_EQ(longest.matched(), "abc");
}

TEST(StopStrings, WithoutStopsEverythingPasses) {
    StopStrings none({""});
    EXPECT_EQ(none.push("abc"), "abc");
    EXPECT_FALSE(none.stopped());
}

TEST(StopStrings, TheResultDoesNotDependOnTheChunks) {
    std::mt19937 random(3);
    const auto word = [&](size_t longest) {
        std::string text;
        for (size_t n = 1 + random() % longest; n > 0; --n) text += static_cast<char>('a' + random() % 2);
        return text;
    };
    int stopped = 0;
    for (int round = 0; round < 3000; ++round) {
        const std::vector<std::string> stops{word(6), word(6), word(4)};
        const std::string text = word(20);
        StopStrings whole(stops), apart(stops);
        std::string expected = whole.push(text);
        expected += whole.flush();
        std::string printed;
        for (size_t at = 0; at < text.size();) {
            const size_t n = 1 + random() % 3;
            printed += apart.push(text.substr(at, n));
            at += n;
        }
        printed += apart.flush();
        ASSERT_EQ(printed, expected) << text << " with " << stops[0] << ", " << stops[1] << ", " << stops[2];
        ASSERT_EQ(apart.stopped(), whole.stopped());
        ASSERT_EQ(apart.matched(), whole.matched());
        stopped += whole.stopped();
    }
    EXPECT_GT(stopped, 500);
    EXPECT_LT(stopped, 3000);
}

TEST(StopTokens, AreSortedAndFound) {
    const StopTokens stop({7, 2, 7});
    EXPECT_EQ(stop.ids(), (std::vector<uint32_t>{2, 7}));
    EXPECT_TRUE(stop.contains(7));
    EXPECT_FALSE(stop.contains(3));
}

}  // namespace
}  // namespace mortise::text
