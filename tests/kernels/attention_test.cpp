// attention against f64: ragged batches, block tables, windows, soft caps, cache encodings.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "mortise/sdk/cache_rows.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "providers.h"

namespace mortise::test {
namespace {

struct Shape {
    uint64_t heads, kv_heads, dim, v_dim, window;
    double softcap;
};

// What a quantized cache has beside its encoding.
struct Numbers {
    std::vector<float> k_scale, v_scale, k_zero, v_zero, k_bias, v_bias, q_scale;
    bool per_head = false;
};

// A cache with its past filled in, in one encoding.
class CacheBox {
  public:
    CacheBox(const Shape& shape, const BatchBox& batch, uint32_t slots, uint32_t encoding,
             const Numbers& numbers)
        : shape_(shape), slots_(slots) {
        const auto data = [](const std::vector<float>& from) { return from.empty() ? nullptr : from.data(); };
        cache = sdk::make<mortise_cache>();
        cache.encoding = encoding, cache.block_slots = slots;
        cache.k_scale = data(numbers.k_scale), cache.v_scale = data(numbers.v_scale),
        cache.q_scale = data(numbers.q_scale);
        cache.k_zero = data(numbers.k_zero), cache.v_zero = data(numbers.v_zero);
        cache.k_bias = data(numbers.k_bias), cache.v_bias = data(numbers.v_bias);
        cache.scales_per_head = numbers.per_head;
        const size_t places = size_t{batch.blocks} * shape.kv_heads * slots;
        k_.resize(places * keys(0).bytes(), 0x7f);
        v_.resize(places * values(0).bytes(), 0x7f);
        cache.k.base = reinterpret_cast<uintptr_t>(k_.data()),
        cache.v.base = reinterpret_cast<uintptr_t>(v_.data());
    }
    void put(const BatchBox& batch, uint32_t sequence, uint32_t position, uint64_t head, const float* k,
             const float* v) {
        const size_t at = place(batch, sequence, position, head);
        keys(head).write(k, &k_[at * keys(head).bytes()]);
        values(head).write(v, &v_[at * values(head).bytes()]);
    }
    size_t place(const BatchBox& batch, uint32_t sequence, uint32_t position, uint64_t head) const {
        const uint32_t block = batch.tables[sequence * batch.batch.blocks_per_sequence + position / slots_];
        return (size_t{block} * shape_.kv_heads + head) * slots_ + position % slots_;
    }
    std::vector<float> key(size_t place, uint64_t head) const {
        std::vector<float> out(shape_.dim);
        keys(head).read(&k_[place * keys(head).bytes()], out.data());
        return out;
    }
    std::vector<float> value(size_t place, uint64_t head) const {
        std::vector<float> out(shape_.v_dim);
        values(head).read(&v_[place * values(head).bytes()], out.data());
        return out;
    }
    std::vector<float> query(uint64_t head, const float* q) const {
        std::vector<float> out(q, q + shape_.dim);
        if (!cache.q_scale) return out;
        const sdk::CacheRow rows = sdk::query_rows(cache, head, shape_.dim);
        std::vector<uint8_t> codes(rows.bytes());
        rows.write(q, codes.data());
        rows.read(codes.data(), out.data());
        return out;
    }
    mortise_cache cache;

