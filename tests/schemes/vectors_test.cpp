// The golden byte vectors as each dialect's plugin describes them: codes, scales, zero points and tables lie
// where the scheme says, and mean the weights that independent code computed.
#include <cstring>

#include "quant/decode.h"
#include "schemes/scheme_case.h"
#include "support/vectors.h"

namespace mortise::test {
namespace {

// A vector, the plugin that reads it, and its config.json; "" = the vector's own quantization config. Where
// one vector stands for more than one file, how it does.
struct Case {
    const char *id, *scheme;
    std::string config = {}, how = {};
};

std::string method(const std::string& name, const std::string& more) {
    return R"({"quantization_config": {"quant_method": ")" + name + "\", " + more + "}}";
}
std::string groups(const std::string& format, const std::string& weights,
                   const std::string& version = "0.19.0") {
    return method("compressed-tensors", R"("version": ")" + version +
                                            R"(", "config_groups": {"g": {"format": ")" + format +
                                            R"(", "targets": ["Linear"], "weights": {)" + weights + "}}}");
}
std::string packed(int bits, const std::string& more, const std::string& version = "0.19.0") {
    return groups("pack-quantized", R"("type": "int", "num_bits": )" + std::to_string(bits) + ", " + more,
                  version);
}
std::string rounded(const std::string& packing, int group) {
    return method("auto-round", R"("bits": 4, "sym": false, "packing_format": ")" + packing +
                                    R"(", "group_size": )" + std::to_string(group));
}
std::string algorithm(const std::string& name, const std::string& more = "") {
    return method("modelopt", R"("quant_algo": ")" + name + "\"" + more);
}
const std::string by_row = R"("strategy": "channel")", by_8 = R"("strategy": "group", "group_size": 8)",
                  float8 = R"("type": "float", "num_bits": 8, )",
                  float4 = R"("type": "float", "num_bits": 4, )",
                  powers = R"("strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8")";

