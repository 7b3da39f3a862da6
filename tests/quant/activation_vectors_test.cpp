// Every activation rule that occurs, against what the producers' own functions made of the same inputs
// (tests/golden/vectors/make_activations.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "base/json.h"
#include "quant/activation.h"
#include "quant/vectors.h"

namespace mortise::quant {
namespace {

const json::Node& root() {
    static const json::Document parsed = [] {
        const std::string path =
            std::string(MORTISE_SOURCE_DIR) + "/tests/golden/vectors/activation_vectors.json";
        std::ifstream in(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        return std::move(*json::Document::parse(text, path));
    }();
    return parsed.root();
}

std::vector<float> floats(const json::Node* text) {
    if (!text) return {};
    const std::vector<std::byte> bytes = testing::from_hex(*text->as_string());
    std::vector<float> out(bytes.size() / sizeof(float));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
}

struct Case {
    std::string id;
    mortise_spec spec{};
    std::vector<float> values, scale, zero, scale2;

    explicit Case(const json::Node& node) : id(*node.find("id")->as_string()) {
        const json::Node& rule = *node.find("rule");
        const auto number = [&](const char* key) {
            return rule.find(key) ? *rule.find(key)->as_double() : 0.0;
        };
        const auto whole = [&](const char* key) { return static_cast<uint32_t>(number(key)); };
        spec.head.size = sizeof spec;
        mortise_activation& a = spec.activation;
        a.granularity = whole("granularity"), a.encoding = whole("encoding"), a.bits = whole("bits");
        a.dynamic = whole("dynamic"), a.asymmetric = whole("asymmetric"),
        a.exponent_rule = whole("exponent_rule");
        a.scale_encoding = whole("scale_encoding"), a.second_level = whole("second_level"),
        a.group = whole("group");
        a.divisor = number("divisor"), a.amax_floor = number("amax_floor"),
        a.scale_floor = number("scale_floor");
        a.zero_scale = number("zero_scale");
        spec.activation_ties = whole("ties_to_zero");
        values = floats(node.find("values"));
        scale = floats(node.find("scale")), zero = floats(node.find("zero")),
        scale2 = floats(node.find("scale2"));
    }

    std::vector<float> run() const {
        const auto rows = static_cast<uint64_t>(*root().find("rows")->as_int()),
                   columns = static_cast<uint64_t>(*root().find("columns")->as_int());
        const std::vector<float> x = floats(root().find("x"));
        std::vector<float> out(x.size());
        mortise_extras extras{};
        extras.head.size = sizeof extras;
        if (!scale.empty()) extras.input_scale = scale.data();
        if (!zero.empty()) extras.input_zero_point = zero.data();
        if (!scale2.empty()) extras.input_scale2 = scale2.data();
        prepare_input(spec, extras, MORTISE_ACTIVATIONS_AS_SPECIFIED, rows, columns, x.data(), out.data());
        return out;
    }
};

std::vector<Case> cases() {
    std::vector<Case> out;
    for (const auto& node : root().find("cases")->items()) out.emplace_back(*node);
    return out;
}

class ActivationVectors : public ::testing::TestWithParam<Case> {};

// The rules divide by the scale. Two producers multiply by 1 / scale instead, and by its reciprocal on the
// way back: an ulp or two, and a neighbouring code where the quotient lies that near to a border.
bool multiplies_by_reciprocals(const std::string& id) {
    return id.starts_with("modelopt_fp8") || id.starts_with("modelopt_int8");
}

TEST_P(ActivationVectors, AreReproduced) {
    const Case& c = GetParam();
    const std::vector<float> got = c.run();
    ASSERT_EQ(got.size(), c.values.size());
    size_t other_codes = 0;
    for (size_t i = 0; i < got.size(); ++i) {
        const float difference = std::fabs(got[i] - c.values[i]), size = std::fabs(c.values[i]);
        if (!multiplies_by_reciprocals(c.id)) {
            ASSERT_EQ(got[i], c.values[i]) << c.id << " at " << i;
        } else if (!(difference <= 4e-7f * size)) {
            ++other_codes;
        }
    }
    EXPECT_LE(other_codes, got.size() / 100) << c.id;
}

INSTANTIATE_TEST_SUITE_P(Producers, ActivationVectors, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.id; });

}  // namespace
}  // namespace mortise::quant
