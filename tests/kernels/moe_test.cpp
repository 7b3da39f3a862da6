// moe at every level against f64: routings, biases, quantized banks, banks of some experts; only the chosen
// experts count.
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
    explicit Banks(const Format& format, std::vector<uint32_t> numbers = {0, 1, 2, 3, 4}, uint32_t seed = 1)
        : members(std::move(numbers)),
          gate(format, inner_rows, width, seed, true, 0, members.size()),
          up(format, inner_rows, width, seed + 1, true, 0, members.size()),
          down(format, width, inner_rows, seed + 2, true, 0, members.size()) {}
    std::vector<uint32_t> members;
    Part gate, up, down;
};

double silu(double x) { return x / (1 + std::exp(-x)); }

// The experts that a row chooses, best first, and what they weigh.
struct Choice {
    Choice(uint32_t routing, const float* logits) : order(experts) {
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return logits[a] > logits[b]; });
        order.resize(routing == MORTISE_ROUTING_SOFTMAX_TOPK ? experts : top_k);
        for (size_t e : order) all += std::exp(double(logits[e]));
        order.resize(top_k);
        for (size_t e : order) weights.push_back(std::exp(double(logits[e])) / all);
    }
    double weight(size_t expert) const {  // 0 unless it is chosen
        const auto found = std::ranges::find(order, expert);
        return found == order.end() ? 0 : weights[static_cast<size_t>(found - order.begin())];
    }
    std::vector<size_t> order;
    std::vector<double> weights;
    double all = 0;
};

// x' of all rows of `x`, [rows][columns], prepared together.
std::vector<double> prepare_rows(const Part& part, uint32_t activations, const std::vector<float>& x) {
    return prepare(part, activations, x.data(), x.size() / part.columns());
}

std::vector<double> row_of(const std::vector<double>& rows, size_t row, uint64_t columns) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(row * columns);
    return {begin, begin + static_cast<std::ptrdiff_t>(columns)};
}

// The layer in f64, expert by expert, [rows][width]; every expert is in one of the banks.
std::vector<double> expected_rows(const std::vector<const Banks*>& banks, uint32_t routing,
                                  uint32_t activations, const std::vector<float>& x,
                                  const std::vector<float>& logits) {
    std::vector<double> y(x.size());
    std::vector<Choice> choices;
    for (size_t t = 0; t < x.size() / width; t++) choices.emplace_back(routing, &logits[t * experts]);
    for (const Banks* bank : banks) {
        for (size_t e = 0; e < bank->members.size(); e++) {
            std::vector<size_t> rows;
            std::vector<float> own, hidden;
            for (size_t t = 0; t < choices.size(); t++) {
                if (choices[t].weight(bank->members[e]) == 0) continue;
                rows.push_back(t);
                own.insert(own.end(), &x[t * width], &x[t * width] + width);
            }
            const auto gates = prepare_rows(bank->gate, activations, own),
                       ups = prepare_rows(bank->up, activations, own);
            for (size_t i = 0; i < rows.size(); i++) {
                const auto gate = row_of(gates, i, width), up = row_of(ups, i, width);
                for (uint64_t k = 0; k < inner_rows; k++)
                    hidden.push_back(
                        static_cast<float>(silu(bank->gate.dot(gate, k, e)) * bank->up.dot(up, k, e)));
            }
            const auto prepared = prepare_rows(bank->down, activations, hidden);
            for (size_t i = 0; i < rows.size(); i++) {
                const auto down = row_of(prepared, i, inner_rows);
                const double weight = choices[rows[i]].weight(bank->members[e]);
                for (uint64_t n = 0; n < width; n++)
                    y[rows[i] * width + n] += weight * bank->down.dot(down, n, e);
            }
        }
    }
    return y;
}

// The problem of one bank.
struct BankProblem {
    BankProblem(const Banks& banks, uint32_t routing, uint64_t max_rows,
                uint32_t activations = MORTISE_ACTIVATIONS_AS_SPECIFIED, bool some = false,
                bool accumulate = false) {
        box.inputs = {width, experts}, box.outputs = {width};
        box.parts = {&banks.gate.facts(), &banks.up.facts(), &banks.down.facts()};
        box.attr(MORTISE_ATTR_TOP_K, top_k), box.attr(MORTISE_ATTR_ROUTING, routing);
        box.attr(MORTISE_ATTR_STYLE, MORTISE_STYLE_SILU);
        box.finish(MORTISE_OP_MOE, max_rows, 3);
        box.problem.activations = activations;
        box.problem.members = some ? banks.members.data() : nullptr;
        box.problem.accumulate = accumulate;
    }
    ProblemBox box;
};

