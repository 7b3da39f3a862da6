#include "engine/text/tokenizer.h"

#include <ctime>
#include <random>

#include "engine_text/golden.h"

namespace mortise::text {
namespace {

class GoldenTokenizer : public testing::TestWithParam<std::string> {
  protected:
    Tokenizer tokenizer = golden::tokenizer(GetParam());
    json::Document cases = golden::document(golden::root() / "tokenizers" / GetParam() / "cases.json");
    const json::Node& list(std::string_view key) { return *cases.root().find(key); }
};

TEST_P(GoldenTokenizer, EncodesEveryCaseAsTheLibraryDoes) {
    ASSERT_GT(list("cases").size(), 100u);
    for (const auto& item : list("cases").items()) {
        const auto text = golden::string(*item, "text");
        EXPECT_EQ(tokenizer.encode(text, true).value(), golden::ids(*item->find("ids"))) << json::quote(text);
        EXPECT_EQ(tokenizer.encode(text, false).value(), golden::ids(*item->find("ids_no_special")))
            << json::quote(text);
    }
}

TEST_P(GoldenTokenizer, DecodesEveryCaseAsTheLibraryDoes) {
    for (const auto* key : {"cases", "decode_only"}) {
        for (const auto& item : list(key).items()) {
            const auto ids = golden::ids(*item->find("ids"));
            EXPECT_EQ(tokenizer.decode(ids, false).value(), golden::string(*item, "decode"));
            EXPECT_EQ(tokenizer.decode(ids, true).value(), golden::string(*item, "decode_skip_special"));
        }
    }
}

TEST_P(GoldenTokenizer, NamesEachTokenOfEachCase) {
    for (const auto& item : list("cases").items()) {
        const auto ids = golden::ids(*item->find("ids"));
        const auto& tokens = item->find("tokens")->items();
        ASSERT_EQ(ids.size(), tokens.size());
        for (size_t i = 0; i < ids.size(); ++i) {
            // The case shows the stretch of text that an added token took, white space of lstrip and rstrip
            // included.
            const auto token = tokenizer.token(ids[i]).value();
            EXPECT_NE(tokens[i]->text().find(token), std::string::npos)
                << token << " in " << tokens[i]->text();
            EXPECT_EQ(tokenizer.id_of(token).value_or(ids[i]), ids[i]);
        }
    }
}

TEST_P(GoldenTokenizer, FramesPairsAsTheLibraryDoes) {
    for (const auto& item : list("pairs").items())
        EXPECT_EQ(tokenizer.encode_pair(golden::string(*item, "a"), golden::string(*item, "b"), true).value(),
                  golden::ids(*item->find("ids")));
}

TEST_P(GoldenTokenizer, CountsItsTokens) {
    EXPECT_EQ(static_cast<int64_t>(tokenizer.vocab_size()), list("vocab").as_int().value());
    EXPECT_GE(tokenizer.id_end(), tokenizer.vocab_size());
    EXPECT_FALSE(tokenizer.token(tokenizer.id_end()).has_value());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer, testing::ValuesIn(golden::tokenizers(true)),
                         [](const auto& tested) { return tested.param; });

TEST(Tokenizer, RefusesOtherModelKindsByName) {
    const auto names = golden::tokenizers(false);
    ASSERT_FALSE(names.empty());
    for (const auto& name : names) {
        const auto made =
            Tokenizer::parse(golden::read(golden::root() / "tokenizers" / name / "tokenizer.json"), "t.json");
        ASSERT_FALSE(made) << name;
        EXPECT_EQ(made.error().code(), Code::unsupported_tokenizer) << to_string(made.error());
        EXPECT_EQ(made.error().first().file, "t.json");
        EXPECT_FALSE(made.error().first().found.empty());
        EXPECT_FALSE(made.error().first().fix.empty());
    }
}

std::string random_text(std::mt19937& random) {
    static const char32_t ranges[][2] = {
        {0x20, 0x7E},       {0x20, 0x20},     {0x09, 0x0D},     {0xA1, 0x17F},    {0x300, 0x36F},
        {0x400, 0x4FF},     {0x5D0, 0x5EA},   {0x900, 0x97F},   {0x4E00, 0x4EFF}, {0xAC00, 0xACFF},
        {0x1F300, 0x1F64F}, {0x2000, 0x206F}, {0xE000, 0xE00F}, {0x30, 0x39}};
    std::string text;
    const auto length = random() % 60;
    for (size_t i = 0; i < length; ++i) {
        const auto& range = ranges[random() % std::size(ranges)];
        const char32_t c = range[0] + random() % (range[1] - range[0] + 1);
        if (c < 0x80) {
            text += static_cast<char>(c);
        } else if (c < 0x800) {
            text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
        } else if (c < 0x10000) {
            text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                     static_cast<char>(0x80 | (c & 0x3F))};
        } else {
            text += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
                     static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
        }
    }
    return text;
}

TEST(Tokenizer, ByteLevelKindsWithoutNormalizerGiveEveryTextBack) {
    std::mt19937 random(7);
    for (const std::string name : {"gpt2", "llama3", "digits", "o200k", "deepseek"}) {
        const auto tokenizer = golden::tokenizer(name);
        for (int i = 0; i < 400; ++i) {
            const auto text = random_text(random);
            const auto ids = tokenizer.encode(text, false);
            ASSERT_TRUE(ids) << to_string(ids.error());
            EXPECT_EQ(tokenizer.decode(*ids, false).value(), text) << name;
        }
    }
}

TEST(Tokenizer, ByteFallbackGivesTextBackBehindItsFirstSpace) {
    std::mt19937 random(8);
    const auto tokenizer = golden::tokenizer("gemma");
    for (int i = 0; i < 400; ++i) {
        const auto text = random_text(random);
        EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false).value(), false).value(), text);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool instrumented = true;
