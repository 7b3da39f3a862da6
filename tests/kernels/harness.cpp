#include "harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <limits>
#include <stdexcept>
#include <thread>

#include "mortise/sdk/host.h"

namespace mortise::test {

void with_team(uint32_t threads, const std::function<void(const mortise_team&)>& work) {
    std::barrier meet(threads);
    std::vector<std::thread> others;
    const auto enter = [&](uint32_t rank) {
        auto team = sdk::make<mortise_team>();
        team.rank = rank, team.size = threads;
        team.barrier = [](void* context) { static_cast<std::barrier<>*>(context)->arrive_and_wait(); };
        team.context = &meet;
        work(team);
    };
    for (uint32_t rank = 1; rank < threads; rank++) others.emplace_back(enter, rank);
    enter(0);
    for (auto& other : others) other.join();
}

const mortise_problem& ProblemBox::finish(uint32_t kind, uint64_t max_rows, uint32_t threads) {
    problem.head = sdk::head_of<mortise_problem>();
    problem.kind = kind;
    problem.attrs = attrs.data(), problem.n_attrs = static_cast<uint32_t>(attrs.size());
    problem.input_widths = inputs.data(), problem.n_inputs = static_cast<uint32_t>(inputs.size());
    problem.output_widths = outputs.data(), problem.n_outputs = static_cast<uint32_t>(outputs.size());
    problem.parts = parts.data(), problem.n_parts = static_cast<uint32_t>(parts.size());
    problem.max_rows = max_rows, problem.threads = threads, problem.device_kind = MORTISE_DEVICE_CPU;
    return problem;
}

Bound::Bound(const Provider& provider, const mortise_problem& problem, const std::vector<const Part*>& parts)
    : table_(*provider.table), problem_(problem) {
    bid_ = sdk::make<mortise_bid>();
    if (table_.bid(&problem, &bid_) != MORTISE_OK) throw std::runtime_error("bid failed");
    if (!can()) return;
    if (table_.create(&problem, &kernel_) != MORTISE_OK) throw std::runtime_error("create failed");
    const uint64_t bytes = bid_.workspace + 64;
    if (table_.alloc(nullptr, bytes, 64, &workspace_.base) != MORTISE_OK)
        throw std::runtime_error("no memory");
    // Nothing may count on a clean workspace.
    std::fill_n(reinterpret_cast<uint32_t*>(workspace_.base), bytes / 4, 0x7fc00001u);
    pack(parts);
}

void Bound::pack(const std::vector<const Part*>& parts) {
    const uint64_t step = bid_.row_tile ? bid_.row_tile : 7;
    for (uint32_t i = 0; i < parts.size(); i++) {
        mortise_address address{};
        const uint64_t bytes = table_.packed_bytes(&problem_, i);
        packed_bytes_ += bytes;
        if (table_.alloc(nullptr, bytes, bid_.alignment, &address.base) != MORTISE_OK) throw std::bad_alloc();
        std::fill_n(reinterpret_cast<uint8_t*>(address.base), bytes, uint8_t{0xff});
        packed_.push_back(address);
        for (uint64_t e = 0; e < parts[i]->facts().experts; e++) {
            for (uint64_t row = 0; row < parts[i]->rows(); row += step) {
                const mortise_tile tile = parts[i]->tile(e, row, std::min(step, parts[i]->rows() - row));
                if (table_.pack(kernel_, i, &tile, address) != MORTISE_OK)
                    throw std::runtime_error("pack failed");
            }
        }
        if (table_.seal(kernel_, i, &parts[i]->extras(), address) != MORTISE_OK)
            throw std::runtime_error("seal");
    }
}

Bound::~Bound() {
    if (!kernel_) return;
    table_.destroy(kernel_);
    for (const auto& address : packed_) table_.free(nullptr, address.base);
    table_.free(nullptr, workspace_.base);
}

mortise_arguments Bound::arguments(uint32_t rows) {
    auto arguments = sdk::make<mortise_arguments>();
    arguments.op = problem_.kind;
    arguments.rows = rows;
    arguments.packed = packed_.data();
    arguments.workspace = workspace_;
    return arguments;
}

void Bound::run_into(const mortise_team& team, mortise_arguments arguments) {
    table_.run(kernel_, &arguments, &team);
}

std::vector<std::vector<float>> Bound::run(uint32_t threads, uint32_t rows,
                                           const std::vector<const float*>& inputs,
                                           const mortise_batch* batch, const mortise_cache* cache,
                                           const std::vector<const float*>& weights, uint32_t op) {
    const auto address = [](const float* p) { return mortise_address{reinterpret_cast<uintptr_t>(p), 0}; };
    std::vector<std::vector<float>> outputs;
    std::vector<mortise_address> in, out, vectors;
    constexpr size_t guard = 64;  // nothing may be written behind an output
    for (uint32_t i = 0; i < problem_.n_outputs; i++) {
        outputs.emplace_back(rows * problem_.output_widths[i] + guard,
                             std::numeric_limits<float>::quiet_NaN());
        std::fill_n(outputs.back().end() - guard, guard, 12345.0f);
        out.push_back(address(outputs.back().data()));
    }
    for (const float* p : inputs) in.push_back(address(p));
    for (const float* p : weights) vectors.push_back(address(p));
    mortise_arguments a = arguments(rows);
    if (op) a.op = op;
    a.batch = batch, a.cache = cache;
    a.inputs = in.data(), a.outputs = out.data(), a.weights = vectors.data();
    a.n_weights = static_cast<uint32_t>(vectors.size());
    with_team(threads, [&](const mortise_team& team) { run_into(team, a); });
    for (auto& output : outputs) {
        EXPECT_TRUE(std::all_of(output.end() - guard, output.end(), [](float v) { return v == 12345.0f; }))
            << "written behind the output";
        output.resize(output.size() - guard);
    }
    return outputs;
}

BatchBox::BatchBox(const std::vector<uint32_t>& rows, const std::vector<uint32_t>& before,
                   uint32_t block_slots) {
    uint32_t longest = 0;
    for (size_t s = 0; s < rows.size(); s++) longest = std::max(longest, rows[s] + before[s]);
    const uint32_t per_sequence = (longest + block_slots - 1) / block_slots;
    blocks = per_sequence * static_cast<uint32_t>(rows.size());
    first_row.push_back(0);
    for (uint32_t s = 0; s < rows.size(); s++) {
        for (uint32_t i = 0; i < rows[s]; i++) positions.push_back(static_cast<int32_t>(before[s] + i));
        first_row.push_back(first_row.back() + rows[s]);
        lengths.push_back(before[s] + rows[s]);
        // Blocks are dealt out backwards and interleaved, so that a table that is ignored shows.
        for (uint32_t b = 0; b < per_sequence; b++)
            tables.push_back(blocks - 1 - (b * uint32_t(rows.size()) + s));
    }
    tokens.assign(positions.size(), 0);
    batch = sdk::make<mortise_batch>();
    batch.rows = first_row.back(), batch.n_sequences = static_cast<uint32_t>(rows.size());
    batch.tokens = tokens.data(), batch.positions = positions.data(), batch.first_row = first_row.data();
    batch.lengths = lengths.data(), batch.block_tables = tables.data(),
    batch.blocks_per_sequence = per_sequence;
}

}  // namespace mortise::test