  private:
    sdk::CacheRow keys(uint64_t head) const { return sdk::key_rows(cache, head, shape_.dim); }
    sdk::CacheRow values(uint64_t head) const { return sdk::value_rows(cache, head, shape_.v_dim); }
    Shape shape_;
    uint32_t slots_;
    std::vector<uint8_t> k_, v_;
};

std::vector<double> attend(const Shape& s, const BatchBox& batch, const CacheBox& cache, uint32_t sequence,
                           uint32_t position, uint64_t head, const float* given) {
    const std::vector<float> q = cache.query(head, given);
    const uint64_t kv_head = head / (s.heads / s.kv_heads);
    const uint32_t first = s.window && position + 1 > s.window ? position + 1 - uint32_t(s.window) : 0;
    std::vector<double> out(s.v_dim), weights;
    double largest = -HUGE_VAL, sum = 0;
    for (uint32_t p = first; p <= position; p++) {
        double dot = 0;
        const std::vector<float> key = cache.key(cache.place(batch, sequence, p, kv_head), kv_head);
        for (uint64_t i = 0; i < s.dim; i++) dot += double{q[i]} * key[i];
        dot *= 0.125;
        if (s.softcap > 0) dot = s.softcap * std::tanh(dot / s.softcap);
        weights.push_back(dot);
        largest = std::max(largest, dot);
    }
    for (double& w : weights) sum += w = std::exp(w - largest);
    for (uint32_t p = first; p <= position; p++) {
        const std::vector<float> value = cache.value(cache.place(batch, sequence, p, kv_head), kv_head);
        for (uint64_t i = 0; i < s.v_dim; i++) out[i] += weights[p - first] / sum * value[i];
    }
    return out;
}

void check(const Provider& provider, const Shape& s, const std::vector<uint32_t>& rows,
           const std::vector<uint32_t>& before, uint32_t slots, uint32_t encoding,
           const Numbers& numbers = {}) {
    ProblemBox box;
    box.inputs = {s.heads * s.dim, s.kv_heads * s.dim, s.kv_heads * s.v_dim},
    box.outputs = {s.heads * s.v_dim};
    box.attr(MORTISE_ATTR_HEADS, int64_t(s.heads)), box.attr(MORTISE_ATTR_KV_HEADS, int64_t(s.kv_heads));
    box.attr(MORTISE_ATTR_HEAD_DIM, int64_t(s.dim)), box.attr(MORTISE_ATTR_V_HEAD_DIM, int64_t(s.v_dim));
    box.attr(MORTISE_ATTR_WINDOW, int64_t(s.window));
    box.real(MORTISE_ATTR_SCALE, 0.125), box.real(MORTISE_ATTR_SOFTCAP, s.softcap);
    box.problem.cache_encoding = encoding;
    box.problem.cache_flags = numbers.q_scale.empty() ? 0 : MORTISE_CACHE_QUERIES;
    const BatchBox batch(rows, before, slots);
    Bound bound(provider, box.finish(MORTISE_OP_ATTENTION, batch.batch.rows, 2));
    if (!bound.can()) {  // the reference takes everything; others say why they do not
        ASSERT_NE(bound.bid().reason[0], 0);
        ASSERT_TRUE(encoding == MORTISE_ENCODING_E2M1 || !numbers.q_scale.empty()) << bound.bid().reason;
        return;
    }
    CacheBox cache(s, batch, slots, encoding, numbers);
    for (uint32_t q = 0; q < rows.size(); q++) {
        const auto past = random_floats(size_t{before[q]} * s.kv_heads * (s.dim + s.v_dim), 40 + q);
        for (uint32_t p = 0; p < before[q]; p++) {
            for (uint64_t h = 0; h < s.kv_heads; h++) {
                const float* at = &past[(p * s.kv_heads + h) * (s.dim + s.v_dim)];
                cache.put(batch, q, p, h, at, at + s.dim);
            }
        }
    }
    const size_t all = batch.batch.rows;
    const auto q = random_floats(all * s.heads * s.dim, 50, 1.5f),
               k = random_floats(all * s.kv_heads * s.dim, 51),
               v = random_floats(all * s.kv_heads * s.v_dim, 52);
    const auto one =
        bound.run(1, uint32_t(all), {q.data(), k.data(), v.data()}, &batch.batch, &cache.cache)[0];
    const auto two =
        bound.run(2, uint32_t(all), {q.data(), k.data(), v.data()}, &batch.batch, &cache.cache)[0];
    EXPECT_EQ(one, two) << "one and two threads differ";
    for (uint32_t sequence = 0; sequence < rows.size(); sequence++) {
        for (uint32_t row = batch.first_row[sequence]; row < batch.first_row[sequence + 1]; row++) {
            for (uint64_t head = 0; head < s.heads; head++) {
                const auto expected = attend(s, batch, cache, sequence, uint32_t(batch.positions[row]), head,
                                             &q[(row * s.heads + head) * s.dim]);
                for (uint64_t i = 0; i < s.v_dim; i++) {
                    ASSERT_NEAR(one[(row * s.heads + head) * s.v_dim + i], expected[i], 1e-5)
                        << "sequence " << sequence << " row " << row << " head " << head << " at " << i;
                }
            }
        }
    }
}

class AttentionTest : public testing::TestWithParam<size_t> {
  protected:
    const Provider& provider() const { return levels()[GetParam()].provider; }
};

const std::vector<Shape> shapes = {{4, 2, 64, 64, 0, 0}, {9, 3, 64, 64, 0, 0},   {8, 1, 32, 32, 7, 0},
                                   {2, 2, 24, 16, 0, 5}, {6, 2, 128, 128, 9, 3}, {1, 1, 80, 80, 0, 0}};

TEST_P(AttentionTest, PrefillsARaggedBatch) {
    for (const Shape& shape : shapes)
        check(provider(), shape, {5, 1, 33}, {0, 0, 0}, 16, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, ContinuesAfterAPast) {
    for (const Shape& shape : shapes)
        check(provider(), shape, {1, 7, 1, 20}, {40, 3, 0, 70}, 8, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, DecodesOneRowOverALongPast) {
    for (const Shape& shape : shapes) check(provider(), shape, {1}, {700}, 16, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, KeepsHalfPrecisionCaches) {
    for (uint32_t encoding : {MORTISE_ENCODING_BF16, MORTISE_ENCODING_F16}) {
        for (const Shape& shape : shapes) check(provider(), shape, {19, 1}, {0, 33}, 16, encoding);
    }
}

// Scales, zero points and biases for a shape, per tensor or per head.
Numbers numbers_for(const Shape& s, bool per_head, float scale, bool zeros, bool biases) {
    Numbers out;
    out.per_head = per_head;
    const uint64_t n = per_head ? s.kv_heads : 1;
    for (uint64_t h = 0; h < n; h++) {
        out.k_scale.push_back(scale * (1 + 0.25f * static_cast<float>(h)));
        out.v_scale.push_back(scale * (2 - 0.125f * static_cast<float>(h)));
        if (zeros) out.k_zero.push_back(3.0f + static_cast<float>(h)), out.v_zero.push_back(-7);
    }
    if (biases)
        out.k_bias = random_floats(s.kv_heads * s.dim, 60),
        out.v_bias = random_floats(s.kv_heads * s.v_dim, 61);
    return out;
}

TEST_P(AttentionTest, KeepsCachesOfEightBitFloats) {
    for (uint32_t encoding : {MORTISE_ENCODING_E4M3, MORTISE_ENCODING_E5M2})
        for (const Shape& shape : shapes)
            for (bool per_head : {false, true})
                check(provider(), shape, {19, 1}, {0, 90}, 16, encoding,
                      numbers_for(shape, per_head, 0.004f, false, per_head));
}

TEST_P(AttentionTest, KeepsCachesOfEightBitFloatsWithoutScales) {
    for (const Shape& shape : shapes) check(provider(), shape, {5, 1}, {0, 33}, 16, MORTISE_ENCODING_E4M3);
}

TEST_P(AttentionTest, KeepsCachesOfIntegersWithZeroPointsAndBiases) {
    for (const Shape& shape : shapes)
        for (bool extra : {false, true})
            check(provider(), shape, {19, 1}, {0, 33}, 8, MORTISE_ENCODING_TWOS,
                  numbers_for(shape, extra, 0.011f, extra, extra));
}

TEST_P(AttentionTest, KeepsCachesOfFourBitBlocks) {
    for (const Shape& shape : shapes)
        if (shape.dim % 16 == 0)
            check(provider(), shape, {7, 1}, {0, 33}, 16, MORTISE_ENCODING_E2M1,
                  numbers_for(shape, false, 0.002f, false, true));
}

TEST_P(AttentionTest, QuantizesQueriesWhereTheCacheHasAScaleForThem) {
    for (const Shape& shape : shapes) {
        Numbers numbers = numbers_for(shape, true, 0.004f, false, false);
        for (uint64_t h = 0; h < shape.heads; h++)
            numbers.q_scale.push_back(0.01f + 0.001f * static_cast<float>(h));
        check(provider(), shape, {5, 1}, {0, 20}, 16, MORTISE_ENCODING_E4M3, numbers);
    }
}

TEST_P(AttentionTest, RefusesOtherCachesWithAReason) {
    ProblemBox box;
    box.inputs = {64, 64, 64}, box.outputs = {64};
    box.attr(MORTISE_ATTR_HEADS, 1), box.attr(MORTISE_ATTR_HEAD_DIM, 64);
    box.problem.cache_encoding = MORTISE_ENCODING_E8M0;
    Bound bound(provider(), box.finish(MORTISE_OP_ATTENTION, 4, 2));
    EXPECT_FALSE(bound.can());
    EXPECT_NE(bound.bid().reason[0], 0);
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionTest, testing::Range(size_t{0}, levels().size()),
                         [](const auto& tested) { return level_name(tested.param); });

}  // namespace
}  // namespace mortise::test
