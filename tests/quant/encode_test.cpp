#include "quant/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/codes.h"
#include "base/small_float.h"
#include "quant/decode.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

using testing::sources_of;
using testing::spec_of;
using testing::vector;

struct Outcome {
    Change change;
    std::vector<WrittenTensor> tensors;
    std::string error;
};

Outcome reencode(const QuantSpec& from, const Sources& bytes, const QuantSpec& to) {
    auto writer = ModuleWriter::make(to);
    EXPECT_TRUE(writer) << to_string(writer.error());
    auto change = writer->reencode(from, bytes, {});
    if (!change) return {.change = {}, .tensors = {}, .error = to_string(change.error())};
    return {*change, writer->take(), ""};
}

Outcome reencode(const std::string& from, const std::string& to) {
    const auto& v = vector(from);
    QuantSpec spec = spec_of(v);
    return reencode(spec, sources_of(v, spec), spec_of(vector(to)));
}

std::vector<std::string> ids() {
    std::vector<std::string> out;
    for (const auto& v : testing::vectors()) out.push_back(v.id);
    return out;
}

class OwnDialect : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(all, OwnDialect, ::testing::ValuesIn(ids()),
                         [](const auto& one) { return one.param; });

TEST_P(OwnDialect, is_written_back_byte_for_byte) {
    const auto& v = vector(GetParam());
    Outcome out = reencode(v.id, v.id);
    ASSERT_EQ(out.error, "");
    EXPECT_EQ(out.change.changed, 0u);
    EXPECT_EQ(out.change.weights, spec_of(v).extent.rows * spec_of(v).extent.columns);
    for (const WrittenTensor& tensor : out.tensors) {
        EXPECT_EQ(tensor.dtype, v.tensors.at(tensor.name).dtype);
        EXPECT_EQ(tensor.shape, v.tensors.at(tensor.name).shape);
        EXPECT_TRUE(tensor.bytes == v.tensors.at(tensor.name).bytes) << tensor.name;
    }
}

// Random contents in the shape of a vector: finite scales, column maps in range, everything else any bits.
std::map<std::string, std::vector<std::byte>> random_bytes(const testing::Vector& v, std::mt19937& random) {
    std::map<std::string, std::vector<std::byte>> out;
    for (const auto& [name, tensor] : v.tensors) {
        auto& bytes = out[name] = tensor.bytes;
        bool special = name.ends_with("g_idx") || name.ends_with("weight_shape");
        size_t step = static_cast<size_t>(bits(tensor.dtype)) / 8;
        for (size_t i = 0; i < bytes.size() && !special; ++i) {
            bool top = step > 1 && i % step == step - 1;
            bool number = is_float(tensor.dtype) && tensor.dtype != DType::f8_e8m0;
            auto byte = static_cast<uint8_t>(random());
            if (number && top)
                byte = static_cast<uint8_t>((byte & 0x80) | 0x38 | (byte & 3));  // small exponents
            if (number && step == 1) byte &= 0x77;
            if (name == "block") byte &= 0x37;  // its halves are finite
            bytes[i] = static_cast<std::byte>(byte);
        }
    }
    return out;
}

TEST_P(OwnDialect, keeps_random_contents) {
    const auto& v = vector(GetParam());
    QuantSpec spec = spec_of(v);
    std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(v.id)));
    for (int round = 0; round < 20; ++round) {
        auto contents = random_bytes(v, random);
        Sources bytes = sources_of(v, spec);
        for (const Field& field : spec.fields) bytes[field.role].bytes = contents[field.tensor];
        Outcome out = reencode(spec, bytes, spec);
        ASSERT_EQ(out.error, "");
        ASSERT_EQ(out.change.changed, 0u);
    }
}

