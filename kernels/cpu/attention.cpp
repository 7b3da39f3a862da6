// attention: the batch is cut into tasks of a few query rows and heads of one sequence. The cut depends on
// shapes alone, so results do not depend on who computes which task.
#include <new>

#include "kernel.h"
#include "mortise/sdk/cache_rows.h"
#include "mortise/sdk/operators.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t max_head_dim = 1024;

class Attention final : public Kernel {
  public:
    Attention(const mortise_problem& problem, const Backend& backend)
        : op_(sdk::attention_op(problem)), group_(op_.heads / op_.kv_heads), backend_(backend) {}

    void run(const mortise_arguments& a, const mortise_team& team) override {
        const auto keys = sdk::share(a.rows * op_.kv_heads, 1, team.rank, team.size);
        for (uint64_t i = keys.begin; i < keys.end; i++) remember(a, i / op_.kv_heads, i % op_.kv_heads);
        team.barrier(team.context);
        uint64_t total = 0, done = 0;
        each_task(a, [&](const AttentionTask& task) { total += cost(task); });
        float* scratch = sdk::pointer<float>(a.workspace) +
                         team.rank * lines(attention_scratch(op_.head_dim, op_.v_head_dim) * 4) / 4;
        each_task(a, [&](AttentionTask& task) {
            const uint64_t middle = done + cost(task) / 2;
            done += cost(task);
            if (middle * team.size / total != team.rank) return;
            task.scratch = scratch;
            backend_.attend(task);
        });
    }

  private:
    static uint64_t cost(const AttentionTask& task) {
        const uint64_t length = task.first_position + task.rows;
        const uint64_t keys = task.window && task.window < length ? task.window + task.rows : length;
        return (keys + key_chunk) * task.rows * task.heads * 2;
    }

    static CacheCoding coding_of(const sdk::CacheRow& rows) {
        return {rows.encoding, rows.scale, rows.zero, rows.bias};
    }
    CacheCoding key_coding(const mortise_arguments& a, uint64_t head) const {
        return coding_of(sdk::key_rows(*a.cache, head, op_.head_dim));
    }
    CacheCoding value_coding(const mortise_arguments& a, uint64_t head) const {
        return coding_of(sdk::value_rows(*a.cache, head, op_.v_head_dim));
    }

    void remember(const mortise_arguments& a, uint64_t row, uint64_t head) const {
        const mortise_batch& batch = *a.batch;
        uint32_t sequence = 0;
        while (row >= batch.first_row[sequence + 1]) sequence++;
        const uint64_t position = static_cast<uint64_t>(batch.positions[row]), slots = a.cache->block_slots;
        const uint32_t block =
            batch.block_tables[uint64_t{sequence} * batch.blocks_per_sequence + position / slots];
        const uint64_t at = (block * op_.kv_heads + head) * slots + position % slots;
        const float* k = sdk::pointer<const float>(a.inputs[1]) + (row * op_.kv_heads + head) * op_.head_dim;
        const float* v =
            sdk::pointer<const float>(a.inputs[2]) + (row * op_.kv_heads + head) * op_.v_head_dim;
        backend_.to_cache(key_coding(a, head), op_.head_dim, k, sdk::pointer<void>(a.cache->k),
                          at * op_.head_dim);
        backend_.to_cache(value_coding(a, head), op_.v_head_dim, v, sdk::pointer<void>(a.cache->v),
                          at * op_.v_head_dim);
    }

    // Effect: use(task) for all tasks in a fixed order.
    template <class Use>
    void each_task(const mortise_arguments& a, Use use) const {
        const mortise_batch& batch = *a.batch;
        for (uint32_t sequence = 0; sequence < batch.n_sequences; sequence++) {
            const uint64_t first = batch.first_row[sequence], last = batch.first_row[sequence + 1];
            // One row: a task for each head, so that few key/value heads still keep all threads busy.
            const uint64_t heads = last - first == 1 ? 1 : group_ < query_rows ? group_ : query_rows;
            const uint64_t rows = query_rows / heads;
            for (uint64_t head = 0; head < op_.heads; head += heads) {
                const uint64_t end = (head / group_ + 1) * group_,
                               count = head + heads < end ? heads : end - head;
                for (uint64_t row = first; row < last; row += rows) {
                    AttentionTask task = task_of(a, sequence, head, row);
                    task.heads = count;
                    task.rows = row + rows < last ? rows : last - row;
                    use(task);
                }
            }
        }
    }

    AttentionTask task_of(const mortise_arguments& a, uint32_t sequence, uint64_t head, uint64_t row) const {
        AttentionTask task{};
        task.q_stride = op_.heads * op_.head_dim, task.out_stride = op_.heads * op_.v_head_dim;
        task.q = sdk::pointer<const float>(a.inputs[0]) + row * task.q_stride + head * op_.head_dim;
        task.out = sdk::pointer<float>(a.outputs[0]) + row * task.out_stride + head * op_.v_head_dim;
        task.head_dim = op_.head_dim, task.v_head_dim = op_.v_head_dim;
        task.first_position = static_cast<uint64_t>(a.batch->positions[row]);
        task.window = op_.window;
        task.scale = static_cast<float>(op_.scale), task.softcap = static_cast<float>(op_.softcap);
        task.sinks = op_.sinks ? sdk::pointer<const float>(a.weights[0]) + head : nullptr;
        task.keys = sdk::pointer<const void>(a.cache->k), task.values = sdk::pointer<const void>(a.cache->v);
        task.key = key_coding(a, head / group_), task.value = value_coding(a, head / group_);
        task.block_slots = a.cache->block_slots;
        task.table = a.batch->block_tables + uint64_t{sequence} * a.batch->blocks_per_sequence;
        task.kv_heads = op_.kv_heads, task.kv_head = head / group_;
        return task;
    }

    sdk::AttentionOp op_;
    uint64_t group_;
    const Backend& backend_;
};

}  // namespace

void bid_attention(const mortise_problem& problem, const Backend& backend, mortise_bid& bid) {
    const sdk::AttentionOp op = sdk::attention_op(problem);
    if (op.heads == 0 || op.kv_heads == 0 || op.heads % op.kv_heads != 0) {
        return refuse(bid, "query heads are no multiple of key/value heads");
    }
    if (op.head_dim == 0 || op.v_head_dim == 0 || op.head_dim > max_head_dim ||
        op.v_head_dim > max_head_dim) {
        return refuse(bid, "head size outside 1 to 1024");
    }
    if (problem.cache_encoding == MORTISE_ENCODING_E2M1 ||
        !sdk::cache_rows_known(problem.cache_encoding, op.head_dim, op.v_head_dim)) {
        return refuse(bid, "a cache of 4-bit blocks, or of an unknown encoding");
    }
    const uint32_t flags = MORTISE_HAS(&problem, mortise_problem, cache_flags) ? problem.cache_flags : 0;
    if (flags & MORTISE_CACHE_QUERIES) return refuse(bid, "queries that are quantized");
    // A sink takes a share of the weights, so that those of the values do not sum to 1.
    if (op.sinks && (flags & (MORTISE_CACHE_BIASES | MORTISE_CACHE_ZERO_POINTS))) {
        return refuse(bid, "a cache with biases or zero points beside attention sinks");
    }
    accept(bid, backend, "attention", "f32 sums");
    bid.workspace = problem.threads * lines(attention_scratch(op.head_dim, op.v_head_dim) * sizeof(float));
}

Kernel* make_attention(const mortise_problem& problem, const Backend& backend) {
    return new (std::nothrow) Attention(problem, backend);
}

}  // namespace mortise::cpu