#else
constexpr bool instrumented = false;
#endif

TEST(Tokenizer, AMebibyteOfOneCharacterTakesLessThanASecond) {
    for (const auto& name : golden::tokenizers(true)) {
        const auto tokenizer = golden::tokenizer(name);
        const bool thorough = name == "llama3" || name == "llama2";
        for (const std::string character : {"a", " ", "\n", "\xE4\xBD\xA0"}) {
            if (!thorough && character != "a") continue;
            std::string text;
            while (text.size() < (1u << 20)) text += character;
            const auto start = std::clock();
            const auto ids = tokenizer.encode(text, false);
            const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
            ASSERT_TRUE(ids) << name << ": " << to_string(ids.error());
            EXPECT_LT(seconds, instrumented ? 20.0 : 1.0) << name << " on " << json::quote(character);
        }
    }
}

TEST(Tokenizer, BytesThatAreNoUtf8CountAsReplacementCharacters) {
    const auto tokenizer = golden::tokenizer("llama3");
    EXPECT_EQ(tokenizer.encode("a\xFF\xE4\xBD z", false).value(),
              tokenizer.encode("a\xEF\xBF\xBD\xEF\xBF\xBD z", false).value());
}

// A complete byte-fallback tokenizer of a few tokens, with `extra` members of the model.
std::string small(const std::string& extra, const std::string& rest = "") {
    return R"({"model": {"type": "BPE", )" + extra +
           R"("vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": ["a b"]})" + rest + "}";
}

Code refusal(const std::string& text) {
    const auto made = Tokenizer::parse(text, "tokenizer.json");
    return made ? Code{} : made.error().code();
}

TEST(Tokenizer, ReadsMergesAsStringsAndDropsUnknownCharactersWithoutAnUnknownToken) {
    const auto tokenizer = Tokenizer::parse(small(""), "tokenizer.json");
    ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
    EXPECT_EQ(tokenizer->encode("abxaab", true).value(), (std::vector<uint32_t>{2, 0, 2}));
    EXPECT_EQ(tokenizer->decode(std::vector<uint32_t>{2, 9, 0}, false).value(), "ab a");
}

