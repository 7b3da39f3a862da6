// Attention over a block table: scores and sums in f64, one query head of one row at a time.
#include <cmath>
#include <limits>
#include <new>

#include "kernel.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

constexpr uint64_t max_head_dim = 1024;

float load(const void* base, uint64_t index, uint32_t encoding) {
    switch (encoding) {
        case MORTISE_ENCODING_BF16: return sdk::from_bf16(static_cast<const uint16_t*>(base)[index]);
        case MORTISE_ENCODING_F16: return sdk::from_f16(static_cast<const uint16_t*>(base)[index]);
        default: return static_cast<const float*>(base)[index];
    }
}

void store(void* base, uint64_t index, uint32_t encoding, float value) {
    switch (encoding) {
        case MORTISE_ENCODING_BF16: static_cast<uint16_t*>(base)[index] = sdk::to_bf16(value); break;
        case MORTISE_ENCODING_F16: static_cast<uint16_t*>(base)[index] = sdk::to_f16(value); break;
        default: static_cast<float*>(base)[index] = value;
    }
}

class Attention final : public Kernel {
  public:
    explicit Attention(const mortise_problem& problem) : op_(sdk::attention_op(problem)) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const mortise_batch& batch = *arguments.batch;
        const auto keys = sdk::share(arguments.rows * op_.kv_heads, 1, team.rank, team.size);
        for (uint64_t i = keys.begin; i < keys.end; i++) remember(arguments, i / op_.kv_heads, i % op_.kv_heads);
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
        const float* v = sdk::pointer<const float>(a.inputs[2]) + (row * op_.kv_heads + head) * op_.v_head_dim;
        void* keys = sdk::pointer<void>(a.cache->k);
        void* values = sdk::pointer<void>(a.cache->v);
        for (uint64_t i = 0; i < op_.head_dim; i++) store(keys, at * op_.head_dim + i, a.cache->encoding, k[i]);
        for (uint64_t i = 0; i < op_.v_head_dim; i++) store(values, at * op_.v_head_dim + i, a.cache->encoding, v[i]);
    }

    double score(const mortise_arguments& a, const float* q, uint64_t at) const {
        const void* keys = sdk::pointer<const void>(a.cache->k);
        double dot = 0;
        for (uint64_t i = 0; i < op_.head_dim; i++) {
            dot += static_cast<double>(q[i]) * load(keys, at * op_.head_dim + i, a.cache->encoding);
        }
        dot *= op_.scale;
        return op_.softcap > 0 ? op_.softcap * std::tanh(dot / op_.softcap) : dot;
    }

    // Softmax in one pass: the sums are rescaled whenever a larger score turns up.
    void attend(const mortise_arguments& a, uint32_t sequence, uint64_t row, uint64_t head) const {
        const uint64_t position = static_cast<uint64_t>(a.batch->positions[row]);
        const uint64_t first = op_.window && position + 1 > op_.window ? position + 1 - op_.window : 0;
        const uint64_t kv_head = head / (op_.heads / op_.kv_heads);
        const float* q = sdk::pointer<const float>(a.inputs[0]) + (row * op_.heads + head) * op_.head_dim;
        const void* values = sdk::pointer<const void>(a.cache->v);
        double sum = op_.sinks ? 1 : 0;
        double largest = op_.sinks ? sdk::pointer<const float>(a.weights[0])[head] : -std::numeric_limits<double>::infinity();
        double out[max_head_dim] = {};
        for (uint64_t p = first; p <= position; p++) {
            const uint64_t at = slot(a, sequence, p, kv_head);
            const double s = score(a, q, at);
            if (!(s <= largest)) {
                const double shrink = std::exp(largest - s);
                for (uint64_t i = 0; i < op_.v_head_dim; i++) out[i] *= shrink;
                sum *= shrink;
                largest = s;
            }
            const double weight = std::exp(s - largest);
            sum += weight;
            for (uint64_t i = 0; i < op_.v_head_dim; i++) {
                out[i] += weight * load(values, at * op_.v_head_dim + i, a.cache->encoding);
            }
        }
        float* y = sdk::pointer<float>(a.outputs[0]) + (row * op_.heads + head) * op_.v_head_dim;
        for (uint64_t i = 0; i < op_.v_head_dim; i++) y[i] = static_cast<float>(out[i] / sum);
    }

    sdk::AttentionOp op_;
};

}  // namespace

void bid_attention(const mortise_problem& problem, mortise_bid& bid) {
    const sdk::AttentionOp op = sdk::attention_op(problem);
    const uint32_t cache = problem.cache_encoding;
    if (op.heads == 0 || op.kv_heads == 0 || op.heads % op.kv_heads != 0) {
        return answer(bid, "", "query heads are no multiple of key/value heads");
    }
    if (op.head_dim == 0 || op.v_head_dim == 0 || op.v_head_dim > max_head_dim) {
        return answer(bid, "", "head size outside 1 to 1024");
    }
    if (cache != MORTISE_ENCODING_F32 && cache != MORTISE_ENCODING_BF16 && cache != MORTISE_ENCODING_F16) {
        return answer(bid, "", "cache encoding other than f32, bf16, f16");
    }
    answer(bid, "reference attention");
}

Kernel* make_attention(const mortise_problem& problem) { return new (std::nothrow) Attention(problem); }

}  // namespace mortise::reference
