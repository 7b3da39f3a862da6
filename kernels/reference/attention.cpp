// Attention over a block table: scores and sums in f64, one query head of one row at a time.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "kernel.h"
#include "mortise/sdk/cache_rows.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

constexpr uint64_t max_head_dim = 1024;

class Attention final : public Kernel {
  public:
    explicit Attention(const mortise_problem& problem) : op_(sdk::attention_op(problem)) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const mortise_batch& batch = *arguments.batch;
        const auto keys = sdk::share(arguments.rows * op_.kv_heads, 1, team.rank, team.size);
        for (uint64_t i = keys.begin; i < keys.end; i++)
            remember(arguments, i / op_.kv_heads, i % op_.kv_heads);
        team.barrier(team.context);
        const auto part = sdk::share(arguments.rows * op_.heads, 1, team.rank, team.size);
        uint32_t sequence = 0;
        for (uint64_t i = part.begin; i < part.end; i++) {
            const uint64_t row = i / op_.heads;
            while (row >= batch.first_row[sequence + 1]) sequence++;
            attend(arguments, sequence, row, i % op_.heads);
        }
    }

  private:
    static uint32_t sequence_of(const mortise_batch& batch, uint64_t row) {
        uint32_t sequence = 0;
        while (row >= batch.first_row[sequence + 1]) sequence++;
        return sequence;
    }

    // Index of (position, head) in units of heads' vectors.
    uint64_t slot(const mortise_arguments& a, uint32_t sequence, uint64_t position, uint64_t head) const {
        const uint32_t slots = a.cache->block_slots;
        const uint32_t* table = a.batch->block_tables + uint64_t{sequence} * a.batch->blocks_per_sequence;
        return (table[position / slots] * op_.kv_heads + head) * slots + position % slots;
    }

    void remember(const mortise_arguments& a, uint64_t row, uint64_t head) const {
        const uint64_t position = static_cast<uint64_t>(a.batch->positions[row]);
        const uint64_t at = slot(a, sequence_of(*a.batch, row), position, head);
        const float* k = sdk::pointer<const float>(a.inputs[1]) + (row * op_.kv_heads + head) * op_.head_dim;
        const float* v =
            sdk::pointer<const float>(a.inputs[2]) + (row * op_.kv_heads + head) * op_.v_head_dim;
        const sdk::CacheRow keys = sdk::key_rows(*a.cache, head, op_.head_dim);
        const sdk::CacheRow values = sdk::value_rows(*a.cache, head, op_.v_head_dim);
        keys.write(k, sdk::pointer<uint8_t>(a.cache->k) + at * keys.bytes());
        values.write(v, sdk::pointer<uint8_t>(a.cache->v) + at * values.bytes());
    }

    double score(const float* q, const float* key) const {
        double dot = 0;
        for (uint64_t i = 0; i < op_.head_dim; i++) dot += static_cast<double>(q[i]) * key[i];
        dot *= op_.scale;
        return op_.softcap > 0 ? op_.softcap * std::tanh(dot / op_.softcap) : dot;
    }

    // The query as it meets the keys: rounded like them where the cache has a scale for queries.
    void take_query(const mortise_arguments& a, uint64_t row, uint64_t head, float* out) const {
        const float* q = sdk::pointer<const float>(a.inputs[0]) + (row * op_.heads + head) * op_.head_dim;
        if (!a.cache->q_scale) {
            std::copy_n(q, op_.head_dim, out);
            return;
        }
        uint8_t codes[max_head_dim];
        const sdk::CacheRow rows = sdk::query_rows(*a.cache, head, op_.head_dim);
        rows.write(q, codes);
        rows.read(codes, out);
    }

    // Softmax in one pass: the sums are rescaled whenever a larger score turns up.
    void attend(const mortise_arguments& a, uint32_t sequence, uint64_t row, uint64_t head) const {
        const uint64_t position = static_cast<uint64_t>(a.batch->positions[row]);
        const uint64_t first = op_.window && position + 1 > op_.window ? position + 1 - op_.window : 0;
        const uint64_t kv_head = head / (op_.heads / op_.kv_heads);
        const sdk::CacheRow keys = sdk::key_rows(*a.cache, kv_head, op_.head_dim);
        const sdk::CacheRow values = sdk::value_rows(*a.cache, kv_head, op_.v_head_dim);
        float q[max_head_dim], key[max_head_dim], value[max_head_dim];
        take_query(a, row, head, q);
        double sum = op_.sinks ? 1 : 0;
        double largest = op_.sinks ? sdk::pointer<const float>(a.weights[0])[head]
                                   : -std::numeric_limits<double>::infinity();
        double out[max_head_dim] = {};
        for (uint64_t p = first; p <= position; p++) {
            const uint64_t at = slot(a, sequence, p, kv_head);
            keys.read(sdk::pointer<const uint8_t>(a.cache->k) + at * keys.bytes(), key);
            const double s = score(q, key);
            if (!(s <= largest)) {
                const double shrink = std::exp(largest - s);
                for (uint64_t i = 0; i < op_.v_head_dim; i++) out[i] *= shrink;
                sum *= shrink;
                largest = s;
            }
            const double weight = std::exp(s - largest);
            sum += weight;
            values.read(sdk::pointer<const uint8_t>(a.cache->v) + at * values.bytes(), value);
            for (uint64_t i = 0; i < op_.v_head_dim; i++) out[i] += weight * value[i];
        }
        float* y = sdk::pointer<float>(a.outputs[0]) + (row * op_.heads + head) * op_.v_head_dim;
        for (uint64_t i = 0; i < op_.v_head_dim; i++) y[i] = static_cast<float>(out[i] / sum);
    }

    sdk::AttentionOp op_;
};

}  // namespace

void bid_attention(const mortise_problem& problem, mortise_bid& bid) {
    const sdk::AttentionOp op = sdk::attention_op(problem);
    if (op.heads == 0 || op.kv_heads == 0 || op.heads % op.kv_heads != 0) {
        return answer(bid, "", "query heads are no multiple of key/value heads");
    }
    if (op.head_dim == 0 || op.v_head_dim == 0 || op.head_dim > max_head_dim ||
        op.v_head_dim > max_head_dim) {
        return answer(bid, "", "head size outside 1 to 1024");
    }
    if (!sdk::cache_rows_known(problem.cache_encoding, op.head_dim, op.v_head_dim)) {
        return answer(bid, "", "unknown cache encoding, or heads that do not split into its blocks");
    }
    answer(bid, "reference attention");
}

Kernel* make_attention(const mortise_problem& problem) { return new (std::nothrow) Attention(problem); }

}  // namespace mortise::reference
