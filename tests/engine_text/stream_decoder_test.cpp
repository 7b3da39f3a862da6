#include "engine/text/stream_decoder.h"

#include "engine/text/unicode.h"
#include "engine_text/golden.h"

namespace mortise::text {
namespace {

class GoldenStream : public testing::TestWithParam<std::string> {
  protected:
    Tokenizer tokenizer = golden::tokenizer(GetParam());
    json::Document cases = golden::document(golden::root() / "tokenizers" / GetParam() / "cases.json");
};

TEST_P(GoldenStream, PrintsTheChunksOfTheLibrary) {
    ASSERT_GT(cases.root().find("incremental")->size(), 20u);
    for (const auto& item : cases.root().find("incremental")->items()) {
        StreamDecoder stream(tokenizer, item->find("skip_special")->as_bool().value());
        const auto ids = golden::ids(*item->find("ids"));
        const auto& chunks = item->find("chunks")->items();
        for (size_t i = 0; i < ids.size(); ++i) {
            const auto chunk = stream.push(ids[i]);
            ASSERT_TRUE(chunk) << to_string(chunk.error());
            // Where bytes that follow printed ones are no text, the library gives up (its last chunk is the
            // error); the stream goes on.
            if (i >= chunks.size() || chunks[i]->kind() == json::Kind::object) continue;
            EXPECT_EQ(*chunk, chunks[i]->kind() == json::Kind::null ? "" : chunks[i]->text());
        }
    }
}

TEST_P(GoldenStream, PrintsTheWholeTextInTheEndAndOnlyWholeCharacters) {
    for (const auto& item : cases.root().find("cases")->items()) {
        const auto ids = golden::ids(*item->find("ids"));
        StreamDecoder stream(tokenizer, true);
        std::string printed;
        for (const auto id : ids) {
            const auto chunk = stream.push(id).value();
            EXPECT_TRUE(is_valid_utf8(chunk));
            printed += chunk;
        }
        printed += stream.flush().value();
        EXPECT_EQ(printed, golden::string(*item, "decode_skip_special"));
    }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenStream, testing::ValuesIn(golden::tokenizers(true)),
                         [](const auto& tested) { return tested.param; });

TEST(StreamDecoder, EndlessBytesThatAreNoTextArePrintedInBoundedPortions) {
    const auto tokenizer = golden::tokenizer("llama2");
    const auto byte = tokenizer.id_of("<0xE4>");
    ASSERT_TRUE(byte);
    StreamDecoder stream(tokenizer, true);
    size_t printed = 0;
    for (int i = 0; i < 2000; ++i) printed += stream.push(*byte).value().size();
    EXPECT_GT(printed, 1000u);
    printed += stream.flush().value().size();
    EXPECT_EQ(printed, 2000 * replacement_utf8.size());
}

TEST(StreamDecoder, FlushStartsAnew) {
    const auto tokenizer = golden::tokenizer("llama2");
    StreamDecoder stream(tokenizer, true);
    const auto ids = tokenizer.encode("Hello", false).value();
    for (int round = 0; round < 2; ++round) {
        std::string text;
        for (const auto id : ids) text += stream.push(id).value();
        EXPECT_EQ(text + stream.flush().value(), "Hello");
    }
}

}  // namespace
}  // namespace mortise::text
