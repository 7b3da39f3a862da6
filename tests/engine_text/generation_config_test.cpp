#include "engine/text/generation_config.h"

#include <gtest/gtest.h>

namespace mortise::text {
namespace {

Result<GenerationConfig> read(const char* text) {
    const auto document = json::Document::parse(text, "generation_config.json");
    EXPECT_TRUE(document);
    return read_generation_config(document->root());
}

TEST(GenerationConfig, ReadsWhatConcernsGenerating) {
    const auto config =
        read(R"({"eos_token_id": [2, 5], "bos_token_id": 1, "do_sample": true, "temperature": 0.6,
        "top_p": 0.95, "top_k": 20, "min_p": 0.1, "repetition_penalty": 1.05, "max_new_tokens": 100, "num_beams": 1,
        "stop_strings": ["a", "b"], "transformers_version": "5.17.0", "pad_token_id": null})");
    ASSERT_TRUE(config) << to_string(config.error());
    EXPECT_EQ(config->eos_token_ids, (std::vector<uint32_t>{2, 5}));
    EXPECT_EQ(config->bos_token_id, 1u);
    EXPECT_FALSE(config->pad_token_id.has_value());
    EXPECT_EQ(config->max_new_tokens, 100u);
    EXPECT_EQ(config->stop_strings, (std::vector<std::string>{"a", "b"}));
    const auto sampling = sampling_of(*config);
    EXPECT_FLOAT_EQ(sampling.temperature, 0.6f);
    EXPECT_FLOAT_EQ(sampling.top_p, 0.95f);
    EXPECT_FLOAT_EQ(sampling.min_p, 0.1f);
    EXPECT_FLOAT_EQ(sampling.repetition_penalty, 1.05f);
    EXPECT_EQ(sampling.top_k, 20u);
    EXPECT_TRUE(check_sampling(sampling));
}

TEST(GenerationConfig, IsGreedyUnlessItSamples) {
    EXPECT_EQ(sampling_of(read(R"({"temperature": 0.6, "eos_token_id": 2})").value()).temperature, 0);
    EXPECT_EQ(sampling_of(read(R"({"do_sample": true})").value()).temperature, 1);
    EXPECT_EQ(sampling_of(read(R"({"do_sample": true})").value()).top_k, 50u);
    EXPECT_TRUE(check_sampling(sampling_of(read(R"({"do_sample": true, "top_p": 0})").value())));
    EXPECT_EQ(read(R"({"eos_token_id": 2})").value().eos_token_ids, (std::vector<uint32_t>{2}));
}

TEST(GenerationConfig, RefusesWrongTypesAndRanges) {
    EXPECT_EQ(read(R"({"top_p": 1.5})").error().code(), Code::config_value);
    EXPECT_EQ(read(R"({"temperature": -1})").error().code(), Code::config_value);
    EXPECT_EQ(read(R"({"eos_token_id": -1})").error().code(), Code::config_value);
    EXPECT_EQ(read(R"({"eos_token_id": ["a"]})").error().code(), Code::json_type);
    EXPECT_EQ(read(R"({"do_sample": 1})").error().code(), Code::json_type);
    EXPECT_EQ(read("[]").error().code(), Code::json_type);
    EXPECT_EQ(read(R"({"top_k": 1.5})").error().first().line, 1);
}

}  // namespace
}  // namespace mortise::text
