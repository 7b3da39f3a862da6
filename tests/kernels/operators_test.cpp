// norm, rope, activations and element-wise operators against f64.
#include <gtest/gtest.h>

#include <cmath>

#include "providers.h"

namespace mortise::test {
namespace {

class OperatorsTest : public testing::TestWithParam<size_t> {
  protected:
    const Provider& provider() const { return levels()[GetParam()].provider; }
};

void expect_near(const std::vector<float>& found, const std::vector<double>& expected, double relative) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); i++) {
        ASSERT_NEAR(found[i], expected[i], relative * (1 + std::fabs(expected[i]))) << "at " << i;
    }
}

// One and two threads must agree bit for bit.
std::vector<float> run_both(Bound& bound, uint32_t rows, const std::vector<const float*>& inputs,
                            const mortise_batch* batch = nullptr,
                            const std::vector<const float*>& weights = {}) {
    const auto one = bound.run(1, rows, inputs, batch, nullptr, weights)[0];
    EXPECT_EQ(one, bound.run(2, rows, inputs, batch, nullptr, weights)[0]);
    return one;
}

TEST_P(OperatorsTest, NormsWholeRowsAndBlocks) {
    for (uint64_t width : {1ull, 16ull, 33ull, 64ull, 2048ull}) {
        for (uint32_t style : {MORTISE_STYLE_RMS, MORTISE_STYLE_LAYER}) {
            for (size_t given : {0u, 1u, 2u}) {
                ProblemBox box;
                const uint64_t total = width == 64 ? 256 : width;
                box.inputs = {total}, box.outputs = {total};
                box.attr(MORTISE_ATTR_STYLE, style);
                box.attr(MORTISE_ATTR_WIDTH, width == 64 ? 64 : 0);
                box.real(MORTISE_ATTR_EPS, 1e-3);
                box.real(MORTISE_ATTR_WEIGHT_OFFSET, 1.0);
                Bound bound(provider(), box.finish(MORTISE_OP_NORM, 70, 2));
                ASSERT_TRUE(bound.can()) << bound.bid().reason;
                const auto x = random_floats(5 * total, 1, 3), w = random_floats(width, 2),
                           b = random_floats(width, 3);
                std::vector<const float*> weights = {w.data(), b.data()};
                weights.resize(given);
                std::vector<double> expected;
                for (uint64_t block = 0; block < 5 * total / width; block++) {
                    const float* row = &x[block * width];
                    double mean = 0, square = 0;
                    for (uint64_t i = 0; i < width; i++) mean += row[i] / double(width);
                    if (style == MORTISE_STYLE_RMS) mean = 0;
                    for (uint64_t i = 0; i < width; i++) square += std::pow(row[i] - mean, 2) / double(width);
                    for (uint64_t i = 0; i < width; i++) {
                        expected.push_back((row[i] - mean) / std::sqrt(square + 1e-3) *
                                               (given > 0 ? 1 + w[i] : 1) +
                                           (given > 1 ? b[i] : 0));
                    }
                }
                expect_near(run_both(bound, 5, {x.data()}, nullptr, weights), expected, 2e-6);
            }
        }
    }
}

struct RopeCase {
    uint32_t style;
    int kind;  // 0 fixed, 1 dynamic, 2 long
};

