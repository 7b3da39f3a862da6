#include "base/log.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace mortise::log {
namespace {

TEST(Log, writes_to_standard_error_from_the_level_on) {
    testing::internal::CaptureStderr();
    debug("quiet");
    info("loud {} %v");
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.find("quiet"), std::string::npos);
    EXPECT_NE(text.find("loud {} %v"), std::string::npos);
    EXPECT_EQ(level(), Level::info);
}

TEST(Log, level_names_read_back) {
    for (auto word : {"debug", "info", "warn", "error", "off"}) EXPECT_TRUE(parse_level(word)) << word;
    EXPECT_FALSE(parse_level("INFO"));
    set_level(Level::error);
    EXPECT_EQ(level(), Level::error);
    testing::internal::CaptureStderr();
    warn("hidden");
    error("shown");
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.find("hidden"), std::string::npos);
    EXPECT_NE(text.find("shown"), std::string::npos);
    set_level(Level::info);
}

TEST(Log, json_lines_parse_whatever_the_message_holds) {
    set_format(Format::json);
    testing::internal::CaptureStderr();
    warn("a \"quoted\"\nline");
    std::string text = testing::internal::GetCapturedStderr();
    set_format(Format::text);
    auto document = json::Document::parse(text, "log").value();
    EXPECT_EQ(document.root().find("message")->as_string().value(), "a \"quoted\"\nline");
    EXPECT_EQ(document.root().find("level")->as_string().value(), "warning");
}

}  // namespace
}  // namespace mortise::log