struct Conversion {
    const char* from;
    const char* to;
};
TEST(Reencoding, keeps_every_weight_where_the_formats_allow_it) {
    for (auto [from, to] : {Conversion{"awq_gemm", "awq_gemm_as_gptq_v2"},
                            {"awq_gemm_as_gptq_v2", "awq_gemm"},
                            {"awq_gemm", "awq_gemm_as_pack_quantized"},
                            {"awq_gemm_as_pack_quantized", "awq_gemm"},
                            {"fp8_per_channel_ct", "fp8_per_channel_modelopt"},
                            {"fp8_block_ragged_deepseek", "fp8_block_ragged_modelopt_pb_wo"},
                            {"fp8_block_ragged_modelopt_pb_wo", "fp8_block_ragged_ct_block"},
                            {"ct_mxfp4", "gptoss_mxfp4"},
                            {"gptoss_mxfp4", "mlx_mxfp4"},
                            {"ct_mxfp8", "modelopt_mxfp8"}}) {
        Outcome out = reencode(from, to);
        EXPECT_EQ(out.error, "") << from << " to " << to;
        EXPECT_EQ(out.change.changed, 0u) << from << " to " << to;
        for (const WrittenTensor& tensor : out.tensors) {
            EXPECT_TRUE(tensor.bytes == vector(to).tensors.at(tensor.name).bytes) << to << " " << tensor.name;
        }
    }
}

TEST(Reencoding, counts_the_weights_that_a_rounded_addend_changes) {
    Outcome out = reencode("awq_gemm", "awq_gemm_as_mlx_affine");
    EXPECT_EQ(out.error, "");
    auto was = testing::expected_floats(vector("awq_gemm"), "w"),
         is = testing::expected_floats(vector("awq_gemm_as_mlx_affine"), "w");
    uint64_t changed = 0;
    double most = 0;
    for (size_t i = 0; i < was.size(); ++i) {
        changed += std::bit_cast<uint32_t>(was[i]) != std::bit_cast<uint32_t>(is[i]);
        most = std::max(most, std::fabs(double{is[i]} - was[i]));
    }
    EXPECT_EQ(out.change.changed, changed);
    EXPECT_EQ(out.change.max_error, most);
    for (const WrittenTensor& tensor : out.tensors) {
        EXPECT_TRUE(tensor.bytes == vector("awq_gemm_as_mlx_affine").tensors.at(tensor.name).bytes)
            << tensor.name;
    }
}

TEST(Reencoding, inverts_a_second_level_only_when_its_sense_differs) {
    Outcome out = reencode("modelopt_nvfp4", "ct_nvfp4");
    EXPECT_EQ(out.error, "");
    for (const WrittenTensor& tensor : out.tensors) {
        if (tensor.name == "weight_global_scale") continue;
        const auto& v = vector("modelopt_nvfp4");
        const char* same = tensor.name == "weight_packed" ? "weight" : "weight_scale";
        EXPECT_TRUE(tensor.bytes == v.tensors.at(same).bytes);
    }
}

TEST(Reencoding, makes_two_levels_of_one_where_powers_of_two_fit) {
    const auto& v = vector("ct_mxfp4");
    QuantSpec from = spec_of(v), to = spec_of(vector("modelopt_nvfp4"));
    Sources bytes = sources_of(v, from);
    std::vector<std::byte> exponents(4, std::byte{120});
    exponents[2] = std::byte{126};
    bytes[MORTISE_ROLE_SCALE].bytes = exponents;
    to.extent = {1, 2, 64};
    for (Field& field : to.fields) {
        if (field.role == MORTISE_ROLE_CODES) field.extent = {1, 2, 64}, field.shapes = {{2, 32}};
        if (field.role == MORTISE_ROLE_SCALE) field.extent = {1, 2, 4}, field.shapes = {{2, 4}};
    }
    EXPECT_EQ(reencode(from, bytes, to).change.changed, 0u);
    exponents[3] = std::byte{90};  // beyond what a second level can bridge
    EXPECT_GT(reencode(from, bytes, to).change.changed, 0u);
}

