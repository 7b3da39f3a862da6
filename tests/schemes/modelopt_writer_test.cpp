// What is written in ModelOpt's names: both files, stacks, the cache.
#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

class ModelOptWriter : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void source(const std::string& more) {
        host.file("config.json",
                  R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": )" + more + "}}");
    }
    FakeHost& host = FakeHost::instance();
};

TEST_F(ModelOptWriter, WritesWhatItReads) {
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    for (const std::string word : {"fp8_pcpt", "fp8_pb_wo", "w4a16_nvfp4", "w4a16_awq", "mxfp8"}) {
        mortise_quantizer recipe{};
        std::string config;
        std::map<std::string, std::string> files;
        host.reset();
        host.file("config.json", "{}");
        const Seen a = written("modelopt", {{borrow(word), {}}}, {.name = "a", .rows = 128, .columns = 128},
                               current, &recipe, &config, &files);
        ASSERT_TRUE(a.status == MORTISE_OK && !a.plain) << word << a.error << a.note;
        EXPECT_EQ(recipe.compute, uint32_t{MORTISE_ENCODING_F32}) << word;
        host.file("config.json", R"({"quantization_config": )" + config + "}");
        EXPECT_TRUE(claims("modelopt")) << config;
        host.file("hf_quant_config.json", files["hf_quant_config.json"]);
        EXPECT_EQ(files["hf_quant_config.json"].find("pre_quant_scale") != std::string::npos,
                  word == "w4a16_awq");
        EXPECT_EQ(Opened("modelopt").status, MORTISE_OK) << config;
        EXPECT_EQ(host.unread(), "") << config;
    }
}

TEST_F(ModelOptWriter, DoesNotInventTheScaleOfInputs) {
    host.file("config.json", "{}");
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    const std::string static_inputs = "fp8", unknown = "fp9";
    EXPECT_EQ(written("modelopt", {{borrow(static_inputs), {}}}, {.name = "a"}, current).status,
              MORTISE_UNSUPPORTED);
    EXPECT_EQ(written("modelopt", {}, {.name = "a"}, current).granularity, uint32_t{MORTISE_ACTIVATION_TOKEN})
        << "the usual algorithm";
    EXPECT_EQ(written("modelopt", {{borrow(unknown), {}}}, {.name = "a"}, current).status, MORTISE_REFUSED);
}

// The exporter writes blocks of 128 and does not say so.
TEST_F(ModelOptWriter, RepeatsABlockThatItsSourceNames) {
    host.tensor("a.weight", MORTISE_DTYPE_F8_E4M3, {128, 128});
    host.tensor("a.weight_scale", MORTISE_DTYPE_F32, {2, 1, 2, 1});
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_E4M3;
    std::string config;
    source(R"("fp8_pb_wo", "weight_block_size": [64, 64])");
    const ModuleOf linear{.name = "a", .rows = 128, .columns = 128};
    EXPECT_EQ(written("modelopt", {}, linear, current, nullptr, &config).find(MORTISE_ROLE_SCALE)->rows, 2u);
    EXPECT_NE(config.find(R"("weight_block_size":[64,64])"), std::string::npos) << config;
    source(R"("fp8_pb_wo")");
    EXPECT_EQ(written("modelopt", {}, linear, current, nullptr, &config).find(MORTISE_ROLE_SCALE)->rows, 1u);
    EXPECT_EQ(config.find("weight_block_size"), std::string::npos) << config;
}

TEST_F(ModelOptWriter, WritesStacksInTheirOwnAxesWhereTheAlgorithmHasThem) {
    host.file("config.json", "{}");
    host.tensor("e.up_proj", MORTISE_DTYPE_BF16, {4, 32, 64});
    mortise_spec current{};
    current.encoding = MORTISE_ENCODING_BF16;
    const ModuleOf stack{.name = "e.up_proj", .rows = 64, .columns = 32, .experts = 4};
    const std::string nvfp4 = "w4a16_nvfp4", awq = "w4a16_awq";
    const Seen seen = written("modelopt", {{borrow(nvfp4), {}}}, stack, current);
    ASSERT_TRUE(seen.status == MORTISE_OK && !seen.plain) << seen.error << seen.note;
    EXPECT_TRUE(seen.find(MORTISE_ROLE_CODES)->accepts(std::vector<int64_t>{4, 16, 64}));
    EXPECT_TRUE(seen.find(MORTISE_ROLE_SCALE)->accepts(std::vector<int64_t>{4, 2, 64}));
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE2)->tensor, "e.up_proj_weight_scale_2");
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE2)->shapes[0], std::vector<int64_t>{}) << "one for the stack";
    EXPECT_TRUE(written("modelopt", {{borrow(awq), {}}}, stack, current).plain);
}

// One label stands in both files; the biases of eight bits show by themselves.
TEST_F(ModelOptWriter, NamesTheCacheInBothFiles) {
    struct Case {
        uint32_t encoding, affine;
        const char *scheme, *algorithm;
    };
    for (const Case& each :
         {Case{MORTISE_ENCODING_E4M3, 1, R"({"dynamic":false,"num_bits":8,"type":"float"})", "\"FP8\""},
          Case{MORTISE_ENCODING_TWOS, 0, R"({"dynamic":false,"num_bits":8,"type":"int"})", "\"INT8\""},
          Case{MORTISE_ENCODING_E2M1, 1, "\"NVFP4_AFFINE\"", "\"NVFP4_AFFINE\""},
          Case{MORTISE_ENCODING_AS_DTYPE, 0, "", "null"}}) {
        host.reset();
        host.file("config.json", "{}");
        const mortise_scheme_v1& table = scheme("modelopt");
        void* writer = nullptr;
        ASSERT_EQ(table.open_writer(host.checkpoint(), nullptr, 0, &writer), MORTISE_OK);
        mortise_cache_answer current{}, out{};
        current.encoding = each.encoding;
        current.affine = each.affine;
        ASSERT_EQ(table.target_cache(writer, borrow("s"), &current, &out), MORTISE_OK);
        EXPECT_EQ(out.encoding, each.encoding);
        std::string config, side;
        const auto keep = [](void* to, mortise_str text) { *static_cast<std::string*>(to) = copy(text); };
        const auto file = [](void* to, mortise_str, mortise_str text) {
            *static_cast<std::string*>(to) = copy(text);
        };
        ASSERT_EQ(table.write_config(writer, keep, &config), MORTISE_OK);
        ASSERT_EQ(table.write_files(writer, file, &side), MORTISE_OK);
        EXPECT_EQ(config.find("kv_cache_scheme") == std::string::npos, *each.scheme == 0) << config;
        EXPECT_NE(config.find(each.scheme), std::string::npos) << config;
        EXPECT_NE(side.find(std::string(R"("kv_cache_quant_algo":)") + each.algorithm), std::string::npos)
            << side;
        table.close_writer(writer);
        host.file("config.json", R"({"quantization_config": )" + config + "}");
        host.file("hf_quant_config.json", side);
        EXPECT_EQ(Opened("modelopt").status, MORTISE_OK) << config << side;
        EXPECT_EQ(host.unread(), "");
    }
}

}  // namespace
}  // namespace mortise::test