const std::vector<Case> cases = {
    {"fp8_per_tensor_static", "fp8_tensor"},
    {"fp8_per_channel_ct", "fp8_channel", groups("float-quantized", float8 + by_row)},
    {"fp8_per_channel_modelopt", "modelopt", algorithm("FP8_PER_CHANNEL_PER_TOKEN")},
    {"fp8_block_ragged_deepseek", "fp8_block", method("fp8", R"("weight_block_size": [2, 4])")},
    {"fp8_block_ragged_modelopt_pb_wo", "modelopt",
     algorithm("fp8_pb_wo", R"(, "weight_block_size": [2, 4])")},
    {"fp8_block_ragged_ct_block", "compressed_tensors",
     groups("float-quantized", float8 + R"("strategy": "block", "block_structure": [2, 4])")},
    {"gptq4_v1_asym", "gptq"},
    {"gptq4_v1_sym_gm1", "gptq"},
    {"gptq4_v2_asym_z0", "gptq"},
    {"gptq4_v1_asym_z0_wrap", "gptq"},
    {"gptq4_v1_actorder", "gptq"},
    {"gptq8_v1", "gptq"},
    {"gptq2_v1", "gptq"},
    {"gptq3_v1", "gptq"},
    {"gptq4_v1_bf16", "gptq"},
    {"gptq4_v1_asym", "gptq", method("gptq", R"("bits": 4, "group_size": 8, "sym": false)"), "_by_default"},
    {"gptq4_v1_asym", "auto_round", rounded("auto_round:auto_gptq", 8), "_of_auto_round"},
    {"gptq4_v2_asym_z0", "auto_round", rounded("auto_round", 8), "_of_auto_round"},
    {"awq_gemm", "auto_round", rounded("auto_round:auto_awq", 4), "_of_auto_round"},
    {"awq_gemm", "awq"},
    {"awq_gemm_as_gptq_v2", "gptq"},
    {"awq_gemm_as_pack_quantized", "compressed_tensors",
     packed(4, R"("symmetric": false, "strategy": "group", "group_size": 4)")},
    {"awq_gemm_as_mlx_affine", "mlx"},
    {"awq_gemv", "awq"},
    {"awq_gemv_fast", "awq"},
    {"ct_int8_w8a8", "compressed_tensors", groups("int-quantized", R"("num_bits": 8, )" + by_row)},
    {"ct_pack4_sym", "compressed_tensors", packed(4, by_8)},
    {"ct_pack4_asym", "compressed_tensors", packed(4, R"("symmetric": false, )" + by_8)},
    {"ct_pack8_channel", "compressed_tensors", packed(8, by_row)},
    {"ct_pack4_gidx", "compressed_tensors",
     packed(4, R"("actorder": "group", "strategy": "group", "group_size": 4)")},
    {"ct_pack4_ragged_cols", "compressed_tensors", packed(4, by_row)},
    {"ct_pack3_dense", "compressed_tensors", packed(3, by_8)},
    {"ct_pack3_legacy", "compressed_tensors", packed(3, by_8, "0.13.0")},
    {"modelopt_nvfp4", "modelopt"},
    {"ct_nvfp4", "compressed_tensors",
     groups("nvfp4-pack-quantized", float4 + R"("strategy": "tensor_group", "group_size": 16)")},
    {"ct_mxfp4", "compressed_tensors", groups("mxfp4-pack-quantized", float4 + powers)},
    {"gptoss_mxfp4", "mxfp4"},
    {"mlx_mxfp4", "mlx"},
    {"ct_mxfp8", "compressed_tensors", groups("mxfp8-quantized", float8 + powers)},
    {"modelopt_mxfp8", "modelopt", algorithm("MXFP8")},
    {"modelopt_int4_awq", "modelopt"},
    {"modelopt_w4a8_awq", "modelopt"},
    {"modelopt_int8_sq", "modelopt"},
    {"bnb_nf4", "bitsandbytes"},
    {"bnb_nf4_nested", "bitsandbytes",
     method("bitsandbytes",
            R"("load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true)")},
    {"bnb_int8", "bitsandbytes", method("bitsandbytes", R"("load_in_8bit": true)")},
    {"mlx_affine2", "mlx"},
    {"mlx_affine3", "mlx"},
    {"mlx_affine4", "mlx"},
    {"mlx_affine5", "mlx"},
    {"mlx_affine6", "mlx"},
    {"mlx_affine8", "mlx"},
    {"gguf_q4_0", "gguf_blocks"},
    {"gguf_q4_1", "gguf_blocks"},
    {"gguf_q8_0", "gguf_blocks"},
    {"gguf_q4_K", "gguf_blocks"},
    {"gguf_q6_K", "gguf_blocks"},
    {"gguf_mxfp4", "gguf_blocks"},
};

const json::Node& vector_of(const std::string& id) {
    for (const auto& each : format_vectors().find("vectors")->items())
        if (each->find("id")->text() == id) return *each;
    MORTISE_INVARIANT(!"no such vector");
    return format_vectors();
}

class SchemeVector : public testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        host.reset();
        const std::string id = GetParam().id;
        blocks_ = id.starts_with("gguf_");
        module_ = {.name = id == "gptoss_mxfp4" ? "m.gate_up_proj" : "m",
                   .rows = size("N", 1),
                   .columns = size("K", 1)};
        const json::Node& tensors = *vector_.find("tensors");
        for (size_t i = 0; i < tensors.size(); ++i) add(tensors.keys()[i], *tensors.items()[i]);
        if (blocks_) host.name_space = "gguf";
        host.file("config.json", config());
    }
    // A config of the vector as it stands: with its method inside, or MLX's at the top.
    std::string config() const {
        if (!GetParam().config.empty() || blocks_)
            return GetParam().config.empty() ? "{}" : GetParam().config;
        const json::Node& own = *vector_.find("config");
        if (own.find("quantization")) return write(own);
        return R"({"quantization_config": )" + write(own) + "}";
    }
    static std::string write(const json::Node& node) {
        std::string out;
        if (node.kind() == json::Kind::string) return json::quote(node.text());
        if (node.kind() != json::Kind::object) return std::string(node.text());
        for (size_t i = 0; i < node.size(); ++i)
            out += (i ? "," : "") + json::quote(node.keys()[i]) + ":" + write(*node.items()[i]);
        return "{" + out + "}";
    }
    void add(const std::string& name, const json::Node& tensor) {
        std::string own = "m." + name, encoding;
        std::vector<int64_t> shape;
        for (const auto& dim : tensor.find("shape")->items()) shape.push_back(dim->as_int().value());
        if (blocks_) {
            own = "m.weight";
            encoding = std::string(GetParam().id).substr(5);
            std::ranges::transform(encoding, encoding.begin(), [](char c) { return c == 'K' ? 'k' : c; });
            shape.insert(shape.begin(), 1);
        }
        const std::string bytes = from_hex(tensor.find("hex")->text());
        host.tensor(own, static_cast<uint32_t>(*parse_dtype(tensor.find("dtype")->text())), shape, encoding);
        host.bytes[own].resize(bytes.size());
        std::memcpy(host.bytes[own].data(), bytes.data(), bytes.size());
    }
    uint64_t size(const char* name, uint64_t otherwise) const {
        const json::Node* at = vector_.find("dims")->find(name);
        return at ? static_cast<uint64_t>(at->as_int().value()) : otherwise;
    }
    FakeHost& host = FakeHost::instance();
    const json::Node& vector_ = vector_of(GetParam().id);
    ModuleOf module_;
    bool blocks_ = false;
};

TEST_P(SchemeVector, MeansTheWeightsOfTheVector) {
    EXPECT_TRUE(claims(GetParam().scheme));
    Opened opened(GetParam().scheme);
    ASSERT_EQ(opened.status, MORTISE_OK) << opened.error;
    const auto weights = opened.weights(module_);
    ASSERT_TRUE(weights) << to_string(weights.error());
    const json::Node& expected = *vector_.find("expected");
    const json::Node* want = expected.find("w") ? expected.find("w") : expected.find("w_int4");
    const std::string bytes = from_hex(want->find("f32_hex")->text());
    ASSERT_EQ(weights->size() * sizeof(float), bytes.size());
    for (size_t i = 0; i < weights->size(); ++i) {
        uint32_t bits = 0;
        std::memcpy(&bits, bytes.data() + 4 * i, 4);
        ASSERT_EQ(std::bit_cast<uint32_t>((*weights)[i]), bits) << "element " << i;
    }
}
INSTANTIATE_TEST_SUITE_P(Golden, SchemeVector, ::testing::ValuesIn(cases),
                         [](const auto& each) { return each.param.id + each.param.how; });

TEST(SchemeVectors, AreAllRead) {
    for (const auto& each : format_vectors().find("vectors")->items())
        EXPECT_TRUE(std::ranges::any_of(cases, [&](const Case& c) {
            return c.id == each->find("id")->text();
        })) << each->find("id")->text();
}

}  // namespace
}  // namespace mortise::test
