#include <cstring>

#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::string config(
    const std::string& more = R"("bits": 4, "group_size": 32, "sym": false, "checkpoint_format": "gptq")") {
    return R"({"quantization_config": {"quant_method": "gptq", )" + more + "}}";
}

class Gptq : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    // 64 x 64, 4 bits, groups of 32.
    void coded(const std::string& module, int32_t zeros = 0x77777777) {
        host.tensor(module + ".qweight", MORTISE_DTYPE_I32, {8, 64});
        host.tensor(module + ".qzeros", MORTISE_DTYPE_I32, {2, 8});
        host.tensor(module + ".scales", MORTISE_DTYPE_F16, {2, 64});
        host.contents[module + ".qzeros"] = std::vector<int32_t>(16, zeros);
    }
    void mapped(const std::string& module, std::vector<int32_t> map) {
        host.tensor(module + ".g_idx", MORTISE_DTYPE_I32, {64});
        host.contents[module + ".g_idx"] = std::move(map);
    }
    static std::vector<int32_t> trivial() {
        std::vector<int32_t> map(64, 0);
        std::fill(map.begin() + 32, map.end(), 1);
        return map;
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(Gptq, ClaimsItsMethodInEitherSpellingAndInASideFile) {
    host.file("config.json", config());
    EXPECT_TRUE(claims("gptq"));
    host.file("config.json", R"({"quantization_config": {"method": "gptq", "bits": 4}})");
    EXPECT_TRUE(claims("gptq"));
    host.file("config.json", R"({"quantization_config": {"quant_method": "awq", "bits": 4}})");
    EXPECT_FALSE(claims("gptq"));
    host.file("config.json", "{}");
    EXPECT_FALSE(claims("gptq"));
    host.file("quantize_config.json", R"({"bits": 4, "group_size": 128, "desc_act": false})");
    EXPECT_TRUE(claims("gptq")) << "the files of AutoGPTQ name no method there";
    EXPECT_EQ(Opened("gptq").status, MORTISE_OK);
}

TEST_F(Gptq, RefusesOtherPackingsByName) {
    for (const char* more :
         {R"("bits": 4, "checkpoint_format": "marlin")", R"("bits": 4, "is_marlin_format": true)"}) {
        host.file("config.json", config(more));
        const Opened opened("gptq");
        EXPECT_EQ(opened.status, MORTISE_UNSUPPORTED);
        EXPECT_NE(opened.error.find("marlin"), std::string::npos) << opened.error;
    }
    host.file("config.json", R"({"quantization_config": {"quant_method": "bitblas", "bits": 4}})");
    EXPECT_EQ(Opened("gptq").status, MORTISE_UNSUPPORTED);
    host.file("config.json", config(R"("bits": 4, "pack_dtype": "int16")"));
    EXPECT_EQ(Opened("gptq").status, MORTISE_UNSUPPORTED);
    host.file("config.json", config(R"("bits": 9)"));
    EXPECT_EQ(Opened("gptq").status, MORTISE_UNSUPPORTED);
    host.file("config.json", config(R"("bits": 4, "checkpoint_format": "gptq", "format": "gptq_v2")"));
    EXPECT_EQ(Opened("gptq").status, MORTISE_REFUSED) << "two spellings that contradict each other";
}

TEST_F(Gptq, ReadsEveryKeyOfAPublishedConfigAndNoOther) {
    host.file(
        "config.json",
        config(R"("bits": 4, "group_size": 32, "desc_act": false, "damp_percent": 0.1, "static_groups": false,
        "meta": {"quantizer": ["a:1"]}, "provider": "auto-round", "autoround_version": "0.16.1", "dynamic": {"-:.*k_proj": {"bits": 3}, ".*v_proj": {"bits": 8, "odd": 2}}, "odd_key": 1)"));
    const Opened opened("gptq");
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    EXPECT_NE(host.unread().find("odd_key"), std::string::npos);
    EXPECT_NE(host.unread().find("odd "), std::string::npos) << host.unread();
    for (const char* key : {"meta", "provider", "autoround_version"})
        EXPECT_EQ(host.unread().find(key), std::string::npos) << host.unread();
}

TEST_F(Gptq, DescribesZeroPointsOfAsymmetricFiles) {
    host.file("config.json", config());
    coded("a");
    const Seen seen = Opened("gptq").module({.name = "a"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_UNSIGNED});
    EXPECT_EQ(seen.find(MORTISE_ROLE_ZERO_POINT)->columns, 2u);
    EXPECT_TRUE(seen.find(MORTISE_ROLE_BIAS)->flags & MORTISE_FIELD_DROP_IF_ZERO);
    EXPECT_FALSE(Opened("gptq").module({.name = "a", .bias = true}).find(MORTISE_ROLE_BIAS)->flags &
                 MORTISE_FIELD_DROP_IF_ZERO);
}

TEST_F(Gptq, MakesZeroPointsOfSymmetricFilesAPromiseInEitherForm) {
    host.file("config.json", config(R"("bits": 4, "group_size": 32, "sym": true)"));
    coded("a");
    const Seen less_one = Opened("gptq").module({.name = "a"});
    ASSERT_EQ(less_one.status, MORTISE_OK) << less_one.error;
    EXPECT_EQ(less_one.encoding, uint32_t{MORTISE_ENCODING_OFFSET});
    EXPECT_TRUE(less_one.find(MORTISE_ROLE_UNUSED)->flags & MORTISE_FIELD_CONSTANT);
    EXPECT_EQ(less_one.find(MORTISE_ROLE_UNUSED)->default_value, 8);
    EXPECT_EQ(less_one.note, "");
    coded("a", static_cast<int32_t>(0x88888888u));
    EXPECT_NE(Opened("gptq").module({.name = "a"}).note.find("as they are"), std::string::npos);
}

TEST_F(Gptq, LeavesATrivialColumnMapOutAndFollowsAnother) {
    host.file("config.json", config());
    coded("a");
    mapped("a", trivial());
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).find(MORTISE_ROLE_G_IDX), nullptr);
    std::vector<int32_t> swapped = trivial();
    std::swap(swapped[0], swapped[63]);
    mapped("a", swapped);
    const Seen seen = Opened("gptq").module({.name = "a"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_NE(seen.find(MORTISE_ROLE_G_IDX), nullptr);
    EXPECT_NE(seen.note.find("desc_act is false"), std::string::npos);
}

TEST_F(Gptq, RefusesAColumnMapThatIsNone) {
    host.file("config.json", config());
    coded("a");
    std::vector<int32_t> outside = trivial(), uneven = trivial();
    outside[5] = 2;
    uneven[0] = 1;
    for (const auto& map : {outside, uneven}) {
        mapped("a", map);
        EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_REFUSED);
    }
}

TEST_F(Gptq, NeedsTheColumnMapThatOthersHaveOrTheConfigPromises) {
    host.file("config.json", config());
    coded("a");
    coded("b");
    mapped("b", trivial());
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_REFUSED);
    host.tensors.erase("b.g_idx");
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_OK);
    host.file("config.json", config(R"("bits": 4, "group_size": 32, "desc_act": true)"));
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_REFUSED);
    host.file("config.json", config(R"("bits": 4, "group_size": -1, "desc_act": true)"));
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_OK) << "one group needs no map";
}

