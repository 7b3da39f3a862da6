// moe against f64: routings, biases, quantized banks; only the chosen experts count.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "providers.h"

namespace mortise::test {
namespace {

constexpr uint64_t width = 96, inner_rows = 40, experts = 5, top_k = 2;

struct Banks {
    explicit Banks(const Format& format)
        : gate(format, inner_rows, width, 1, true, 0, experts), up(format, inner_rows, width, 2, true, 0, experts),
          down(format, width, inner_rows, 3, true, 0, experts) {}
    Part gate, up, down;
};

double silu(double x) { return x / (1 + std::exp(-x)); }

std::vector<double> expected_row(const Banks& banks, uint32_t routing, const float* x, const float* logits) {
    std::vector<size_t> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double all = 0, some = 0;
    for (size_t e = 0; e < experts; e++) all += std::exp(double(logits[e]));
    for (size_t k = 0; k < top_k; k++) some += std::exp(double(logits[order[k]]));
    std::vector<double> y(width);
    const std::vector<double> input(x, x + width);
    for (size_t k = 0; k < top_k; k++) {
        const uint64_t e = order[k];
        const double weight = std::exp(double(logits[e])) / (routing == MORTISE_ROUTING_SOFTMAX_TOPK ? all : some);
        std::vector<double> hidden;
        for (uint64_t i = 0; i < inner_rows; i++) {
            hidden.push_back(silu(banks.gate.dot(input, i, e)) * banks.up.dot(input, i, e));
        }
        for (uint64_t n = 0; n < width; n++) y[n] += weight * banks.down.dot(hidden, n, e);
    }
    return y;
}

TEST(Moe, RunsTheChosenExperts) {
    for (const Format& format : {Format{"f32", MORTISE_ENCODING_F32, 32}, Format{"int4", MORTISE_ENCODING_UNSIGNED, 4, 8, 1, 2}}) {
        const Banks banks(format);
        for (uint32_t routing : {MORTISE_ROUTING_SOFTMAX_TOPK, MORTISE_ROUTING_SOFTMAX_TOPK_NORM, MORTISE_ROUTING_TOPK_SOFTMAX}) {
            ProblemBox box;
            box.inputs = {width, experts}, box.outputs = {width};
            box.parts = {&banks.gate.facts(), &banks.up.facts(), &banks.down.facts()};
            box.attr(MORTISE_ATTR_TOP_K, top_k), box.attr(MORTISE_ATTR_ROUTING, routing);
            box.attr(MORTISE_ATTR_STYLE, MORTISE_STYLE_SILU);
            Bound bound(levels()[0].provider, box.finish(MORTISE_OP_MOE, 8, 2), {&banks.gate, &banks.up, &banks.down});
            ASSERT_TRUE(bound.can()) << bound.bid().reason;
            const auto x = random_floats(7 * width, 4, 0.3f), logits = random_floats(7 * experts, 5);
            const auto one = bound.run(1, 7, {x.data(), logits.data()})[0];
            EXPECT_EQ(one, bound.run(2, 7, {x.data(), logits.data()})[0]) << "one and two threads differ";
            for (size_t t = 0; t < 7; t++) {
                const auto expected = expected_row(banks, routing, &x[t * width], &logits[t * experts]);
                for (uint64_t n = 0; n < width; n++) {
                    ASSERT_NEAR(one[t * width + n], expected[n], 1e-5 * (1 + std::fabs(expected[n])));
                }
            }
        }
    }
}

TEST(Moe, IgnoresExpertsThatWereNotChosen) {
    Banks banks({"f32", MORTISE_ENCODING_F32, 32});
    banks.gate.poison(3, 3);  // of expert 0
    ProblemBox box;
    box.inputs = {width, experts}, box.outputs = {width};
    box.parts = {&banks.gate.facts(), &banks.up.facts(), &banks.down.facts()};
    box.attr(MORTISE_ATTR_TOP_K, 1), box.attr(MORTISE_ATTR_ROUTING, MORTISE_ROUTING_TOPK_SOFTMAX);
    box.attr(MORTISE_ATTR_STYLE, MORTISE_STYLE_SILU);
    Bound bound(levels()[0].provider, box.finish(MORTISE_OP_MOE, 8, 2), {&banks.gate, &banks.up, &banks.down});
    const auto x = random_floats(2 * width, 6);
    const std::vector<float> logits = {0, 1, 0, 0, 0, /**/ 9, 1, 0, 0, 0};
    const auto y = bound.run(1, 2, {x.data(), logits.data()})[0];
    EXPECT_TRUE(std::isfinite(y[0]));
    EXPECT_TRUE(std::isnan(y[width]));
}

TEST(Moe, RefusesWhatDoesNotFitWithAReason) {
    const Banks banks({"f32", MORTISE_ENCODING_F32, 32});
    for (int64_t chosen : {0, 6}) {
        ProblemBox box;
        box.inputs = {width, experts}, box.outputs = {width};
        box.parts = {&banks.gate.facts(), &banks.up.facts(), &banks.down.facts()};
        box.attr(MORTISE_ATTR_TOP_K, chosen), box.attr(MORTISE_ATTR_ROUTING, MORTISE_ROUTING_TOPK_SOFTMAX);
        Bound bound(levels()[0].provider, box.finish(MORTISE_OP_MOE, 8, 2), {});
        EXPECT_FALSE(bound.can());
        EXPECT_NE(bound.bid().reason[0], 0);
    }
}

}  // namespace
}  // namespace mortise::test