TEST(Reencoding, widens_codes_around_their_centre) {
    const auto& v = vector("ct_pack4_sym");
    QuantSpec from = spec_of(v), to = from;
    to.bits = 8;
    to.encoding = MORTISE_ENCODING_TWOS;
    std::erase_if(to.fields, [](const Field& f) { return f.role == MORTISE_ROLE_SHAPE; });
    Field& codes = to.fields.front();
    codes.encoding = MORTISE_ENCODING_TWOS;
    codes.bits = 8;
    codes.dtypes = {DType::i8};
    codes.shapes = {{4, 16}};
    codes.layout = {};
    EXPECT_EQ(reencode(from, sources_of(v, from), to).change.changed, 0u);
}

TEST(Reencoding, refuses_to_lose_an_input_pre_scale) {
    Outcome out = reencode("modelopt_int4_awq", "modelopt_int4_awq");
    EXPECT_EQ(out.error, "");
    const auto& v = vector("modelopt_int4_awq");
    QuantSpec from = spec_of(v), to = from;
    std::erase_if(to.fields, [](const Field& f) { return f.role == MORTISE_ROLE_PRE_SCALE; });
    EXPECT_NE(reencode(from, sources_of(v, from), to).error.find("pre_scale"), std::string::npos);
}

// A plain spec [rows][columns] of one dtype.
QuantSpec plain(DType dtype, uint64_t rows, uint64_t columns) {
    QuantSpec spec;
    spec.extent = {1, rows, columns};
    spec.encoding = MORTISE_ENCODING_AS_DTYPE;
    spec.bits = static_cast<uint32_t>(bits(dtype));
    Field codes;
    codes.role = MORTISE_ROLE_CODES;
    codes.extent = spec.extent;
    codes.tensor = "weight";
    codes.dtypes = {dtype};
    codes.shapes = {{static_cast<int64_t>(rows), static_cast<int64_t>(columns)}};
    spec.fields = {codes};
    return spec;
}

TEST(Reencoding, to_floats_is_lossless_iff_they_hold_the_products) {
    const auto& v = vector("awq_gemm");
    QuantSpec from = spec_of(v);
    EXPECT_EQ(reencode(from, sources_of(v, from), plain(DType::f32, 16, 8)).change.changed, 0u);
    EXPECT_GT(reencode(from, sources_of(v, from), plain(DType::bf16, 16, 8)).change.changed, 0u);
}

TEST(Reencoding, refuses_to_make_codes_of_floats) {
    auto writer = ModuleWriter::make(spec_of(vector("awq_gemm")));
    std::vector<std::byte> bytes(16 * 8 * 4);
    Sources sources;
    sources[MORTISE_ROLE_CODES] = {.bytes = bytes, .dtype = DType::f32};
    auto change = writer->reencode(plain(DType::f32, 16, 8), sources, {});
    ASSERT_FALSE(change);
    EXPECT_EQ(change.error().code(), Code::lossy);
}

std::vector<float> random_weights(uint64_t n, unsigned seed, bool bf16) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.05f);
    std::vector<float> out(n);
    for (float& w : out) {
        w = normal(random);
        if (bf16) w = bf16_to_f32(f32_to_bf16(w));
    }
    return out;
}