std::vector<double> turned(const std::vector<float>& x, const BatchBox& batch, const RopeCase& c,
                           const std::vector<float>& frequencies, const std::vector<float>& longer,
                           uint64_t heads, uint64_t dim) {
    std::vector<double> y(x.begin(), x.end());
    const size_t pairs = frequencies.size();
    for (size_t row = 0; row < batch.positions.size(); row++) {
        size_t sequence = 0;
        while (row >= batch.first_row[sequence + 1]) sequence++;
        const double length = batch.lengths[sequence];
        for (size_t i = 0; i < pairs; i++) {
            double frequency = frequencies[i];
            if (c.kind == 1 && length > 8) {
                const double r = 2.0 * double(pairs);
                const double base = 10000 * std::pow(4 * length / 8 - 3, r / (r - 2));
                frequency = static_cast<float>(std::pow(base, -2.0 * double(i) / r));
            }
            if (c.kind == 2 && length > 10) frequency = longer[i];
            const double angle = static_cast<float>(float(batch.positions[row]) * float(frequency));
            for (size_t head = 0; head < heads; head++) {
                const size_t at = (row * heads + head) * dim;
                const size_t a = at + (c.style == MORTISE_STYLE_HALF ? i : 2 * i);
                const size_t b = at + (c.style == MORTISE_STYLE_HALF ? i + pairs : 2 * i + 1);
                y[a] = 1.25 * (x[a] * std::cos(angle) - x[b] * std::sin(angle));
                y[b] = 1.25 * (x[b] * std::cos(angle) + x[a] * std::sin(angle));
            }
        }
    }
    return y;
}

TEST_P(OperatorsTest, TurnsHeadsByPosition) {
    for (const RopeCase& c : {RopeCase{MORTISE_STYLE_HALF, 0}, RopeCase{MORTISE_STYLE_INTERLEAVED, 0},
                              RopeCase{MORTISE_STYLE_HALF, 1}, RopeCase{MORTISE_STYLE_INTERLEAVED, 2}}) {
        for (const auto& [dim, pairs] : {std::pair<uint64_t, size_t>{64, 32}, {24, 12}, {80, 16}, {6, 2}}) {
            ProblemBox box;
            box.inputs = {3 * dim}, box.outputs = {3 * dim};
            std::vector<float> frequencies, longer;
            for (size_t i = 0; i < pairs; i++) {
                frequencies.push_back(float(std::pow(10000.0, -double(i) / double(pairs))));
                longer.push_back(frequencies.back() / 3);
            }
            box.attr(MORTISE_ATTR_HEAD_DIM, int64_t(dim));
            box.attr(MORTISE_ATTR_STYLE, c.style);
            box.array(MORTISE_ATTR_FREQUENCIES, frequencies);
            box.real(MORTISE_ATTR_AMPLITUDE, 1.25);
            if (c.kind == 1) {
                box.real(MORTISE_ATTR_ROPE_BASE, 10000);
                box.real(MORTISE_ATTR_FACTOR, 4);
                box.attr(MORTISE_ATTR_MAX_POSITIONS, 8);
            }
            if (c.kind == 2) {
                box.array(MORTISE_ATTR_LONG_FREQUENCIES, longer);
                box.attr(MORTISE_ATTR_LONG_FROM, 10);
            }
            Bound bound(provider(), box.finish(MORTISE_OP_ROPE, 70, 2));
            ASSERT_TRUE(bound.can()) << bound.bid().reason;
            const BatchBox batch({5, 1, 9}, {0, 20, 3}, 4);
            const auto x = random_floats(15 * 3 * dim, 4);
            expect_near(run_both(bound, 15, {x.data()}, &batch.batch),
                        turned(x, batch, c, frequencies, longer, 3, dim), 2e-6);
        }
    }
}

double act(uint32_t style, double x) {
    switch (style) {
        case MORTISE_STYLE_SILU: return x / (1 + std::exp(-x));
        case MORTISE_STYLE_GELU: return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
        case MORTISE_STYLE_GELU_TANH:
            return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case MORTISE_STYLE_RELU: return std::max(x, 0.0);
        default: return std::pow(std::max(x, 0.0), 2);
    }
}

