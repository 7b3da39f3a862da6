// What the tests of this scheme share: its config in pieces, tensors of its kinds.
#pragma once

#include "schemes/scheme_case.h"

namespace mortise::test {
inline const std::string int4 =
    R"("weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32})";
inline const std::string int8 = R"("weights": {"num_bits": 8, "type": "int", "strategy": "channel"})";
inline const std::string whole8 = R"("weights": {"num_bits": 8, "type": "float", "strategy": "tensor"})";
inline const std::string rows8 = R"("weights": {"num_bits": 8, "type": "float", "strategy": "channel"})";
inline const std::string fp4 =
    R"("weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16})";

inline std::string group(const std::string& format, const std::string& body,
                         const std::string& targets = R"("Linear")") {
    return R"({"format": ")" + format + R"(", "targets": [)" + targets + "], " + body + "}";
}
inline std::string config(const std::string& groups, const std::string& more = "") {
    return R"({"quantization_config": {"quant_method": "compressed-tensors", "quantization_status": "compressed", )"
           R"("transform_config": {}, "kv_cache_scheme": null, "config_groups": {)" +
           groups + "}" + more + "}}";
}
inline std::string only(const std::string& format, const std::string& body,
                        const std::string& more = R"(, "ignore": ["lm_head"], "sparsity_config": {})") {
    return config(R"("group_0": )" + group(format, body), more);
}
class CompressedTensors : public testing::Test {
  protected:
    void SetUp() override { host.reset(); }
    void use(const std::string& text) { host.file("config.json", text); }
    // 64 x 64 codes of 4 bits with groups of 32.
    void packed(const std::string& module, int64_t words = 8, int64_t groups = 2) {
        host.tensor(module + ".weight_packed", MORTISE_DTYPE_I32, {64, words});
        host.tensor(module + ".weight_scale", MORTISE_DTYPE_BF16, {64, groups});
        host.tensor(module + ".weight_shape", MORTISE_DTYPE_I64, {2});
    }
    void coded(const std::string& module, uint32_t dtype, std::vector<int64_t> scale) {
        host.tensor(module + ".weight", dtype, {64, 64});
        host.tensor(module + ".weight_scale", MORTISE_DTYPE_BF16, std::move(scale));
    }
    Seen ask(const ModuleOf& module) {
        Opened opened("compressed_tensors");
        EXPECT_EQ(opened.status, MORTISE_OK) << opened.error;
        return opened.status == MORTISE_OK ? opened.module(module) : Seen{};
    }
    FakeHost& host = FakeHost::instance();
};

}  // namespace mortise::test
