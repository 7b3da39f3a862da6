#include "base/text.h"

#include <gtest/gtest.h>

#include <array>

#include "base/progress.h"

namespace mortise {
namespace {

TEST(Text, splits_trims_and_joins) {
    EXPECT_EQ(split("a.b..c", '.'), (std::vector<std::string_view>{"a", "b", "", "c"}));
    EXPECT_EQ(split("", '.').size(), 1u);
    EXPECT_EQ(trim("  a b\r\n"), "a b");
    EXPECT_EQ(trim(" \t"), "");
    std::vector<std::string> words = {"a", "b"};
    EXPECT_EQ(join(words, ", "), "a, b");
}

TEST(Text, bytes_read_well) {
    EXPECT_EQ(human_bytes(0), "0 B");
    EXPECT_EQ(human_bytes(1023), "1023 B");
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
    EXPECT_EQ(human_bytes(uint64_t{1288490189}), "1.2 GiB");
    EXPECT_EQ(human_bytes(~uint64_t{0}), "16.0 EiB");
}

TEST(Text, edit_distance_counts_swaps_once) {
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
    EXPECT_EQ(edit_distance("gropu", "group"), 1u);
    EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(Text, suggests_the_nearest_word_or_none) {
    const std::array<std::string_view, 4> keys = {"group_size", "bits", "version", "desc_act"};
    EXPECT_EQ(nearest("gruop_size", keys), "group_size");
    EXPECT_EQ(nearest("bit", keys), "bits");
    EXPECT_EQ(nearest("zzz", keys), "");
    EXPECT_EQ(nearest("b", keys), "");
    EXPECT_EQ(did_you_mean("versoin", keys), "did you mean 'version'?");
    EXPECT_EQ(did_you_mean("nothing like it", keys), "");
}

TEST(Text, utf8_is_checked_at_every_length) {
    EXPECT_TRUE(valid_utf8("plain ascii that is longer than eight"));
    EXPECT_TRUE(valid_utf8("\u00e9\u20ac\U0001F600"));
    for (std::string bad :
         {"\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5", "\xC3"}) {
        EXPECT_FALSE(valid_utf8(bad));
        EXPECT_EQ(first_invalid_utf8("0123456789" + bad), 10u);
    }
}

TEST(Progress, line_shows_share_rate_and_rest) {
    using Unit = Progress::Unit;
    EXPECT_EQ(Progress::line("load", 512, 2048, 1.0, Unit::bytes),
              "load 25 % 512 B/2.0 KiB 512 B/s 3 s left");
    EXPECT_EQ(Progress::line("load", 10, 10, 2.0, Unit::items), "load 100 % 10/10 5/s");
    EXPECT_EQ(Progress::line("load", 0, 0, 0.0, Unit::items), "load 100 % 0/0");
}

TEST(Progress, silent_prints_nothing_and_a_file_gets_whole_lines) {
    for (bool silent : {true, false}) {
        std::FILE* stream = std::tmpfile();
        ASSERT_NE(stream, nullptr);
        {
            Progress progress("load", 100,
                              {.unit = Progress::Unit::items, .silent = silent, .stream = stream});
            for (uint64_t done : {40u, 80u}) {
                struct timespec pause = {0, 110'000'000};
                ::nanosleep(&pause, nullptr);
                progress.update(done);
                progress.update(done);  // too soon: prints nothing
            }
        }
        std::rewind(stream);
        std::string text(4096, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), stream));
        std::fclose(stream);
        EXPECT_EQ(text.starts_with("load 40 % 40/100"), !silent);
        EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), silent ? 0 : 2);
        EXPECT_EQ(text.find('\r'), std::string::npos);
    }
}

}  // namespace
}  // namespace mortise