TEST_F(Gptq, OverridesAndSkipsByTheFirstRuleThatMatches) {
    host.file("config.json", config(R"("bits": 4, "group_size": 32, "sym": false,
        "dynamic": {"-:.*k_proj": {}, "+:.*v_proj": {"bits": 8}, ".*v_proj": {"bits": 2}})"));
    for (const char* name : {"m.q_proj", "m.v_proj"}) coded(name);
    host.tensor("m.k_proj.weight", MORTISE_DTYPE_BF16, {64, 64});
    Opened opened("gptq");
    EXPECT_EQ(opened.module({.name = "m.q_proj"}).find(MORTISE_ROLE_CODES)->bits, 4u);
    EXPECT_EQ(opened.module({.name = "m.v_proj"}).find(MORTISE_ROLE_CODES)->bits, 8u);
    EXPECT_TRUE(opened.module({.name = "m.k_proj"}).plain);
    coded("m.k_proj");
    EXPECT_NE(opened.module({.name = "m.k_proj"}).note.find("skipped by"), std::string::npos);
}

TEST_F(Gptq, OverridesTheHeadByARuleOfItsOwn) {
    host.file("config.json", config(R"("bits": 4, "group_size": 32, "sym": false, "lm_head": true,
        "dynamic": {"lm_head": {"bits": 8, "group_size": 16}})"));
    coded("lm_head");
    const Seen head = Opened("gptq").module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD});
    ASSERT_EQ(head.status, MORTISE_OK) << head.error;
    EXPECT_EQ(head.find(MORTISE_ROLE_CODES)->bits, 8u);
    EXPECT_EQ(head.find(MORTISE_ROLE_SCALE)->columns, 4u);
    EXPECT_EQ(head.note, "");
}

TEST_F(Gptq, ReportsAHeadThatTheConfigPromises) {
    host.file("config.json", config(R"("bits": 4, "lm_head": true)"));
    host.tensor("lm_head.weight", MORTISE_DTYPE_BF16, {64, 64});
    EXPECT_NE(Opened("gptq").module({.name = "lm_head", .kind = MORTISE_MODULE_HEAD}).note, "");
}

