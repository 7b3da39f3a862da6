// attention against f64: ragged batches, block tables, windows, soft caps, cache encodings.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "providers.h"

namespace mortise::test {
namespace {

struct Shape {
    uint64_t heads, kv_heads, dim, v_dim, window;
    double softcap;
};

// A cache with its past filled in, in one encoding.
class CacheBox {
  public:
    CacheBox(const Shape& shape, const BatchBox& batch, uint32_t slots, uint32_t encoding)
        : shape_(shape), slots_(slots), encoding_(encoding), element_(encoding == MORTISE_ENCODING_F32 ? 4 : 2) {
        const size_t places = size_t{batch.blocks} * shape.kv_heads * slots;
        k_.resize(places * shape.dim * element_, 0x7f);
        v_.resize(places * shape.v_dim * element_, 0x7f);
        cache = sdk::make<mortise_cache>();
        cache.encoding = encoding, cache.block_slots = slots;
        cache.k.base = reinterpret_cast<uintptr_t>(k_.data()), cache.v.base = reinterpret_cast<uintptr_t>(v_.data());
    }
    void put(const BatchBox& batch, uint32_t sequence, uint32_t position, uint64_t head, const float* k, const float* v) {
        const size_t at = place(batch, sequence, position, head);
        for (uint64_t i = 0; i < shape_.dim; i++) write(k_, at * shape_.dim + i, k[i]);
        for (uint64_t i = 0; i < shape_.v_dim; i++) write(v_, at * shape_.v_dim + i, v[i]);
    }
    size_t place(const BatchBox& batch, uint32_t sequence, uint32_t position, uint64_t head) const {
        const uint32_t block = batch.tables[sequence * batch.batch.blocks_per_sequence + position / slots_];
        return (size_t{block} * shape_.kv_heads + head) * slots_ + position % slots_;
    }
    double key(size_t place, uint64_t i) const { return read(k_, place * shape_.dim + i); }
    double value(size_t place, uint64_t i) const { return read(v_, place * shape_.v_dim + i); }
    mortise_cache cache;

  private:
    void write(std::vector<uint8_t>& to, size_t index, float value) {
        if (element_ == 4) return void(std::memcpy(&to[index * 4], &value, 4));
        const uint16_t bits = encoding_ == MORTISE_ENCODING_BF16 ? sdk::to_bf16(value) : sdk::to_f16(value);
        std::memcpy(&to[index * 2], &bits, 2);
    }
    double read(const std::vector<uint8_t>& from, size_t index) const {
        float wide;
        uint16_t half;
        if (element_ == 4) return std::memcpy(&wide, &from[index * 4], 4), wide;
        std::memcpy(&half, &from[index * 2], 2);
        return encoding_ == MORTISE_ENCODING_BF16 ? sdk::from_bf16(half) : sdk::from_f16(half);
    }
    Shape shape_;
    uint32_t slots_, encoding_;
    size_t element_;
    std::vector<uint8_t> k_, v_;
};

std::vector<double> attend(const Shape& s, const BatchBox& batch, const CacheBox& cache, uint32_t sequence,
                           uint32_t position, uint64_t head, const float* q) {
    const uint64_t kv_head = head / (s.heads / s.kv_heads);
    const uint32_t first = s.window && position + 1 > s.window ? position + 1 - uint32_t(s.window) : 0;
    std::vector<double> out(s.v_dim), weights;
    double largest = -HUGE_VAL, sum = 0;
    for (uint32_t p = first; p <= position; p++) {
        double dot = 0;
        for (uint64_t i = 0; i < s.dim; i++) dot += q[i] * cache.key(cache.place(batch, sequence, p, kv_head), i);
        dot *= 0.125;
        if (s.softcap > 0) dot = s.softcap * std::tanh(dot / s.softcap);
        weights.push_back(dot);
        largest = std::max(largest, dot);
    }
    for (double& w : weights) sum += w = std::exp(w - largest);
    for (uint32_t p = first; p <= position; p++) {
        const size_t place = cache.place(batch, sequence, p, kv_head);
        for (uint64_t i = 0; i < s.v_dim; i++) out[i] += weights[p - first] / sum * cache.value(place, i);
    }
    return out;
}

void check(const Provider& provider, const Shape& s, const std::vector<uint32_t>& rows,
           const std::vector<uint32_t>& before, uint32_t slots, uint32_t encoding) {
    ProblemBox box;
    box.inputs = {s.heads * s.dim, s.kv_heads * s.dim, s.kv_heads * s.v_dim}, box.outputs = {s.heads * s.v_dim};
    box.attr(MORTISE_ATTR_HEADS, int64_t(s.heads)), box.attr(MORTISE_ATTR_KV_HEADS, int64_t(s.kv_heads));
    box.attr(MORTISE_ATTR_HEAD_DIM, int64_t(s.dim)), box.attr(MORTISE_ATTR_V_HEAD_DIM, int64_t(s.v_dim));
    box.attr(MORTISE_ATTR_WINDOW, int64_t(s.window));
    box.real(MORTISE_ATTR_SCALE, 0.125), box.real(MORTISE_ATTR_SOFTCAP, s.softcap);
    box.problem.cache_encoding = encoding;
    const BatchBox batch(rows, before, slots);
    Bound bound(provider, box.finish(MORTISE_OP_ATTENTION, batch.batch.rows, 2));
    ASSERT_TRUE(bound.can()) << bound.bid().reason;
    CacheBox cache(s, batch, slots, encoding);
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
    const auto q = random_floats(all * s.heads * s.dim, 50, 1.5f), k = random_floats(all * s.kv_heads * s.dim, 51),
               v = random_floats(all * s.kv_heads * s.v_dim, 52);
    const auto one = bound.run(1, uint32_t(all), {q.data(), k.data(), v.data()}, &batch.batch, &cache.cache)[0];
    const auto two = bound.run(2, uint32_t(all), {q.data(), k.data(), v.data()}, &batch.batch, &cache.cache)[0];
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

const std::vector<Shape> shapes = {{4, 2, 64, 64, 0, 0}, {9, 3, 64, 64, 0, 0},  {8, 1, 32, 32, 7, 0},
                                   {2, 2, 24, 16, 0, 5}, {6, 2, 128, 128, 9, 3}, {1, 1, 80, 80, 0, 0}};

TEST_P(AttentionTest, PrefillsARaggedBatch) {
    for (const Shape& shape : shapes) check(provider(), shape, {5, 1, 33}, {0, 0, 0}, 16, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, ContinuesAfterAPast) {
    for (const Shape& shape : shapes) check(provider(), shape, {1, 7, 1, 20}, {40, 3, 0, 70}, 8, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, DecodesOneRowOverALongPast) {
    for (const Shape& shape : shapes) check(provider(), shape, {1}, {700}, 16, MORTISE_ENCODING_F32);
}

TEST_P(AttentionTest, KeepsHalfPrecisionCaches) {
    for (uint32_t encoding : {MORTISE_ENCODING_BF16, MORTISE_ENCODING_F16}) {
        for (const Shape& shape : shapes) check(provider(), shape, {19, 1}, {0, 33}, 16, encoding);
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