// FP8 per row as two producers compute it: every step in the dtype that the model was loaded in, or in f32.
TEST(Quantizing, fp8_rows_follows_the_recipe_in_bf16_and_in_f32) {
    const auto& v = vector("fp8_per_channel_ct");
    for (bool half : {true, false}) {
        QuantSpec spec = spec_of(v);
        for (Field& field : spec.fields) {
            if (field.role == MORTISE_ROLE_SCALE) field.dtypes = {half ? DType::bf16 : DType::f32};
        }
        std::vector<float> w = random_weights(12, 7, true);
        std::fill(w.begin() + 8, w.end(), 0.0f);  // a row without weights
        Quantizer q{.method = 1,
                    .compute = half ? uint32_t{MORTISE_ENCODING_BF16} : uint32_t{MORTISE_ENCODING_F32},
                    .divisor = 448,
                    .code_min = -448,
                    .code_max = 448,
                    .clamp = true};
        auto writer = ModuleWriter::make(spec);
        auto change = writer->quantize(q, 0, 0, 3, w.data());
        ASSERT_TRUE(change);
        auto tensors = writer->take();
        auto round = [&](float x) { return half ? bf16_to_f32(f32_to_bf16(x)) : x; };
        for (size_t r = 0; r < 3; ++r) {
            float amax = 0;
            for (size_t c = 0; c < 4; ++c) amax = std::max(amax, std::fabs(w[r * 4 + c]));
            float scale = amax == 0 ? (half ? 0.0078125f : 1.1920929e-07f) : round(amax / 448.0f), stored;
            if (half) {
                uint16_t raw;
                std::memcpy(&raw, tensors[1].bytes.data() + r * 2, 2);
                stored = bf16_to_f32(raw);
            } else {
                std::memcpy(&stored, tensors[1].bytes.data() + r * 4, 4);
            }
            EXPECT_EQ(stored, scale);
            for (size_t c = 0; c < 4; ++c) {
                float quotient = std::clamp(round(w[r * 4 + c] / scale), -448.0f, 448.0f);
                EXPECT_EQ(static_cast<uint8_t>(tensors[0].bytes[r * 4 + c]),
                          encode_small(DType::f8_e4m3, quotient, Overflow::saturate));
            }
        }
    }
}

TEST(Quantizing, asymmetric_groups_keeps_zero_and_stays_within_half_a_step) {
    const auto& v = vector("awq_gemm");
    QuantSpec spec = spec_of(v);
    std::vector<float> w = random_weights(16 * 8, 9, false);
    w[5] = 0;
    for (size_t c = 0; c < 4; ++c) w[24 + c] = 0.1f + 0.01f * static_cast<float>(c);  // all on one side
    Quantizer q{.method = 2, .code_min = 0, .code_max = 15};
    auto writer = ModuleWriter::make(spec);
    auto change = writer->quantize(q, 0, 0, 16, w.data());
    ASSERT_TRUE(change);
    auto back = decode_all(spec, writer->sources());
    ASSERT_TRUE(back);
    EXPECT_EQ((*back)[5], 0.0f);
    double worst = 0;
    for (size_t i = 0; i < w.size(); i += 4) {
        auto [low, high] =
            std::minmax_element(w.begin() + static_cast<long>(i), w.begin() + static_cast<long>(i + 4));
        float step = (std::max(*high, 0.0f) - std::min(*low, 0.0f)) / 15;
        for (size_t j = i; j < i + 4; ++j) {
            EXPECT_LE(std::fabs((*back)[j] - w[j]), step * 1.01f);
            worst = std::max(worst, std::fabs(double{(*back)[j]} - w[j]));
        }
    }
    EXPECT_EQ(change->max_error, worst);
    EXPECT_GT(change->sqnr_db(), 15);
}

TEST(Quantizing, blocks_takes_one_scale_per_block_also_at_ragged_edges) {
    const auto& v = vector("fp8_block_ragged_ct_block");
    QuantSpec spec = spec_of(v);
    std::vector<float> w = random_weights(5 * 7, 11, true);
    Quantizer q{.method = 1, .divisor = 448, .zero_scale = 1, .code_min = -448, .code_max = 448};
    auto writer = ModuleWriter::make(spec);
    EXPECT_EQ(writer->row_step(), 2u);
    ASSERT_TRUE(writer->quantize(q, 0, 0, 4, w.data()));
    ASSERT_TRUE(writer->quantize(q, 0, 4, 1, w.data() + 28));
    auto tensors = writer->take();
    float last, amax = 0;
    std::memcpy(&last, tensors[1].bytes.data() + 5 * 4, 4);
    for (size_t c = 4; c < 7; ++c) amax = std::max(amax, std::fabs(w[28 + c]));
    EXPECT_EQ(last, amax / 448.0f);
}

