// linear and embed: who computes what, and where things lie in the workspace.
#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "column_block.h"
#include "inputs.h"
#include "kernel.h"
#include "low_rank.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "packer.h"
#include "token_factor.h"

namespace mortise::cpu {
namespace {

Parts parts_of(const mortise_problem& problem) {
    Parts parts;
    for (uint32_t i = 0; i < problem.n_parts; i++) {
        parts.push_back(std::make_unique<PackedPart>(*problem.parts[i], problem.activations));
    }
    return parts;
}

// The workspace holds the inputs, what the low-rank terms need, and a scratch for each thread.
class Linear final : public Kernel {
  public:
    Linear(const mortise_problem& problem, const Backend& backend)
        : problem_(problem),
          backend_(backend),
          parts_(parts_of(problem)),
          inputs_(problem, backend, parts_),
          extras_(problem.n_parts) {
        uint64_t sums = 0, widest = 0;
        low_rank_offset_ = inputs_.bytes();
        scratch_offset_ = low_rank_offset_;
        for (uint32_t i = 0; i < problem.n_parts; i++) {
            const Packing& packing = parts_[i]->packing();
            sums = std::max(sums, packing.groups * gemv_rows * sizeof(float));
            widest = std::max(widest, packing.padded);
            low_ranks_.emplace_back(*problem.parts[i], backend);
            scratch_bytes_ = std::max(scratch_bytes_, low_ranks_[i].scratch());
            scratch_offset_ += low_ranks_[i].workspace(problem.max_rows);
        }
        scratch_bytes_ = lines(
            std::max({scratch_bytes_, sums, backend.gemm_scratch(std::min(widest, backend.most_block))}));
    }

    uint64_t workspace() const { return scratch_offset_ + problem_.threads * scratch_bytes_; }
    const Packing& packing(uint32_t part) const { return parts_[part]->packing(); }

    mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed) override {
        if (tile.expert != 0) return fail(MORTISE_INTERNAL, "a tile lies outside its part");
        return parts_[part]->pack(tile, sdk::pointer<uint8_t>(packed));
    }

    mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address packed) override {
        extras_[part] = extras;
        if (!low_ranks_[part].exists()) return MORTISE_OK;
        const bool whole = extras.low_rank_a && extras.low_rank_b;
        if (!whole) return fail(MORTISE_INTERNAL, "a low-rank term without its matrices");
        low_ranks_[part].pack(extras, sdk::pointer<uint8_t>(packed) + parts_[part]->bytes());
        return MORTISE_OK;
    }

