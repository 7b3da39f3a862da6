#include "engine/engine.h"

#include <algorithm>
#include <new>

#include "engine/cache.h"
#include "engine/program.h"

namespace mortise::engine {
namespace {

// The rows of one chunk, as kernels see them. Vectors keep their capacity from call to call.
struct Batch {
    std::vector<int32_t> tokens, positions;
    std::vector<uint32_t> first_row, lengths, tables, wanted;
    mortise_batch view{};

    void clear() {
        tokens.clear();
        positions.clear();
        first_row.assign(1, 0);
        lengths.clear();
        tables.clear();
        wanted.clear();
    }
};

// Where a slice stands: tokens before `done` have run.
struct Cursor {
    const Slice* slice;
    uint64_t start;  // length of the sequence before the call
    uint64_t done = 0;
};

}  // namespace

struct Engine::Rep {
    Rep(std::shared_ptr<const load::Model> m, Team& t, Cache c)
        : model(std::move(m)), team(t), cache(std::move(c)) {}

    Status check(std::span<const Slice> slices) const;
    Status reserve(std::span<const Slice> slices);
    uint64_t add_rows(Cursor& cursor, uint64_t room);
    void finish_batch();
    Result<std::span<const float>> forward(std::span<const Slice> slices);

    std::shared_ptr<const load::Model> model;
    Team& team;
    Cache cache;
    Program program;
    Batch batch;
    std::vector<float> results;
};

Engine::Engine(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::make(std::shared_ptr<const load::Model> model, Team& team) {
    MORTISE_INVARIANT(model->plan().max_rows > 0);
    for (const plan::KernelPlan& kernel : model->plan().kernels)  // their workspaces are cut for so many
        MORTISE_INVARIANT(team.size() <= static_cast<int>(kernel.problem->abi().threads));
    try {
        MORTISE_TRY(Cache cache, Cache::make(*model));
        auto rep = std::make_unique<Rep>(std::move(model), team, std::move(cache));
        MORTISE_TRY(rep->program, Program::make(*rep->model, rep->cache));
        return std::unique_ptr<Engine>(new Engine(std::move(rep)));
    } catch (const std::bad_alloc&) {
        return fail(Code::out_of_memory, "no memory for the engine");
    }
}

Result<uint32_t> Engine::open_sequence() { return rep_->cache.open(); }
void Engine::close_sequence(uint32_t sequence) { rep_->cache.close(sequence); }
void Engine::truncate(uint32_t sequence, uint64_t length) {
    MORTISE_INVARIANT(rep_->cache.is_open(sequence) && length <= rep_->cache.length(sequence));
    rep_->cache.set_length(sequence, length);
}
uint64_t Engine::length(uint32_t sequence) const { return rep_->cache.length(sequence); }
uint64_t Engine::vocabulary() const { return rep_->program.vocabulary(); }
uint64_t Engine::max_length() const { return rep_->model->plan().max_length; }

Result<std::span<const float>> Engine::forward(std::span<const Slice> slices) {
    try {
        return rep_->forward(slices);
    } catch (const std::bad_alloc&) {
        return fail(Problem{.code = Code::out_of_memory,
                            .what = "no memory for the logits",
                            .fix = "ask for fewer rows at once"});
    }
}

Status Engine::Rep::check(std::span<const Slice> slices) const {
    const auto tokens = static_cast<int64_t>(model->plan().tree.vocabulary);
    std::vector<uint32_t> seen;
    for (const Slice& slice : slices) {
        if (!cache.is_open(slice.sequence)) return fail(Code::usage, "sequence is not open");
        if (std::ranges::find(seen, slice.sequence) != seen.end())
            return fail(Code::usage, "a sequence occurs twice in one call");
        seen.push_back(slice.sequence);
        if (slice.tokens.empty()) return fail(Code::usage, "no tokens to run");
        for (int32_t token : slice.tokens)
            if (token < 0 || token >= tokens)
                return fail(Problem{.code = Code::usage,
                                    .what = "token id is outside the vocabulary",
                                    .expected = "0 to " + std::to_string(tokens - 1),
                                    .found = std::to_string(token)});
        const uint64_t length = cache.length(slice.sequence) + slice.tokens.size();
        if (length > model->plan().max_length)
            return fail(Problem{.code = Code::usage,
                                .what = "the sequence would be longer than the KV cache",
                                .expected = "at most " + std::to_string(model->plan().max_length) + " tokens",
                                .found = std::to_string(length),
                                .fix = "raise --max-model-len"});
    }
    return {};
}

// Blocks of all slices before anything runs, so that a call fails whole or not at all.
Status Engine::Rep::reserve(std::span<const Slice> slices) {
    for (const Slice& slice : slices) {
        auto reserved = cache.reserve(slice.sequence, cache.length(slice.sequence) + slice.tokens.size());
        if (reserved) continue;
        for (const Slice& each : slices) cache.set_length(each.sequence, cache.length(each.sequence));
        return reserved;
    }
    return {};
}

// Adds up to `room` tokens of the slice to the batch; returns how many.
uint64_t Engine::Rep::add_rows(Cursor& cursor, uint64_t room) {
    const Slice& slice = *cursor.slice;
    const uint64_t count = std::min<uint64_t>(room, slice.tokens.size() - cursor.done);
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t at = cursor.done + i;
        if (slice.all_logits || at + 1 == slice.tokens.size())
            batch.wanted.push_back(static_cast<uint32_t>(batch.tokens.size()));
        batch.tokens.push_back(slice.tokens[at]);
        batch.positions.push_back(static_cast<int32_t>(cursor.start + at));
    }
    cursor.done += count;
    batch.first_row.push_back(static_cast<uint32_t>(batch.tokens.size()));
    // Of the whole call: a rope that depends on the length must not depend on how a prompt is cut.
    batch.lengths.push_back(static_cast<uint32_t>(cursor.start + slice.tokens.size()));
    const size_t table = batch.tables.size();
    batch.tables.resize(table + cache.blocks_per_sequence());
    cache.write_table(slice.sequence, batch.tables.data() + table);
    return count;
}

void Engine::Rep::finish_batch() {
    mortise_batch& view = batch.view;
    view = {};
    view.head.size = sizeof view;
    view.rows = static_cast<uint32_t>(batch.tokens.size());
    view.n_sequences = static_cast<uint32_t>(batch.lengths.size());
    view.tokens = batch.tokens.data();
    view.positions = batch.positions.data();
    view.first_row = batch.first_row.data();
    view.lengths = batch.lengths.data();
    view.block_tables = batch.tables.data();
    view.blocks_per_sequence = cache.blocks_per_sequence();
}

Result<std::span<const float>> Engine::Rep::forward(std::span<const Slice> slices) {
    MORTISE_CHECK(check(slices));
    uint64_t rows = 0;
    std::vector<Cursor> cursors;
    for (const Slice& slice : slices) {
        rows += slice.all_logits ? slice.tokens.size() : 1;
        cursors.push_back({&slice, cache.length(slice.sequence)});
    }
    const uint64_t vocabulary = program.vocabulary();
    if (results.size() < rows * vocabulary) results.resize(rows * vocabulary);
    MORTISE_CHECK(reserve(slices));
    float* out = results.data();
    for (size_t next = 0; next < cursors.size();) {
        batch.clear();
        while (next < cursors.size() && batch.tokens.size() < model->plan().max_rows) {
            add_rows(cursors[next], model->plan().max_rows - batch.tokens.size());
            if (cursors[next].done == slices[next].tokens.size()) ++next;
        }
        finish_batch();
        program.prepare({&batch.view, &batch.wanted, out});
        team.run([&](int rank, int) { program.run(team, rank); });
        out += batch.wanted.size() * vocabulary;
    }
    for (const Slice& slice : slices)
        cache.set_length(slice.sequence, cache.length(slice.sequence) + slice.tokens.size());
    return std::span<const float>(results.data(), rows * vocabulary);
}

}  // namespace mortise::engine