// Largest distance, against the root mean square of what is expected.
double distance(const std::vector<float>& got, const std::vector<double>& want, size_t row) {
    double worst = 0, sum = 0;
    for (uint64_t n = row * width; n < (row + 1) * width; n++) {
        worst = std::max(worst, std::fabs(got[n] - want[n]));
        sum += want[n] * want[n];
    }
    return std::isfinite(got[row * width]) ? worst / std::sqrt(sum / width)
                                           : std::numeric_limits<double>::infinity();
}

class Moe : public testing::TestWithParam<size_t> {
  protected:
    const Level& level() const { return levels()[GetParam()]; }
    // Experts with more than four rows may be multiplied in bf16: two products after each other.
    double tolerance(size_t rows) const { return rows <= 4 ? 1e-4 : std::max(1e-4, 4 * level().many); }

    void check(const Format& format, uint32_t routing, uint32_t rows) const {
        const Banks banks(format);
        const uint32_t activations =
            format.int8_input ? MORTISE_ACTIVATIONS_AS_SPECIFIED : MORTISE_ACTIVATIONS_EXACT;
        const BankProblem problem(banks, routing, rows, activations);
        Bound bound(level().provider, problem.box.problem, {&banks.gate, &banks.up, &banks.down});
        ASSERT_TRUE(bound.can()) << bound.bid().reason;
        const auto x = random_floats(rows * width, 4, 0.3f), logits = random_floats(rows * experts, 5);
        const auto one = bound.run(1, rows, {x.data(), logits.data()})[0];
        for (uint32_t threads : {2u, 3u})
            EXPECT_EQ(one, bound.run(threads, rows, {x.data(), logits.data()})[0])
                << threads << " threads differ from one";
        const auto expected = expected_rows({&banks}, routing, activations, x, logits);
        for (size_t t = 0; t < rows; t++) {
            // One step of an 8-bit input may fall to the other side.
            ASSERT_LT(distance(one, expected, t), tolerance(rows) + (format.int8_input ? 0.02 : 0))
                << format.name << " row " << t << " of " << rows;
        }
    }
};

TEST_P(Moe, RunsTheChosenExperts) {
    for (const Format& format :
         {Format{"f32", MORTISE_ENCODING_F32, 32}, Format{"bf16", MORTISE_ENCODING_BF16, 16},
          Format{"e4m3", MORTISE_ENCODING_E4M3, 8}, Format{"int4", MORTISE_ENCODING_UNSIGNED, 4, 8, 1, 2},
          Format{"e2m1", MORTISE_ENCODING_E2M1, 4, 8}}) {
        for (uint32_t rows : {1u, 3u, 40u}) check(format, MORTISE_ROUTING_SOFTMAX_TOPK_NORM, rows);
    }
}

TEST_P(Moe, WeighsExpertsAsTheRoutingSays) {
    for (uint32_t routing :
         {MORTISE_ROUTING_SOFTMAX_TOPK, MORTISE_ROUTING_SOFTMAX_TOPK_NORM, MORTISE_ROUTING_TOPK_SOFTMAX})
        check({"f32", MORTISE_ENCODING_F32, 32}, routing, 7);
}

TEST_P(Moe, QuantizesTheInputsOfEachBank) {
    Format format{"int4 with int8 inputs", MORTISE_ENCODING_UNSIGNED, 4, 8, 1, 2};
    format.int8_input = true;
    for (uint32_t rows : {2u, 30u}) check(format, MORTISE_ROUTING_SOFTMAX_TOPK_NORM, rows);
}

// The first rows are so large that the others of their experts keep hardly more than a sign.
TEST_P(Moe, OneInputScaleServesAllRowsOfAnExpert) {
    Format format{"int4 with one int8 scale", MORTISE_ENCODING_UNSIGNED, 4, 8, 1, 2};
    format.int8_input = format.one_scale = true;
    const Banks banks(format);
    const uint32_t routing = MORTISE_ROUTING_SOFTMAX_TOPK_NORM,
                   activations = MORTISE_ACTIVATIONS_AS_SPECIFIED;
    const BankProblem problem(banks, routing, 200, activations);
    Bound bound(level().provider, problem.box.problem, {&banks.gate, &banks.up, &banks.down});
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    for (uint32_t rows : {1u, 4u, 30u, 200u}) {  // of the last, an expert has more than a thread's block
        auto x = random_floats(rows * width, 4, 0.3f);
        const auto logits = random_floats(rows * experts, 5);
        for (size_t i = 0; i < x.size(); i++)
            if (i / width < 3) x[i] *= 64;
        const auto y = bound.run(1, rows, {x.data(), logits.data()})[0];
        EXPECT_EQ(y, bound.run(3, rows, {x.data(), logits.data()})[0]) << rows << " rows";
        const auto expected = expected_rows({&banks}, routing, activations, x, logits);
        double error = 0;
        for (size_t t = 0; t < rows; t++) error += distance(y, expected, t) / rows;
        EXPECT_LT(error, tolerance(rows)) << rows << " rows";
    }
}

