// One set of codes and scales has one set of digests: in two dialects, and wherever its bytes lie in a file.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "load/digest.h"
#include "support/golden.h"
#include "support/temp_folder.h"
#include "support/tensors.h"

namespace mortise::load {
namespace {

Digests digests_of(const std::string& path) {
    const auto planned = test::try_plan(path);
    EXPECT_TRUE(planned) << to_string(planned.error());
    Team team(2);
    return planned ? digest(Origin(**planned), team).value() : Digests{};
}

void expect_equal(const Digests& one, const Digests& other) {
    ASSERT_EQ(one.parts.size(), other.parts.size());
    ASSERT_GT(one.parts.size(), 0u);
    for (size_t i = 0; i < one.parts.size(); ++i) {
        EXPECT_EQ(one.parts[i].name, other.parts[i].name);
        EXPECT_EQ(one.parts[i].values, other.parts[i].values) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].spec, other.parts[i].spec) << one.parts[i].name;
        EXPECT_EQ(one.parts[i].act, other.parts[i].act) << one.parts[i].name;
    }
}

// [first, second]: folders of the golden checkpoints.
class Twins : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Twins, HaveEqualValuesSpecsAndActivations) {
    expect_equal(digests_of(test::golden(GetParam().first)), digests_of(test::golden(GetParam().second)));
}
INSTANTIATE_TEST_SUITE_P(Golden, Twins, ::testing::Values(std::pair("mo_fp8_pcpt", "mo_fp8_pcpt_ct_twin")));

// Spaces may fill a header up to any length: tensor data then starts on an odd byte.
TEST(Digests, DoNotDependOnWhereTensorDataStarts) {
    const std::string source = test::golden("mo_fp8_pcpt");
    const test::TempFolder folder;
    for (const auto& entry : std::filesystem::directory_iterator(source)) {
        std::string bytes = test::read_bytes(entry.path());
        if (entry.path().extension() == ".safetensors") {
            uint64_t length = 0;
            std::memcpy(&length, bytes.data(), sizeof length);
            const uint64_t spaces = 8 - (length + 7) % 8;
            bytes.insert(8 + length, spaces, ' ');
            length += spaces;
            ASSERT_EQ(length % 8, 1u);
            std::memcpy(bytes.data(), &length, sizeof length);
        }
        folder.write(entry.path().filename().string(), bytes);
    }
    expect_equal(digests_of(folder.path()), digests_of(source));
}

// [experts][rows][columns] of 16 bits, element (e, r, c) taken from place from(e, r, c).
template <class From>
test::TensorBytes picked(const test::TensorBytes& tensor, Shape shape, From from) {
    test::TensorBytes out{tensor.dtype, std::move(shape), {}};
    const auto last = out.shape.size() == 3 ? out.shape[2] : 1;
    for (int64_t e = 0; e < out.shape[0]; ++e)
        for (int64_t r = 0; r < out.shape[1]; ++r)
            for (int64_t c = 0; c < last; ++c) {
                const auto at = tensor.bytes.begin() + from(e, r, c) * 2;
                out.bytes.insert(out.bytes.end(), at, at + 2);
            }
    return out;
}

// MLX keeps gate, up and down of gpt-oss apart, rows first; the down stack has the name of another kind's.
TEST(Digests, DoNotDependOnHowExpertsAreStacked) {
    const std::string source = test::golden("gpt_oss");
    auto tensors = test::read_tensors(source);
    for (const char* layer : {"model.layers.0.mlp.experts.", "model.layers.1.mlp.experts."}) {
        const std::string to = layer;
        const auto both = tensors.extract(to + "gate_up_proj").mapped();
        const auto both_bias = tensors.extract(to + "gate_up_proj_bias").mapped();
        const auto down = tensors.extract(to + "down_proj").mapped();
        tensors[to + "down_proj.bias"] = tensors.extract(to + "down_proj_bias").mapped();
        const int64_t experts = both.shape[0], width = both.shape[1], inner = both.shape[2] / 2;
        for (const int64_t odd : {0, 1}) {
            const std::string name = to + (odd == 0 ? "gate_proj" : "up_proj");
            tensors[name + ".weight"] =
                picked(both, {experts, inner, width}, [&](int64_t e, int64_t row, int64_t column) {
                    return (e * width + column) * 2 * inner + 2 * row + odd;
                });
            tensors[name + ".bias"] =
                picked(both_bias, {experts, inner},
                       [&](int64_t e, int64_t row, int64_t) { return e * 2 * inner + 2 * row + odd; });
        }
        tensors[to + "down_proj.weight"] = picked(
            down, {experts, width, inner},
            [&](int64_t e, int64_t row, int64_t column) { return (e * inner + column) * width + row; });
    }
    const test::TempFolder folder;
    test::write_tensors(source, folder.at("apart"), tensors);
    expect_equal(digests_of(folder.at("apart")), digests_of(source));
}

}  // namespace
}  // namespace mortise::load