TEST_F(Gptq, TakesAShortLastGroupAndNoOtherMisfit) {
    host.file("config.json", config());
    coded("a");
    const Seen ragged = Opened("gptq").module({.name = "a", .columns = 80});
    EXPECT_EQ(ragged.find(MORTISE_ROLE_SCALE)->columns, 3u);
    EXPECT_TRUE(ragged.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{3, 64}));
    EXPECT_EQ(Opened("gptq").module({.name = "a", .rows = 60}).status, MORTISE_REFUSED);
    EXPECT_EQ(Opened("gptq").module({.name = "a", .columns = 60}).status, MORTISE_REFUSED);
    host.tensors.erase("a.qzeros");
    EXPECT_EQ(Opened("gptq").module({.name = "a"}).status, MORTISE_REFUSED);
}

// A 64 x 64 weight of the source: floats, or integers of 4 bits in groups.
mortise_spec source(uint32_t encoding, uint64_t group = 0, uint32_t offset_kind = 0) {
    mortise_spec spec{};
    spec.head.size = sizeof spec;
    spec.experts = 1;
    spec.rows = spec.columns = 64;
    spec.encoding = encoding;
    if (group == 0) return spec;
    spec.bits = 4;
    spec.offset_kind = offset_kind;
    spec.n_levels = 1;
    spec.levels[0].role = MORTISE_ROLE_SCALE;
    spec.levels[0].row_group = 1;
    spec.levels[0].column_group = group;
    return spec;
}
std::vector<mortise_option> words(std::initializer_list<const char*> list) {
    std::vector<mortise_option> out;
    for (const char* each : list) out.push_back({{each, std::strlen(each)}, {"", 0}});
    return out;
}

TEST_F(Gptq, WritesSettingsThatItReadsBack) {
    for (const auto& options :
         {words({"v1", "b4", "g32"}), words({"v2", "b8", "g64", "sym"}), words({"b2"})}) {
        host.file("config.json", "{}");
        std::string text;
        const Seen seen =
            written("gptq", options, {.name = "a"}, source(MORTISE_ENCODING_BF16), nullptr, &text);
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_FALSE(seen.plain);
        EXPECT_TRUE(seen.find(MORTISE_ROLE_G_IDX)) << "readers want the column map, trivial or not";
        EXPECT_TRUE(seen.find(MORTISE_ROLE_ZERO_POINT)) << "zero points are stored, symmetric or not";
        host.file("config.json", R"({"quantization_config": )" + text + "}");
        EXPECT_TRUE(claims("gptq")) << text;
        EXPECT_EQ(Opened("gptq").status, MORTISE_OK) << text;
        EXPECT_EQ(host.unread(), "") << text;
    }
    EXPECT_EQ(written("gptq", words({"b5"}), {.name = "a"}, source(MORTISE_ENCODING_BF16)).status,
              MORTISE_UNSUPPORTED);
    EXPECT_EQ(written("gptq", words({"v1", "v2"}), {.name = "a"}, source(MORTISE_ENCODING_BF16)).status,
              MORTISE_REFUSED);
}

TEST_F(Gptq, WritesTheBitsGroupsAndSymmetryThatCodesHave) {
    host.file("config.json", R"({"quantization_config": {}})");
    std::string text;
    const Seen kept = written("gptq", {}, {.name = "a"}, source(MORTISE_ENCODING_OFFSET, 16), nullptr, &text);
    ASSERT_EQ(kept.status, MORTISE_OK) << kept.error;
    EXPECT_EQ(kept.find(MORTISE_ROLE_SCALE)->columns, 4u);
    EXPECT_NE(text.find(R"("group_size":16,"sym":true)"), std::string::npos) << text;
    written("gptq", {}, {.name = "a"}, source(MORTISE_ENCODING_UNSIGNED, 64, 2), nullptr, &text);
    EXPECT_NE(text.find(R"("group_size":-1,"sym":false)"), std::string::npos) << text;
}

TEST_F(Gptq, SkipsFloatsOfACodedSourceByARuleForExactlyThem) {
    host.file("config.json", R"({"quantization_config": {}})");
    std::string text;
    EXPECT_TRUE(written("gptq", {}, {.name = "a.b"}, source(MORTISE_ENCODING_F16), nullptr, &text).plain);
    EXPECT_NE(text.find(R"("-:^a\\.b$":{})"), std::string::npos) << text;
}

TEST_F(Gptq, WritesPlanesOfAnyWidthAsTheirSourceHasThem) {
    host.file("config.json", "{}");
    std::string text;
    const Seen seen = written("gptq", words({"planes", "b5"}), {.name = "a"}, source(MORTISE_ENCODING_BF16),
                              nullptr, &text);
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_NE(text.find(R"("checkpoint_format":"gptq_p")"), std::string::npos) << text;
    host.file("config.json", R"({"quantization_config": )" + text + "}");
    EXPECT_EQ(Opened("gptq").status, MORTISE_OK) << text;
    EXPECT_FALSE(
        written("gptq", {}, {.name = "a"}, source(MORTISE_ENCODING_OFFSET, 32), nullptr, &text).plain);
    EXPECT_NE(text.find(R"("checkpoint_format":"gptq_p")"), std::string::npos) << "as the source";
}

}  // namespace
}  // namespace mortise::test