TEST_P(Moe, AddsTheBanksOfALayerUp) {
    const Banks coded({"int4", MORTISE_ENCODING_UNSIGNED, 4, 8, 1, 2}, {0, 3}),
        plain({"bf16", MORTISE_ENCODING_BF16, 16}, {1, 2, 4}, 10);
    const uint32_t routing = MORTISE_ROUTING_TOPK_SOFTMAX, rows = 9;
    const BankProblem first(coded, routing, rows, MORTISE_ACTIVATIONS_EXACT, true),
        second(plain, routing, rows, MORTISE_ACTIVATIONS_EXACT, true, true);
    Bound one(level().provider, first.box.problem, {&coded.gate, &coded.up, &coded.down});
    Bound two(level().provider, second.box.problem, {&plain.gate, &plain.up, &plain.down});
    ASSERT_TRUE(one.can() && two.can()) << one.bid().reason << two.bid().reason;
    const auto x = random_floats(rows * width, 4, 0.3f), logits = random_floats(rows * experts, 5);
    std::vector<float> y(rows * width, std::numeric_limits<float>::quiet_NaN());
    const auto address = [](const std::vector<float>& v) {
        return mortise_address{reinterpret_cast<uintptr_t>(v.data()), 0};
    };
    const std::vector<mortise_address> in = {address(x), address(logits)}, out = {address(y)};
    for (Bound* bank : {&one, &two}) {
        mortise_arguments a = bank->arguments(rows);
        a.inputs = in.data(), a.outputs = out.data();
        with_team(2, [&](const mortise_team& team) { bank->run_into(team, a); });
    }
    const auto expected = expected_rows({&coded, &plain}, routing, MORTISE_ACTIVATIONS_EXACT, x, logits);
    for (size_t t = 0; t < rows; t++) ASSERT_LT(distance(y, expected, t), tolerance(rows)) << "row " << t;
}

TEST_P(Moe, IgnoresExpertsThatWereNotChosen) {
    Banks banks({"f32", MORTISE_ENCODING_F32, 32});
    banks.gate.poison(3, 3);  // of expert 0
    const BankProblem problem(banks, MORTISE_ROUTING_TOPK_SOFTMAX, 8);
    Bound bound(level().provider, problem.box.problem, {&banks.gate, &banks.up, &banks.down});
    const auto x = random_floats(2 * width, 6);
    const std::vector<float> logits = {0, 1, 0, 0.5, 0, /**/ 9, 1, 0, 0, 0};
    const auto y = bound.run(1, 2, {x.data(), logits.data()})[0];
    EXPECT_TRUE(std::isfinite(y[0]));
    EXPECT_TRUE(std::isnan(y[width]));
}

TEST_P(Moe, RefusesWhatDoesNotFitWithAReason) {
    const Banks banks({"f32", MORTISE_ENCODING_F32, 32}), few({"f32", MORTISE_ENCODING_F32, 32}, {0, 3});
    const BankProblem incomplete(few, MORTISE_ROUTING_TOPK_SOFTMAX, 8);
    const Bound partial(level().provider, incomplete.box.problem, {});
    EXPECT_FALSE(partial.can()) << "a bank of some experts that does not say which";
    EXPECT_NE(partial.bid().reason[0], 0);
    for (int64_t chosen : {0, 6}) {
        ProblemBox box;
        box.inputs = {width, experts}, box.outputs = {width};
        box.parts = {&banks.gate.facts(), &banks.up.facts(), &banks.down.facts()};
        box.attr(MORTISE_ATTR_TOP_K, chosen), box.attr(MORTISE_ATTR_ROUTING, MORTISE_ROUTING_TOPK_SOFTMAX);
        const Bound bound(level().provider, box.finish(MORTISE_OP_MOE, 8, 2), {});
        EXPECT_FALSE(bound.can());
        EXPECT_NE(bound.bid().reason[0], 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Levels, Moe, testing::Range(size_t{0}, levels().size()),
                         [](const auto& tested) { return level_name(tested.param); });

}  // namespace
}  // namespace mortise::test
