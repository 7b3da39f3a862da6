// The container over the plugin border: what it gives, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins_gguf/make_file.h"
#include "plugins_gguf/open.h"

namespace mortise {
namespace {

using test::GgufBytes;
using test::GgufMaker;
using test::tiny_gguf;
using ::testing::HasSubstr;

std::string refusal(const std::string& bytes) {
    const auto opened = test::open_bytes(bytes);
    return opened ? "" : to_string(opened.error());
}

TEST(GgufContainer, GivesTensorsWithTheSlowestAxisFirst) {
    auto maker = tiny_gguf();
    maker.tensors[4].type = 8;  // blk.0.attn_q as q8_0
    maker.tensors[4].bytes = 32 * 34;
    const auto opened = test::open_bytes(maker.render());
    ASSERT_TRUE(opened) << to_string(opened.error());
    EXPECT_EQ(opened->name_space, "gguf");
    const auto* down = opened->catalog.find("blk.0.ffn_down.weight");
    ASSERT_NE(down, nullptr);
    EXPECT_EQ(to_string(down->shape), "[32,64]");
    EXPECT_EQ(down->dtype, DType::f32);
    EXPECT_EQ(down->encoding, "");
    const auto* q = opened->catalog.find("blk.0.attn_q.weight");
    ASSERT_NE(q, nullptr);
    EXPECT_EQ(to_string(q->shape), "[32,34]");
    EXPECT_EQ(q->dtype, DType::u8);
    EXPECT_EQ(q->encoding, "q8_0");
    EXPECT_EQ(q->offset % 32, 0u);
}

TEST(GgufContainer, KeepsMetadataAsText) {
    const auto opened =
        test::open_bytes(tiny_gguf().texts("general.languages", {"en", "d\xC3\xA9"}).render());
    ASSERT_TRUE(opened) << to_string(opened.error());
    EXPECT_EQ(opened->metadata.find("llama.rope.freq_base")->second, "1e+05");
    EXPECT_EQ(opened->metadata.find("general.languages")->second, "[\"en\", \"d\xC3\xA9\"]");
}

TEST(GgufContainer, ReadsVersionTwo) {
    auto maker = tiny_gguf();
    maker.version = 2;
    EXPECT_EQ(refusal(maker.render()), "");
}

TEST(GgufContainer, RefusesOtherVersionsAsUnsupported) {
    for (const uint32_t version : {0u, 1u, 4u, 0x03000000u}) {
        auto maker = tiny_gguf();
        maker.version = version;
        const auto opened = test::open_bytes(maker.render());
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().code(), Code::unsupported_container);
    }
}

TEST(GgufContainer, RefusesAFileCutShortAtAnyLength) {
    const std::string whole = tiny_gguf().render();
    // The data is all alike: its length is tried in steps.
    for (size_t size = 4; size < whole.size(); size += size < 1500 ? 1 : 1009) {
        const auto opened = test::open_bytes(whole.substr(0, size));
        ASSERT_FALSE(opened) << size;
        ASSERT_EQ(opened.error().code(), Code::header_incomplete)
            << size << ": " << to_string(opened.error());
    }
}

TEST(GgufContainer, RefusesCountsThatTheFileCannotHold) {
    for (const uint64_t count : {uint64_t{1}, uint64_t{1} << 32, ~uint64_t{0} - 20}) {
        auto maker = tiny_gguf();
        maker.extra_tensors = count;
        EXPECT_NE(refusal(maker.render()), "") << count;
        maker = tiny_gguf();
        maker.extra_keys = count;
        EXPECT_NE(refusal(maker.render()), "") << count;
    }
    for (const uint32_t type : {0u, 5u, 6u, 7u, 8u, 12u}) {
        GgufBytes list;
        list.number(type).number(uint64_t{1} << 60);
        EXPECT_THAT(refusal(tiny_gguf().add("general.list", 9, list).render()), HasSubstr("general.list"))
            << type;
    }
    EXPECT_THAT(refusal(tiny_gguf().add("general.long", 8, GgufBytes().number(~uint64_t{0})).render()),
                HasSubstr("general.long"));
}

TEST(GgufContainer, RefusesNamesThatOccurTwice) {
    auto maker = tiny_gguf();
    maker.tensors.back().name = "output_norm.weight";
    EXPECT_THAT(refusal(maker.render()), HasSubstr("E2011]: output_norm.weight: tensor occurs twice"));
    EXPECT_THAT(refusal(tiny_gguf().u32("llama.block_count", 1).render()),
                HasSubstr("E2011]: llama.block_count"));
}

TEST(GgufContainer, RefusesMalformedValuesNamingTheKey) {
    EXPECT_THAT(refusal(tiny_gguf().add("general.odd", 13, {}).render()), HasSubstr("general.odd"));
    EXPECT_THAT(refusal(tiny_gguf().flag("general.odd", 2).render()), HasSubstr("general.odd"));
    EXPECT_THAT(refusal(tiny_gguf().add("general.odd", 10, GgufBytes().number(~uint64_t{0})).render()),
                HasSubstr("general.odd"));
    GgufBytes nested;
    nested.number(uint32_t{9}).number(uint64_t{1}).number(uint32_t{0}).number(uint64_t{0});
    EXPECT_THAT(refusal(tiny_gguf().add("general.odd", 9, nested).render()), HasSubstr("array of arrays"));
    EXPECT_THAT(refusal(tiny_gguf().u32("", 1).render()), HasSubstr("no proper length"));
    EXPECT_THAT(refusal(tiny_gguf().u32("\xFF", 1).render()), HasSubstr("not UTF-8"));
    EXPECT_THAT(refusal(tiny_gguf().text("general.alignment", "32").render()),
                HasSubstr("general.alignment"));
}

TEST(GgufContainer, FollowsTheAlignmentAndRefusesImpossibleOnes) {
    EXPECT_EQ(refusal(tiny_gguf().u32("general.alignment", 256).render(256)), "");
    for (const uint32_t alignment : {0u, 3u, 24u, 1u << 20})
        EXPECT_THAT(refusal(tiny_gguf().u32("general.alignment", alignment).render()),
                    HasSubstr("general.alignment"))
            << alignment;
}

TEST(GgufContainer, RefusesHolesOverlapsAndMisalignedTensors) {
    for (const int64_t shift : {int64_t{32}, int64_t{-32}, int64_t{1}, -(int64_t{1} << 62)}) {
        auto maker = tiny_gguf();
        maker.tensors[3].shift = shift;
        const auto opened = test::open_bytes(maker.render());
        ASSERT_FALSE(opened) << shift;
        EXPECT_EQ(opened.error().code(), Code::header_offsets) << to_string(opened.error());
    }
}

TEST(GgufContainer, RefusesBytesBehindTheLastTensor) {
    auto maker = tiny_gguf();
    maker.tail = "x";
    EXPECT_THAT(refusal(maker.render()), HasSubstr("behind the last tensor"));
}

TEST(GgufContainer, RefusesImpossibleShapes) {
    const auto with = [](std::vector<uint64_t> extent, uint32_t type) {
        auto maker = tiny_gguf();
        maker.tensors.back().extent = std::move(extent);
        maker.tensors.back().type = type;
        return refusal(maker.render());
    };
    EXPECT_THAT(with({}, 0), HasSubstr("number of axes"));
    EXPECT_THAT(with({1, 1, 1, 1, 1}, 0), HasSubstr("number of axes"));
    EXPECT_THAT(with({64, 0}, 0), HasSubstr("empty"));
    EXPECT_THAT(with({uint64_t{1} << 40, uint64_t{1} << 40}, 0), HasSubstr("E2007"));
    EXPECT_THAT(with({~uint64_t{31}, 1}, 2), HasSubstr("E2007"));
    EXPECT_THAT(with({48, 32}, 2), HasSubstr("whole blocks"));
}

TEST(GgufContainer, RefusesUnknownAndRemovedTypesByName) {
    for (const uint32_t type : {4u, 31u, 41u, 0xFFFFFFFFu}) {
        auto maker = tiny_gguf();
        maker.tensors.back().type = type;
        const auto opened = test::open_bytes(maker.render());
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().exit_code(), 5);
        EXPECT_THAT(to_string(opened.error()), HasSubstr("blk.0.ffn_down.weight"));
    }
}

TEST(GgufContainer, RefusesOneOfSeveralFiles) {
    const auto opened =
        test::open_bytes(tiny_gguf().add("split.count", 2, GgufBytes().number(uint16_t{3})).render());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::unsupported_container);
}

}  // namespace
}  // namespace mortise