TEST(Tokenizer, AnAddedTokenThatTheOneBeforeTookWholeIsNoToken) {
    const auto made = Tokenizer::parse(
        small("", R"(, "added_tokens": [{"id": 4, "content": "  ", "lstrip": true, "rstrip": true}])"),
        "tokenizer.json");
    ASSERT_TRUE(made) << to_string(made.error());
    EXPECT_EQ(made->encode("a    b", false).value(), (std::vector<uint32_t>{0, 4, 1}));
}

TEST(Tokenizer, FusesUnknownCharactersOnlyWhenTold) {
    const auto apart = Tokenizer::parse(small(R"("unk_token": "<unk>", )"), "tokenizer.json");
    const auto fused =
        Tokenizer::parse(small(R"("unk_token": "<unk>", "fuse_unk": true, )"), "tokenizer.json");
    ASSERT_TRUE(apart && fused);
    EXPECT_EQ(apart->encode("axyb", false).value(), (std::vector<uint32_t>{0, 3, 3, 1}));
    EXPECT_EQ(fused->encode("axyb", false).value(), (std::vector<uint32_t>{0, 3, 1}));
}

TEST(Tokenizer, RefusesWhatItWouldOtherwiseGetWrong) {
    EXPECT_EQ(refusal(small(R"("dropout": 0.1, )")), Code::unsupported_tokenizer);
    EXPECT_EQ(refusal(small(R"("dropout": 0.0, )")), Code{});
    EXPECT_EQ(refusal(small(R"("new_option": true, )")), Code::unsupported_tokenizer);
    EXPECT_EQ(refusal(small("", R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": ""})")),
              Code::unsupported_tokenizer);
    EXPECT_EQ(refusal(small("", R"(, "normalizer": {"type": "NFC", "form": 2})")),
              Code::unsupported_tokenizer);
    EXPECT_EQ(refusal(small("", R"(, "pre_tokenizer": {"type": "UnicodeScripts"})")),
              Code::unsupported_tokenizer);
    EXPECT_EQ(refusal(small("", R"(, "decoder": {"type": "WordPiece"})")), Code::unsupported_tokenizer);
    EXPECT_EQ(
        refusal(small(
            "",
            R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"})")),
        Code::tokenizer_invalid);
    EXPECT_EQ(refusal(small("", R"(, "added_tokens": [{"id": 1, "content": "c"}])")),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(small("", R"(, "added_tokens": [{"id": 9, "content": "a"}])")),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})"),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})"),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})"),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "BPE", "vocab": {"a": 99999999}, "merges": []}})"),
              Code::tokenizer_invalid);
    EXPECT_EQ(
        refusal(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b c"]}})"),
        Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}})"),
              Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"version": "1.0"})"), Code::tokenizer_invalid);
    EXPECT_EQ(refusal(R"({"model": {"type": "WordLevel", "vocab": {}}})"), Code::unsupported_tokenizer);
    EXPECT_EQ(refusal("{"), Code::json_invalid);
}

TEST(Tokenizer, APatternThatBacktracksWithoutEndIsAnErrorAndNoHang) {
    const auto tokenizer = Tokenizer::parse(
        small(
            "",
            R"(, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"})"),
        "tokenizer.json");
    ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
    const auto ids = tokenizer->encode(std::string(60, 'a') + "b", false);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().code(), Code::value_range);
}

TEST(Tokenizer, MessagesPointAtTheLine) {
    const auto made = Tokenizer::parse(
        "{\"model\": {\"type\": \"BPE\",\n\"vocab\": {\n\"a\": 0},\n\"merges\": [\n]},\n\"decoder\": "
        "{\"type\": \"Odd\"}}",
        "tokenizer.json");
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().first().line, 6);
    EXPECT_EQ(made.error().first().file, "tokenizer.json");
}

}  // namespace
}  // namespace mortise::text
