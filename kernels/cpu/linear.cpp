// linear and embed: which parts share a prepared input, what goes to the workspace, who computes what.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "packer.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t least_block = 256, most_block = 1024;
constexpr uint32_t no_slot = ~0u;

uint64_t block_columns(const Backend& backend, uint64_t rows, uint64_t padded) {
    const uint64_t element = backend.bf16_inputs ? sizeof(uint16_t) : sizeof(float);
    const uint64_t fit = backend.cache_share / (rows * element) / column_step * column_step;
    return std::min(padded, std::clamp(fit, least_block, most_block));
}

// Where things lie in the workspace. Slots hold prepared inputs, tiles their bf16 form.
struct Room {
    uint64_t slot_bytes = 0, tile_bytes = 0, thread_bytes = 0;
    uint64_t factor_offset = 0;  // within a slot: one factor per row
    uint32_t slots = 0, tiles = 0;
    uint64_t bytes(uint32_t threads) const { return slots * slot_bytes + tiles * tile_bytes + threads * thread_bytes; }
};

class Linear final : public Kernel {
  public:
    Linear(const mortise_problem& problem, const Backend& backend)
        : problem_(problem), backend_(backend), packings_(problem.n_parts), extras_(problem.n_parts) {
        for (uint32_t i = 0; i < problem.n_parts; i++) choose_packing(*problem.parts[i], packings_[i]);
        share_inputs();
        measure_room();
    }

    const Room& room() const { return room_; }

    mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed) override {
        return pack_tile(packings_[part], *problem_.parts[part], tile, sdk::pointer<uint8_t>(packed));
    }

    mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address) override {
        extras_[part] = extras;
        return MORTISE_OK;
    }

    void run(const mortise_arguments& a, const mortise_team& team) override {
        if (a.op == MORTISE_OP_EMBED) return embed(a, team);
        if (a.rows == 0) return;
        const bool few = a.rows <= gemv_rows;
        prepare(a, team, !few && backend_.bf16_inputs);
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            few ? multiply_few(part, a, team) : multiply_many(part, a, team);
        }
    }

  private:
    const mortise_spec& spec(uint32_t part) const { return *problem_.parts[part]->spec; }
    bool prepares(uint32_t part) const { return sdk::prepares_input(spec(part), problem_.activations); }

    // Parts with the same rule and no arrays of their own read one prepared input; plain ones read the
    // operator's input itself when its rows need no padding.
    void share_inputs() {
        const bool padded = packings_[0].padded != packings_[0].columns;
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            uint32_t slot = no_slot;
            for (uint32_t other = 0; other < part && slot == no_slot; other++) {
                if (same_input(part, other)) slot = slots_[other];
            }
            const bool wants = prepares(part) || padded;
            if (slot == no_slot && wants) {
                slot = room_.slots++;
                owners_.push_back(part);
            }
            slots_.push_back(slot);
        }
    }

    bool same_input(uint32_t a, uint32_t b) const {
        if (!prepares(a) && !prepares(b)) return true;
        if (prepares(a) != prepares(b)) return false;
        const auto own_arrays = [&](uint32_t part) {
            const mortise_spec& s = spec(part);
            return s.rotation_block > 0 || sdk::find_field(s, MORTISE_ROLE_PRE_SCALE) || s.activation.dynamic == 0 ||
                   s.activation.second_level != 0;
        };
        return !own_arrays(a) && !own_arrays(b) && sdk::same_activation(spec(a), spec(b));
    }

    void measure_room() {
        const uint64_t rows = problem_.max_rows, padded = packings_[0].padded;
        room_.factor_offset = lines(rows * padded * sizeof(float));
        room_.slot_bytes = room_.factor_offset + lines(rows * sizeof(float));
        if (backend_.bf16_inputs) {
            room_.tiles = room_.slots + 1;
            room_.tile_bytes = lines((rows + 31) / 32 * 32 * padded * sizeof(uint16_t));
        }
        uint64_t sums = 0;
        for (const Packing& packing : packings_) sums = std::max(sums, packing.groups * gemv_rows * sizeof(float));
        room_.thread_bytes = lines(std::max(sums, backend_.gemm_scratch(std::min(padded, most_block))));
    }

    float* slot(const mortise_arguments& a, uint32_t index) const {
        return reinterpret_cast<float*>(sdk::pointer<uint8_t>(a.workspace) + index * room_.slot_bytes);
    }
    float* factors(const mortise_arguments& a, uint32_t index) const {
        return reinterpret_cast<float*>(reinterpret_cast<uint8_t*>(slot(a, index)) + room_.factor_offset);
    }
    // Tiles of a slot; those of the unprepared input come last.
    uint16_t* tiles(const mortise_arguments& a, uint32_t index) const {
        const uint32_t at = index == no_slot ? room_.slots : index;
        return reinterpret_cast<uint16_t*>(sdk::pointer<uint8_t>(a.workspace) + room_.slots * room_.slot_bytes +
                                           at * room_.tile_bytes);
    }
    void* scratch(const mortise_arguments& a, uint32_t rank) const {
        return sdk::pointer<uint8_t>(a.workspace) + room_.slots * room_.slot_bytes + room_.tiles * room_.tile_bytes +
               rank * room_.thread_bytes;
    }
    Inputs inputs(const mortise_arguments& a, uint32_t index) const {
        if (index != no_slot) return {slot(a, index), packings_[0].padded, a.rows};
        return {sdk::pointer<const float>(a.inputs[0]), packings_[0].columns, a.rows};
    }

    void prepare(const mortise_arguments& a, const mortise_team& team, bool as_tiles) const {
        const uint64_t unit = as_tiles ? 32 : 1;
        const auto rows = sdk::share(a.rows, unit, team.rank, team.size);
        bool together = false;
        for (uint32_t i = 0; i < room_.slots; i++) {
            const bool whole = sdk::prepares_rows_together(spec(owners_[i]), problem_.activations);
            together |= whole;
            fill_slot(a, i, whole ? sdk::Share{0, team.rank == 0 ? a.rows : 0} : rows);
        }
        if (together && as_tiles) team.barrier(team.context);
        if (as_tiles) {
            const bool raw = std::find(slots_.begin(), slots_.end(), no_slot) != slots_.end();
            for (uint32_t i = 0; i < room_.slots; i++) make_tiles(a, i, rows);
            if (raw) make_tiles(a, no_slot, rows);
        }
        if (room_.slots > 0 || as_tiles) team.barrier(team.context);
    }

    void make_tiles(const mortise_arguments& a, uint32_t index, sdk::Share rows) const {
        if (rows.begin < rows.end) {
            backend_.to_tiles(inputs(a, index), packings_[0].padded, rows.begin, rows.end, tiles(a, index));
        }
    }

    void fill_slot(const mortise_arguments& a, uint32_t index, sdk::Share rows) const {
        const uint32_t part = owners_[index];
        const uint64_t columns = packings_[part].columns, padded = packings_[part].padded;
        if (rows.begin == rows.end) return;
        const float* x = sdk::pointer<const float>(a.inputs[0]) + rows.begin * columns;
        float* out = slot(a, index) + rows.begin * padded;
        if (prepares(part) && padded == columns) {
            sdk::host().prepare_input(&spec(part), &extras_[part], problem_.activations, rows.end - rows.begin, columns,
                                      x, out);
            split_rows(a, index, rows);
            return;
        }
        for (uint64_t row = rows.begin; row < rows.end; row++, x += columns, out += padded) {
            if (prepares(part)) {
                sdk::host().prepare_input(&spec(part), &extras_[part], problem_.activations, 1, columns, x, out);
            } else {
                std::memcpy(out, x, columns * sizeof(float));
            }
            std::memset(out + columns, 0, (padded - columns) * sizeof(float));
        }
        split_rows(a, index, rows);
    }

    // Inputs that were quantized per token to 8-bit floats are codes times one factor per row. The codes are exact
    // in bf16, their products with the factor are not: the factor is taken out here and put back on the result.
    // The largest code of a row is the largest value of its kind, which gives the factor to within one rounding.
    bool splits_rows(uint32_t part) const {
        const mortise_activation& rule = spec(part).activation;
        return prepares(part) && rule.granularity == MORTISE_ACTIVATION_TOKEN && rule.dynamic != 0 && rule.asymmetric == 0 &&
               rule.encoding == MORTISE_ENCODING_E4M3 && rule.second_level == 0;
    }

    void split_rows(const mortise_arguments& a, uint32_t index, sdk::Share rows) const {
        if (!splits_rows(owners_[index])) return;
        constexpr float largest_code = 448;
        const uint64_t padded = packings_[0].padded;
        for (uint64_t row = rows.begin; row < rows.end; row++) {
            float* x = slot(a, index) + row * padded;
            float largest = 0;
            for (uint64_t k = 0; k < padded; k++) largest = std::max(largest, std::fabs(x[k]));
            const float factor = largest > 0 ? largest / largest_code : 1.0f;
            factors(a, index)[row] = factor;
            for (uint64_t k = 0; k < padded; k++) x[k] /= factor;
        }
    }

    // Effect: this thread's columns of every row times the row's factor, plus bias.
    void join_rows(uint32_t part, const mortise_arguments& a, sdk::Share panels) const {
        const uint64_t rows = packings_[part].rows, first = panels.begin * panel_rows, last = std::min(panels.end * panel_rows, rows);
        const float* bias = extras_[part].bias;
        for (uint64_t row = 0; row < a.rows; row++) {
            float* y = sdk::pointer<float>(a.outputs[part]) + row * rows;
            const float factor = factors(a, slots_[part])[row];
            for (uint64_t n = first; n < last; n++) y[n] = y[n] * factor + (bias ? bias[n] : 0.0f);
        }
    }

    Product product(uint32_t part, const mortise_arguments& a, sdk::Share panels, uint32_t rank) const {
        const Packing& packing = packings_[part];
        return {&packing,      sdk::pointer<const uint8_t>(a.packed[part]), panels.begin, panels.end,
                splits_rows(part) ? nullptr : extras_[part].bias, sdk::pointer<float>(a.outputs[part]),   packing.rows,
                block_columns(backend_, a.rows, packing.padded), scratch(a, rank)};
    }

    void multiply_few(uint32_t part, const mortise_arguments& a, const mortise_team& team) const {
        const Packing& packing = packings_[part];
        const auto panels = sdk::share(packing.panels, 1, team.rank, team.size);
        if (panels.begin == panels.end) return;
        const Inputs x = inputs(a, slots_[part]);
        float* sums = static_cast<float*>(scratch(a, team.rank));
        if (packing.shifted()) backend_.group_sums(packing, x, sums);
        backend_.gemv(product(part, a, panels, team.rank), x, sums);
        if (splits_rows(part)) join_rows(part, a, panels);
    }

    void multiply_many(uint32_t part, const mortise_arguments& a, const mortise_team& team) const {
        const auto panels = sdk::share(packings_[part].panels, backend_.gemm_panels, team.rank, team.size);
        if (panels.begin == panels.end) return;
        const uint16_t* rounded = backend_.bf16_inputs ? tiles(a, slots_[part]) : nullptr;
        backend_.gemm(product(part, a, panels, team.rank), inputs(a, slots_[part]), rounded);
        if (splits_rows(part)) join_rows(part, a, panels);
    }

    void embed(const mortise_arguments& a, const mortise_team& team) const {
        const Packing& packing = packings_[0];
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t i = rows.begin; i < rows.end; i++) {
            float* y = sdk::pointer<float>(a.outputs[0]) + i * packing.columns;
            // A vocabulary split among ranks: rows of the others are theirs.
            const uint64_t row = static_cast<uint64_t>(a.batch->tokens[i]) - problem_.parts[0]->first_row;
            if (row < packing.rows) backend_.row(packing, sdk::pointer<const uint8_t>(a.packed[0]), row, y);
            else std::memset(y, 0, packing.columns * sizeof(float));
        }
    }

    const mortise_problem& problem_;
    const Backend& backend_;
    std::vector<Packing> packings_;
    std::vector<mortise_extras> extras_;
    std::vector<uint32_t> slots_, owners_;  // of each part; the part that fills each slot
    Room room_;
};

