#include "quant/digest.h"

#include <gtest/gtest.h>

#include "quant/decode.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

struct Digests {
    std::string values, spec;
};

// Digests of a vector, read in tiles of `step` rows.
Digests digests(const std::string& id, uint64_t step, const Extras& extras = {}) {
    const auto& v = testing::vector(id);
    QuantSpec spec = testing::spec_of(v);
    auto reader = PartReader::make(spec, testing::sources_of(v, spec), {});
    ValueDigest values;
    SpecDigest of_spec(spec);
    Tile tile;
    for (uint64_t row = 0; row < spec.extent.rows; row += step) {
        std::vector<uint64_t> rows;
        for (uint64_t r = row; r < std::min(spec.extent.rows, row + step); ++r) rows.push_back(r);
        EXPECT_TRUE(reader->read({.rows = rows}, tile));
        values.add(tile.view());
        of_spec.add(tile.view());
    }
    return {values.finish(), of_spec.finish(extras)};
}

TEST(ValueDigest, is_the_hash_of_the_decoded_weights) {
    auto weights = testing::expected_floats(testing::vector("awq_gemm"), "w");
    EXPECT_EQ(digests("awq_gemm", 3).values, sha256_hex(std::as_bytes(std::span<const float>(weights))));
}

TEST(Digests, do_not_depend_on_tiles) {
    for (const char* id :
         {"awq_gemm", "gptq4_v1_actorder", "gguf_q4_K", "ct_pack3_dense", "bnb_nf4_nested"}) {
        EXPECT_EQ(digests(id, 1).spec, digests(id, 1000).spec) << id;
        EXPECT_EQ(digests(id, 1).values, digests(id, 1000).values) << id;
    }
}

TEST(Digests, are_equal_across_dialects_of_the_same_weights) {
    std::vector<std::vector<const char*>> twins = {
        {"awq_gemm", "awq_gemm_as_gptq_v2", "awq_gemm_as_pack_quantized"},
        {"fp8_per_channel_ct", "fp8_per_channel_modelopt"},
        {"fp8_block_ragged_deepseek", "fp8_block_ragged_modelopt_pb_wo", "fp8_block_ragged_ct_block"},
        {"ct_mxfp4", "gptoss_mxfp4", "mlx_mxfp4"},
        {"ct_mxfp8", "modelopt_mxfp8"}};
    for (const auto& group : twins) {
        Digests first = digests(group.front(), 2);
        for (const char* id : group) {
            EXPECT_EQ(digests(id, 2).spec, first.spec) << id;
            EXPECT_EQ(digests(id, 2).values, first.values) << id;
        }
    }
}

TEST(Digests, differ_where_one_rounding_differs) {
    EXPECT_NE(digests("ct_nvfp4", 2).spec, digests("modelopt_nvfp4", 2).spec);
    EXPECT_NE(digests("awq_gemm", 2).spec, digests("awq_gemm_as_mlx_affine", 2).spec);
}

TEST(SpecDigest, covers_what_surrounds_the_weights) {
    std::string bare = digests("awq_gemm", 4).spec;
    Extras extras;
    extras.bias = std::vector<float>(16, 0.5f);
    std::string with_bias = digests("awq_gemm", 4, extras).spec;
    EXPECT_NE(with_bias, bare);
    extras.bias[3] = 0.25f;
    EXPECT_NE(digests("awq_gemm", 4, extras).spec, with_bias);
}

TEST(ActivationDigest, tells_rules_and_stored_scales_apart) {
    QuantSpec spec;
    Extras extras;
    EXPECT_EQ(activation_text(spec, extras), "none");
    spec.activation = {.granularity = MORTISE_ACTIVATION_TOKEN,
                       .encoding = MORTISE_ENCODING_TWOS,
                       .bits = 8,
                       .dynamic = true,
                       .divisor = 127};
    std::string kernels = activation_digest(spec, extras);
    spec.activation.divisor = 127.5;
    EXPECT_NE(activation_digest(spec, extras), kernels);
    spec.activation.dynamic = false;
    extras.input_scale = {0.5f};
    std::string half = activation_digest(spec, extras);
    extras.input_scale = {0.25f};
    EXPECT_NE(activation_digest(spec, extras), half);
}

}  // namespace
}  // namespace mortise::quant