TEST_P(OperatorsTest, AppliesActivations) {
    for (uint64_t width : {1ull, 50ull, 64ull, 1000ull}) {
        auto a = random_floats(3 * width, 5, 4), b = random_floats(3 * width, 6, 4);
        a[0] = 90, b[0] = 1;
        a[width] = -90;
        for (uint32_t style : {MORTISE_STYLE_SILU, MORTISE_STYLE_GELU, MORTISE_STYLE_GELU_TANH,
                               MORTISE_STYLE_RELU, MORTISE_STYLE_RELU2, MORTISE_STYLE_SWIGLU_CLAMPED}) {
            ProblemBox pair, one;
            pair.inputs = {width, width}, pair.outputs = {width};
            one.inputs = {width}, one.outputs = {width};
            for (ProblemBox* box : {&pair, &one}) {
                box->attr(MORTISE_ATTR_STYLE, style);
                box->real(MORTISE_ATTR_LIMIT, 7);
            }
            std::vector<double> products, values;
            for (size_t i = 0; i < a.size(); i++) {
                const double gate = std::min(double(a[i]), 7.0), up = std::clamp(double(b[i]), -7.0, 7.0);
                const bool clamped = style == MORTISE_STYLE_SWIGLU_CLAMPED;
                products.push_back(clamped ? (up + 1) * gate / (1 + std::exp(-1.702 * gate))
                                           : act(style, a[i]) * b[i]);
                values.push_back(act(style, a[i]));
            }
            Bound bound(provider(), pair.finish(MORTISE_OP_ACT_MUL, 70, 2));
            ASSERT_TRUE(bound.can()) << bound.bid().reason;
            expect_near(run_both(bound, 3, {a.data(), b.data()}), products, 3e-6);
            Bound alone(provider(), one.finish(MORTISE_OP_ACT, 70, 2));
            if (style == MORTISE_STYLE_SWIGLU_CLAMPED)
                EXPECT_FALSE(alone.can());
            else
                expect_near(run_both(alone, 3, {a.data()}), values, 3e-6);
        }
    }
}

TEST_P(OperatorsTest, AddsScalesAndCaps) {
    for (uint64_t width : {1ull, 19ull, 256ull}) {
        const auto a = random_floats(4 * width, 7, 40), b = random_floats(4 * width, 8);
        ProblemBox add, scale, cap;
        add.inputs = {width, width}, scale.inputs = cap.inputs = {width};
        add.outputs = scale.outputs = cap.outputs = {width};
        scale.real(MORTISE_ATTR_FACTOR, 0.37);
        cap.real(MORTISE_ATTR_FACTOR, 30);
        std::vector<double> sums, scaled, capped;
        for (size_t i = 0; i < a.size(); i++) {
            sums.push_back(double(a[i]) + b[i]);
            scaled.push_back(a[i] * 0.37);
            capped.push_back(30 * std::tanh(a[i] / 30.0));
        }
        Bound adds(provider(), add.finish(MORTISE_OP_ADD, 70, 2)),
            scales(provider(), scale.finish(MORTISE_OP_SCALE, 70, 2)),
            caps(provider(), cap.finish(MORTISE_OP_SOFTCAP, 70, 2));
        ASSERT_TRUE(adds.can() && scales.can() && caps.can());
        expect_near(run_both(adds, 4, {a.data(), b.data()}), sums, 1e-6);
        expect_near(run_both(scales, 4, {a.data()}), scaled, 1e-6);
        expect_near(run_both(caps, 4, {a.data()}), capped, 3e-6);
    }
}

TEST_P(OperatorsTest, RefusesWhatItDoesNotKnowWithAReason) {
    ProblemBox box;
    box.inputs = {16}, box.outputs = {16};
    box.attr(MORTISE_ATTR_STYLE, 99);
    for (uint32_t kind :
         {uint32_t(MORTISE_OP_NORM), uint32_t(MORTISE_OP_ACT), uint32_t(MORTISE_OP_ROPE), 999u}) {
        Bound bound(provider(), box.finish(kind, 70, 2));
        EXPECT_FALSE(bound.can());
        EXPECT_NE(bound.bid().reason[0], 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Levels, OperatorsTest, testing::Range(size_t{0}, levels().size()),
                         [](const auto& tested) { return level_name(tested.param); });

}  // namespace
}  // namespace mortise::test