const char* kind_name(Kind kind) {
    static const char* const names[] = {"f32", "f16", "bf16", "int8", "fp8", "4-bit"};
    return names[static_cast<int>(kind)];
}

const char* why_not_group(const mortise_problem& problem) {
    if (problem.n_parts == 0) return "no parts";
    if ((problem.kind == MORTISE_OP_EMBED || problem.gather) && problem.n_parts != 1) return "a table is one part";
    for (uint32_t i = 0; i < problem.n_parts; i++) {
        Packing packing;
        if (const char* why = choose_packing(*problem.parts[i], packing)) return why;
        if (packing.columns != problem.parts[0]->columns) return "parts of different width";
        if (packing.padded != packing.columns &&
            sdk::prepares_rows_together(*problem.parts[i]->spec, problem.activations)) {
            return "one input scale for all rows of a width that is no multiple of 32";
        }
    }
    return nullptr;
}

}  // namespace

void bid_linear(const mortise_problem& problem, const Backend& backend, mortise_bid& bid) {
    if (const char* why = why_not_group(problem)) return refuse(bid, why);
    Packing packing;
    choose_packing(*problem.parts[0], packing);
    accept(bid, backend, kind_name(packing.kind), backend.bf16_inputs ? "bf16 inputs from 5 rows on" : "f32 inputs");
    bid.row_tile = panel_rows;
    if (problem.kind == MORTISE_OP_LINEAR) bid.workspace = Linear(problem, backend).room().bytes(problem.threads);
}

uint64_t packed_bytes_linear(const mortise_kernel_part& part) {
    Packing packing;
    if (choose_packing(part, packing)) return 0;
    return packing.panels * packing.panel_bytes();
}

Kernel* make_linear(const mortise_problem& problem, const Backend& backend) {
    return new (std::nothrow) Linear(problem, backend);
}

}  // namespace mortise::cpu
