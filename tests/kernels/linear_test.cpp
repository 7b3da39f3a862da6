// linear groups: every level x weight format x shape against f64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "providers.h"

namespace mortise::test {
namespace {

Format in_16_bits(Format format, uint32_t encoding) {
    format.scale_as = encoding;
    return format;
}

const std::vector<Format>& formats() {
    static const std::vector<Format> all = {
        {"f32", MORTISE_ENCODING_F32, 32},
        {"f16", MORTISE_ENCODING_F16, 16},
        {"bf16", MORTISE_ENCODING_BF16, 16},
        {"fp8_row", MORTISE_ENCODING_E4M3, 8},
        {"fp8_tensor", MORTISE_ENCODING_E4M3, 8, 0, 1 << 20},
        {"fp8_block", MORTISE_ENCODING_E4M3, 8, 128, 128},
        {"mxfp8", MORTISE_ENCODING_E4M3, 8, 32},
        {"e5m2_row", MORTISE_ENCODING_E5M2, 8},
        {"int8_row", MORTISE_ENCODING_TWOS, 8},
        {"int8_group_zero", MORTISE_ENCODING_UNSIGNED, 8, 128, 1, 2},
        {"int4_g128", MORTISE_ENCODING_OFFSET, 4, 128},
        {"int4_g128_constant", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 1},
        {"int4_g128_zero", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 2},
        {"int4_g32_addend", MORTISE_ENCODING_UNSIGNED, 4, 32, 1, 3},
        {"int4_g64_twos", MORTISE_ENCODING_TWOS, 4, 64},
        {"int4_row", MORTISE_ENCODING_OFFSET, 4},
        {"int3_g64", MORTISE_ENCODING_UNSIGNED, 3, 64, 1, 2},
        {"int2_g32", MORTISE_ENCODING_UNSIGNED, 2, 32, 1, 2},
        {"int6_g32", MORTISE_ENCODING_UNSIGNED, 6, 32, 1, 1},
        {"fp4_g16", MORTISE_ENCODING_E2M1, 4, 16},
        {"fp4_g32", MORTISE_ENCODING_E2M1, 4, 32},
        {"lookup_g64", MORTISE_ENCODING_LOOKUP, 4, 64},
        {"int1_g32_addend", MORTISE_ENCODING_UNSIGNED, 1, 32, 1, 3},
        {"int2_g16_addend", MORTISE_ENCODING_UNSIGNED, 2, 16, 1, 3},
        {"int5_g32_addend", MORTISE_ENCODING_UNSIGNED, 5, 32, 1, 3},
        {"int6_g16", MORTISE_ENCODING_OFFSET, 6, 16},
        {"int7_g64_zero", MORTISE_ENCODING_UNSIGNED, 7, 64, 1, 2},
        {"e4m3fnuz_row", MORTISE_ENCODING_E4M3FNUZ, 8},
        {"lookup8_g64", MORTISE_ENCODING_LOOKUP, 8, 64},
        {"int4_g10_zero", MORTISE_ENCODING_UNSIGNED, 4, 10, 1, 2},
        {"int8_g12_addend", MORTISE_ENCODING_UNSIGNED, 8, 12, 1, 3},
        {"fp8_g36", MORTISE_ENCODING_E4M3, 8, 36},
        {"e5m2_g20", MORTISE_ENCODING_E5M2, 8, 20},
        {"int4_act_order", MORTISE_ENCODING_UNSIGNED, 4, 128, 1, 2, true},
        {"int4_act_order_g32_addend", MORTISE_ENCODING_UNSIGNED, 4, 32, 1, 3, true},
        {"int8_act_order_g32", MORTISE_ENCODING_OFFSET, 8, 32, 1, 0, true},
        {"int4_g128_cast", MORTISE_ENCODING_TWOS, 4, 128, 1, 0, false, true},
        {"fp4_g16_cast_pre_scale", MORTISE_ENCODING_E2M1, 4, 16, 1, 0, false, true, true},
        {"fp4_g16_low_rank", MORTISE_ENCODING_E2M1, 4, 16, 1, 0, false, false, true, false, false, 9},
        in_16_bits({"int4_g32_f16", MORTISE_ENCODING_UNSIGNED, 4, 32, 1, 2}, MORTISE_ENCODING_F16),
        in_16_bits({"int8_g32_f16", MORTISE_ENCODING_TWOS, 8, 32}, MORTISE_ENCODING_F16),
        in_16_bits({"int4_act_order_bf16", MORTISE_ENCODING_OFFSET, 4, 64, 1, 3, true},
                   MORTISE_ENCODING_BF16),
        in_16_bits({"fp4_g32_e8m0", MORTISE_ENCODING_E2M1, 4, 32}, MORTISE_ENCODING_E8M0),
        in_16_bits({"fp8_g32_e8m0", MORTISE_ENCODING_E4M3, 8, 32}, MORTISE_ENCODING_E8M0),
        {"int4_act_order_low_rank", MORTISE_ENCODING_OFFSET, 4, 64, 1, 0, true, false, false, false, false,
         8},
    };
    return all;
}

struct Case {
    size_t level, format;
};

class LinearTest : public testing::TestWithParam<Case> {
  protected:
    const Level& level() const { return levels()[GetParam().level]; }
    const Format& format() const { return formats()[GetParam().format]; }
};

// Effect: the largest error in units of the root of the sum of squared terms.
double worst_error(const Part& part, const float* x, uint32_t rows, const std::vector<float>& y,
                   uint32_t activations = MORTISE_ACTIVATIONS_EXACT) {
    double worst = 0;
    for (uint32_t t = 0; t < rows; t++) {
        const auto prepared = prepare(part, activations, x + t * part.columns());
        for (uint64_t n = 0; n < part.rows(); n++) {
            double squares = 1e-30;
            const double* w = &part.weights()[n * part.columns()];
            for (uint64_t k = 0; k < part.columns(); k++) squares += w[k] * w[k] * prepared[k] * prepared[k];
            const double more = part.low_rank(x + t * part.columns(), n),
                         wanted = part.dot(prepared, n) + more;
            const double error =
                std::fabs(y[t * part.rows() + n] - wanted) / std::sqrt(squares + more * more);
            if (!(error <= worst)) worst = error;  // keeps NaN
        }
    }
    return worst;
}

// A group of parts over one input; runs it for several row counts.
void check_group(const Level& level, const std::vector<const Part*>& parts, const std::vector<uint32_t>& rows,
                 uint32_t activations = MORTISE_ACTIVATIONS_EXACT, double tighter = 1) {
    ProblemBox box;
    const uint64_t columns = parts[0]->columns();
    box.inputs = {columns};
    for (const Part* part : parts) {
        box.outputs.push_back(part->rows());
        box.parts.push_back(&part->facts());
    }
    activations = std::max(activations, parts[0]->activations());
    box.problem.activations = activations;
    Bound bound(level.provider, box.finish(MORTISE_OP_LINEAR, 70, 2), parts);
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    for (uint32_t count : rows) {
        const auto x = random_floats(count * columns, 99 + count);
        const auto one = bound.run(1, count, {x.data()});
        const auto two = bound.run(2, count, {x.data()});
        const double limit = std::min(tighter, count <= 4 ? level.few : level.many);
        for (size_t i = 0; i < parts.size(); i++) {
            EXPECT_LE(worst_error(*parts[i], x.data(), count, one[i], activations), limit)
                << count << " rows, part " << i;
            EXPECT_EQ(one[i], two[i]) << count << " rows: one and two threads differ";
        }
    }
}

TEST_P(LinearTest, AgreesWithF64OnWholeTiles) {
    const Part part(format(), 96, 256, 1);
    check_group(level(), {&part}, {1, 2, 3, 4, 5, 8, 16, 33, 64, 70});
}

TEST_P(LinearTest, AgreesWithF64OnRaggedRowsAndColumns) {
    const Part odd(format(), 37, 224, 2, true), small(format(), 5, 32, 3), wide(format(), 130, 480, 4, true);
    const Part uneven(format(), 33, 205, 18, true);
    for (const Part* part : {&odd, &small, &wide, &uneven}) check_group(level(), {part}, {1, 3, 7, 17, 70});
}

TEST_P(LinearTest, TakesSeveralPartsWithOneInput) {
    const Part q(format(), 64, 256, 5, true), k(format(), 24, 256, 6), v(format(), 16, 256, 7, true);
    check_group(level(), {&q, &k, &v}, {1, 2, 20});
}

TEST_P(LinearTest, ScalesTakeNoMoreBitsThanTheyHave) {
    if (format().scale_as == MORTISE_ENCODING_F32) return;
    Format wide = format();
    wide.scale_as = MORTISE_ENCODING_F32;
    const auto bytes = [&](const Format& tested) {
        const Part part(tested, 96, 256, 1);
        ProblemBox box;
        box.inputs = {256}, box.outputs = {96}, box.parts = {&part.facts()};
        return level().provider.table->packed_bytes(&box.finish(MORTISE_OP_LINEAR, 70, 2), 0);
    };
    const bool saves = level().provider.name != "reference";
    EXPECT_EQ(bytes(wide) - bytes(format()), saves ? 96 * 256 / format().group * 2 : 0);
}

TEST_P(LinearTest, CarriesThePhaseOfAShard) {
    if (format().group == 0) return;  // no groups, no phase
    const Part shard(format(), 48, 192, 8, false, format().group / 2), late(format(), 48, 160, 8, false, 131);
    for (const Part* part : {&shard, &late}) check_group(level(), {part}, {1, 2, 16});
}

TEST_P(LinearTest, PropagatesNanAndInfinityInTheInput) {
    const Part part(format(), 40, 256, 9);
    ProblemBox box;
    box.inputs = {256}, box.outputs = {40}, box.parts = {&part.facts()};
    box.problem.activations = part.activations();
    Bound bound(level().provider, box.finish(MORTISE_OP_LINEAR, 70, 2), {&part});
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    for (float bad : {std::nanf(""), HUGE_VALF}) {
        for (uint32_t rows : {1u, 3u, 32u}) {
            auto x = random_floats(rows * 256, 10);
            x[(rows - 1) * 256 + 77] = bad;
            const auto y = bound.run(1, rows, {x.data()})[0];
            for (uint64_t n = 0; n < 40; n++) {
                if (part.weights()[n * 256 + 77] == 0) continue;
                EXPECT_FALSE(std::isfinite(y[(rows - 1) * 40 + n])) << "row " << n;
                EXPECT_TRUE(rows == 1 || std::isfinite(y[n])) << "row " << n;
            }
        }
    }
}

TEST_P(LinearTest, ANanWeightPoisonsItsRowOnly) {
    const bool can_hold = format().encoding == MORTISE_ENCODING_E4M3 || format().bits > 8 ||
                          format().encoding == MORTISE_ENCODING_E5M2;
    if (!can_hold) return;  // the code kind has no NaN
    Part part(format(), 40, 256, 11);
    part.poison(21, 100);
    ProblemBox box;
    box.inputs = {256}, box.outputs = {40}, box.parts = {&part.facts()};
    box.problem.activations = part.activations();
    Bound bound(level().provider, box.finish(MORTISE_OP_LINEAR, 70, 2), {&part});
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    for (uint32_t rows : {1u, 32u}) {
        const auto x = random_floats(rows * 256, 12);
        const auto y = bound.run(1, rows, {x.data()})[0];
        for (uint64_t n = 0; n < 40; n++) EXPECT_EQ(std::isnan(y[n]), n == 21) << "row " << n;
    }
}

TEST_P(LinearTest, PreparesTheInputAsTheSpecSays) {
    Format quantized = format(), scaled = format();
    quantized.int8_input = true;
    scaled.pre_scale = true;
    const Part a(quantized, 48, 256, 13), b(scaled, 32, 256, 14), c(format(), 16, 256, 15);
    check_group(level(), {&a}, {1, 3, 20}, MORTISE_ACTIVATIONS_AS_SPECIFIED);
    check_group(level(), {&b}, {1, 3, 20}, MORTISE_ACTIVATIONS_EXACT);
    check_group(level(), {&a, &b, &c}, {1, 3, 20}, MORTISE_ACTIVATIONS_AS_SPECIFIED);
}

// Largest distance of a linear whose rows share one input scale from the reference's, by rows, in root mean
// square.
double one_scale_error(const Level& tested, const Part& part, uint32_t rows) {
    const uint64_t columns = part.columns();
    ProblemBox box;
    box.inputs = {columns}, box.outputs = {part.facts().rows}, box.parts = {&part.facts()};
    box.problem.activations = MORTISE_ACTIVATIONS_AS_SPECIFIED;
    const mortise_problem& problem = box.finish(MORTISE_OP_LINEAR, 70, 2);
    Bound bound(tested.provider, problem, {&part}), oracle(levels()[0].provider, problem, {&part});
    EXPECT_TRUE(bound.can()) << bound.bid().reason;
    const auto x = random_floats(rows * columns, 20);
    const auto y = bound.run(2, rows, {x.data()})[0], wanted = oracle.run(1, rows, {x.data()})[0];
    double error = 0, size = 0;
    for (size_t i = 0; i < y.size(); i++)
        error += std::pow(y[i] - wanted[i], 2), size += std::pow(wanted[i], 2);
    return std::sqrt(error / size);
}

// A width that has to be padded, so that rows cannot be prepared where they will lie.
TEST_P(LinearTest, OneInputScaleServesAllRows) {
    Format together = format();
    together.int8_input = together.one_scale = true;
    const Part part(together, 40, 205, 19, true);
    for (uint32_t rows : {1u, 4u, 33u})
        EXPECT_LE(one_scale_error(level(), part, rows), rows <= 4 ? level().few : level().many)
            << rows << " rows";
}

// Codes of eight bits are bf16 numbers: where inputs are rounded to bf16 their scale must stay outside.
TEST(QuantizedInput, LosesNothingToBf16) {
    Format codes{"int8_row", MORTISE_ENCODING_TWOS, 8};
    codes.int8_input = true;
    for (const Level& tested : levels()) {
        for (const bool stored : {false, true}) {
            codes.stored_input = stored;
            const Part part(codes, 48, 256, 13, true);
            SCOPED_TRACE(tested.provider.name + (stored ? ", stored scale" : ", scale of the row"));
            check_group(tested, {&part}, {3, 8, 33}, MORTISE_ACTIVATIONS_AS_SPECIFIED, 6e-6);
        }
        Format together = codes;
        together.stored_input = false, together.one_scale = true;
        const Part part(together, 48, 256, 13, true);
        EXPECT_LE(one_scale_error(tested, part, 33), 6e-6) << tested.provider.name << ", scale of all rows";
    }
}

TEST_P(LinearTest, ATiedTableServesEmbedAndLinear) {
    const Part table(format(), 53, 160, 16);
    ProblemBox box;
    box.inputs = {160}, box.outputs = {53}, box.parts = {&table.facts()};
    box.problem.activations = table.activations();
    box.problem.gather = 1;
    Bound bound(level().provider, box.finish(MORTISE_OP_LINEAR, 70, 2), {&table});
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    const auto x = random_floats(3 * 160, 17);
    EXPECT_LE(worst_error(table, x.data(), 3, bound.run(2, 3, {x.data()})[0]), level().few);
    const std::vector<int32_t> tokens = {52, 0, 17, 17, 31};
    mortise_batch batch{};
    batch.tokens = tokens.data();
    box.outputs[0] = 160;  // embed: its output is a row of the table
    const auto rows = bound.run(2, 5, {}, &batch, nullptr, {}, MORTISE_OP_EMBED)[0];
    for (size_t i = 0; i < tokens.size(); i++) {
        for (uint64_t k = 0; k < 160; k++) {
            const double w = table.weights()[tokens[i] * 160 + k];
            EXPECT_NEAR(rows[i * 160 + k], w, 1e-6 * (1 + std::fabs(w)));
        }
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (size_t level = 0; level < levels().size(); level++) {
        for (size_t format = 0; format < formats().size(); format++) all.push_back({level, format});
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(Levels, LinearTest, testing::ValuesIn(cases()), [](const auto& tested) {
    return level_name(tested.param.level) + "_" + formats()[tested.param.format].name;
});

}  // namespace
}  // namespace mortise::test