    void run(const mortise_arguments& a, const mortise_team& team) override {
        if (a.op == MORTISE_OP_EMBED) return embed(a, team);
        if (a.rows == 0) return;
        const bool few = a.rows <= gemv_rows;
        shrink(a, team);
        inputs_.prepare(a, team, extras_, !few && backend_.bf16_inputs);
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            const uint64_t unit = few ? 1 : backend_.gemm_panels;
            const auto panels = sdk::share(packing(part).panels, unit, team.rank, team.size);
            if (panels.begin == panels.end) continue;
            few ? multiply_few(part, a, panels, team.rank) : multiply_many(part, a, panels, team.rank);
            if (const float* factors = inputs_.factors(a, part)) {
                put_token_factors(product(part, a, panels, team.rank), a.rows, factors, extras_[part].bias);
            }
            if (low_ranks_[part].exists()) add_low_rank(part, a, panels, team.rank);
        }
    }

  private:
    uint8_t* at(const mortise_arguments& a, uint64_t offset) const {
        return sdk::pointer<uint8_t>(a.workspace) + offset;
    }
    void* scratch(const mortise_arguments& a, uint32_t rank) const {
        return at(a, scratch_offset_ + rank * scratch_bytes_);
    }
    uint8_t* low_rank_room(const mortise_arguments& a, uint32_t part) const {
        uint64_t offset = low_rank_offset_;
        for (uint32_t i = 0; i < part; i++) offset += low_ranks_[i].workspace(problem_.max_rows);
        return at(a, offset);
    }
    const uint8_t* low_rank_packed(const mortise_arguments& a, uint32_t part) const {
        return sdk::pointer<const uint8_t>(a.packed[part]) + parts_[part]->bytes();
    }

    // The narrow halves of the low-rank terms, from the operator's own input.
    void shrink(const mortise_arguments& a, const mortise_team& team) const {
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        bool any = false;
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            if (!low_ranks_[part].exists()) continue;
            any = true;
            low_ranks_[part].scale(a, extras_[part], rows, low_rank_room(a, part));
        }
        if (!any) return;
        team.barrier(team.context);
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            if (!low_ranks_[part].exists()) continue;
            low_ranks_[part].shrink(a.rows, team, low_rank_packed(a, part), low_rank_room(a, part),
                                    scratch(a, team.rank));
        }
        team.barrier(team.context);
    }

    void add_low_rank(uint32_t part, const mortise_arguments& a, sdk::Share panels, uint32_t rank) const {
        low_ranks_[part].add(a.rows, panels, low_rank_packed(a, part), low_rank_room(a, part),
                             scratch(a, rank), sdk::pointer<float>(a.outputs[part]));
    }

    Product product(uint32_t part, const mortise_arguments& a, sdk::Share panels, uint32_t rank) const {
        const Packing& packing = parts_[part]->packing();
        return {&packing,
                sdk::pointer<const uint8_t>(a.packed[part]),
                panels.begin,
                panels.end,
                inputs_.factors(a, part) ? nullptr : extras_[part].bias,
                sdk::pointer<float>(a.outputs[part]),
                packing.rows,
                block_columns(backend_, a.rows, packing.padded),
                scratch(a, rank)};
    }

    void multiply_few(uint32_t part, const mortise_arguments& a, sdk::Share panels, uint32_t rank) const {
        const Inputs x = inputs_.rows(a, part);
        float* sums = static_cast<float*>(scratch(a, rank));
        if (packing(part).shifted()) backend_.group_sums(packing(part), x, sums);
        backend_.gemv(product(part, a, panels, rank), x, sums);
    }

    void multiply_many(uint32_t part, const mortise_arguments& a, sdk::Share panels, uint32_t rank) const {
        backend_.gemm(product(part, a, panels, rank), inputs_.rows(a, part), inputs_.tiles(a, part));
    }

    void embed(const mortise_arguments& a, const mortise_team& team) const {
        const uint64_t columns = packing(0).columns;
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t i = rows.begin; i < rows.end; i++) {
            float* y = sdk::pointer<float>(a.outputs[0]) + i * columns;
            // A vocabulary split among ranks: rows of the others are theirs.
            const uint64_t row = static_cast<uint64_t>(a.batch->tokens[i]) - problem_.parts[0]->first_row;
            if (row < packing(0).rows)
                backend_.row(packing(0), sdk::pointer<const uint8_t>(a.packed[0]), row, y);
            else
                std::memset(y, 0, columns * sizeof(float));
        }
    }

    const mortise_problem& problem_;
    const Backend& backend_;
    const Parts parts_;
    const GroupInputs inputs_;
    std::vector<LowRank> low_ranks_;
    std::vector<mortise_extras> extras_;
    uint64_t low_rank_offset_ = 0, scratch_offset_ = 0, scratch_bytes_ = 0;
};

const char* kind_name(Kind kind) {
    static const char* const names[] = {"f32", "f16", "bf16", "int8", "fp8", "4-bit"};
    return names[static_cast<int>(kind)];
}

const char* why_not_group(const mortise_problem& problem) {
    if (problem.n_parts == 0) return "no parts";
    if ((problem.kind == MORTISE_OP_EMBED || problem.gather) && problem.n_parts != 1)
        return "a table is one part";
    for (uint32_t i = 0; i < problem.n_parts; i++) {
        Packing packing;
        if (problem.parts[i]->experts != 1) return "experts belong to moe";
        if (const char* why = choose_packing(*problem.parts[i], problem.activations, packing)) return why;
        if (packing.columns != problem.parts[0]->columns) return "parts of different width";
    }
    return nullptr;
}

}  // namespace

void bid_linear(const mortise_problem& problem, const Backend& backend, mortise_bid& bid) {
    if (const char* why = why_not_group(problem)) return refuse(bid, why);
    const Linear linear(problem, backend);
    std::string what = kind_name(linear.packing(0).kind);
    if (const char* more = describe(linear.packing(0)); *more) what += std::string(", ") + more;
    const bool low_rank = sdk::find_field(*problem.parts[0]->spec, MORTISE_ROLE_LOW_RANK_A) != nullptr;
    const std::string how = backend.bf16_inputs ? "bf16 inputs from 5 rows on" : "f32 inputs";
    accept(bid, backend, what.c_str(), (how + (low_rank ? ", low-rank term in f32" : "")).c_str());
    bid.row_tile = panel_rows;
    if (problem.kind == MORTISE_OP_LINEAR) bid.workspace = linear.workspace();
}

uint64_t packed_bytes_linear(const mortise_problem& problem, uint32_t part) {
    Packing packing;
    if (choose_packing(*problem.parts[part], problem.activations, packing)) return 0;
    const LowRank low_rank(*problem.parts[part], generic_backend());
    return packing.panels * packing.panel_bytes() + low_rank.packed_bytes();
}

Kernel* make_linear(const mortise_problem& problem, const Backend& backend) {
    return new (std::nothrow) Linear(problem, backend);
}

}  // namespace mortise::cpu
