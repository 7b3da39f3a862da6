#include "low_rank.h"

#include <cstring>
#include <vector>

#include "packer.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t block = 256;  // columns of one pass

uint64_t bytes_of(const Packing& packing) { return packing.panels * packing.panel_bytes(); }

}  // namespace

LowRank::LowRank(const mortise_kernel_part& part, const Backend& backend) : backend_(backend) {
    const mortise_field* field = sdk::find_field(*part.spec, MORTISE_ROLE_LOW_RANK_A);
    if (!field) return;
    rank_ = field->rows;
    const uint64_t padded = (rank_ + column_step - 1) / column_step * column_step;
    a_ = plain_packing(padded, part.columns);
    b_ = plain_packing(part.rows, padded);
}

uint64_t LowRank::packed_bytes() const { return exists() ? bytes_of(a_) + bytes_of(b_) : 0; }

uint64_t LowRank::workspace(uint64_t rows) const {
    return exists() ? lines(rows * (a_.padded + b_.padded) * sizeof(float)) : 0;
}

uint64_t LowRank::scratch() const { return exists() ? backend_.gemm_f32_scratch(block) : 0; }

// Rows and columns that fill the rank up are zero, so that whole panels can be multiplied.
void LowRank::pack(const mortise_extras& extras, uint8_t* packed) const {
    std::vector<float> a(a_.rows * a_.columns), b(b_.rows * b_.columns);
    std::memcpy(a.data(), extras.low_rank_a, rank_ * a_.columns * sizeof(float));
    for (uint64_t n = 0; n < b_.rows; n++) {
        std::memcpy(&b[n * b_.columns], extras.low_rank_b + n * rank_, rank_ * sizeof(float));
    }
    pack_floats(a_, a.data(), packed);
    pack_floats(b_, b.data(), packed + bytes_of(a_));
}

float* LowRank::inner(uint64_t rows, uint8_t* workspace) const {
    return reinterpret_cast<float*>(workspace) + rows * a_.padded;
}

void LowRank::scale(const mortise_arguments& a, const mortise_extras& extras, sdk::Share rows,
                    uint8_t* workspace) const {
    const uint64_t columns = a_.columns;
    for (uint64_t row = rows.begin; row < rows.end; row++) {
        const float* x = sdk::pointer<const float>(a.inputs[0]) + row * columns;
        float* out = reinterpret_cast<float*>(workspace) + row * a_.padded;
        for (uint64_t k = 0; k < columns; k++) out[k] = extras.pre_scale ? x[k] * extras.pre_scale[k] : x[k];
        std::memset(out + columns, 0, (a_.padded - columns) * sizeof(float));
    }
}

void LowRank::shrink(uint64_t rows, const mortise_team& team, const uint8_t* packed, uint8_t* workspace,
                     void* scratch) const {
    const auto panels = sdk::share(a_.panels, 1, team.rank, team.size);
    const Inputs x{reinterpret_cast<const float*>(workspace), a_.padded, rows};
    backend_.gemm_f32(
        {&a_, packed, panels.begin, panels.end, nullptr, inner(rows, workspace), b_.padded, block, scratch},
        x, nullptr);
}

void LowRank::add(uint64_t rows, sdk::Share panels, const uint8_t* packed, uint8_t* workspace, void* scratch,
                  float* y) const {
    const Inputs u{inner(rows, workspace), b_.padded, rows};
    backend_.gemm_f32(
        {&b_, packed + bytes_of(a_), panels.begin, panels.end, nullptr, y, b_.rows, block, scratch, true}, u,
        nullptr);
}

}  // namespace mortise::cpu