TEST(Quantizing, two_levels_and_power_of_two_scales_decodes_to_what_it_reports) {
    for (const char* id : {"modelopt_nvfp4", "ct_nvfp4", "ct_mxfp4", "ct_mxfp8", "mlx_affine4", "mlx_affine3",
                           "gptq4_v1_asym", "gptq3_v1", "ct_pack4_sym", "gguf_q4_0", "gguf_q8_0",
                           "modelopt_int8_sq", "fp8_per_tensor_static"}) {
        QuantSpec spec = spec_of(vector(id));
        std::vector<uint32_t> absent{MORTISE_ROLE_PRE_SCALE};
        uint64_t n = spec.extent.rows * spec.extent.columns;
        std::vector<float> w = random_weights(n, 13, true);
        bool asymmetric = spec.offset == Offset::zero_point || spec.offset == Offset::addend;
        double half = spec.is_integer() ? std::ldexp(1.0, static_cast<int>(spec.bits) - 1) : 0;
        Quantizer q{.method = asymmetric ? 2u : 1u};
        q.divisor = spec.encoding == MORTISE_ENCODING_E2M1   ? 6
                    : spec.encoding == MORTISE_ENCODING_E4M3 ? 448
                                                             : half - 1;
        bool is_unsigned = spec.encoding == MORTISE_ENCODING_UNSIGNED;
        q.code_min = is_unsigned ? 0 : -half;
        q.code_max = is_unsigned ? 2 * half - 1 : half - 1;
        if (std::string(id).starts_with("ct_mx")) q.exponent_rule = MORTISE_EXPONENT_BUMP;
        auto writer = ModuleWriter::make(spec, absent);
        ASSERT_TRUE(writer) << id;
        auto change = writer->quantize(q, 0, 0, spec.extent.rows, w.data());
        ASSERT_TRUE(change) << id << to_string(change.error());
        auto back = decode_all(spec, writer->sources());
        ASSERT_TRUE(back) << id << to_string(back.error());
        Change own;
        for (size_t i = 0; i < n; ++i) own.add(w[i], (*back)[i]);
        EXPECT_EQ(own.changed, change->changed) << id;
        EXPECT_EQ(own.max_error, change->max_error) << id;
        EXPECT_GT(own.sqnr_db(), id == std::string("mlx_affine3") || id == std::string("gptq3_v1") ? 8 : 14)
            << id;
    }
}

TEST(Quantizing, to_plain_rounds_to_nearest_even) {
    std::vector<float> w = random_weights(8, 17, false);
    auto writer = ModuleWriter::make(plain(DType::bf16, 2, 4));
    auto change = writer->quantize({}, 0, 0, 2, w.data());
    ASSERT_TRUE(change);
    EXPECT_EQ(change->changed, 8u);
    auto tensors = writer->take();
    for (size_t i = 0; i < 8; ++i) {
        uint16_t raw;
        std::memcpy(&raw, tensors[0].bytes.data() + i * 2, 2);
        EXPECT_EQ(raw, f32_to_bf16(w[i]));
    }
}

TEST(Quantizing, says_when_no_recipe_exists) {
    auto writer = ModuleWriter::make(spec_of(vector("bnb_nf4")));
    std::vector<float> w(128);
    auto change = writer->quantize({}, 0, 0, 2, w.data());
    ASSERT_FALSE(change);
    EXPECT_EQ(change.error().code(), Code::unsupported_variant);
}

TEST(ModuleWriter, refuses_values_that_do_not_fit) {
    auto writer = ModuleWriter::make(spec_of(vector("awq_gemm")));
    std::vector<double> zeros(32, 15);
    EXPECT_TRUE(writer->put(MORTISE_ROLE_ZERO_POINT, zeros));
    zeros[7] = 16;
    auto status = writer->put(MORTISE_ROLE_ZERO_POINT, zeros);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code(), Code::value_range);
}

}  // namespace
}  // namespace mortise::quant
