// moe: only chosen experts run. A seat is one input row and one of its choices; seats are sorted by expert,
// so the seats of an expert lie together and its banks are multiplied with all of them at once. Who computes
// which panels depends on the choices and on shapes, what is computed does not.
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "column_block.h"
#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"
#include "packer.h"
#include "token_factor.h"

namespace mortise::cpu {
namespace {

enum Role : uint32_t { gate = 0, up = 1, down = 2, roles = 3 };
constexpr uint64_t row_block = 32;  // seats that one thread prepares, unless a rule needs all of an expert

// Where things lie in the workspace: byte offsets.
struct Room {
    uint64_t seats = 0, bytes = 0;
    uint64_t chosen = 0, weights = 0, places = 0, sorted = 0, first = 0, first_block = 0;
    uint64_t x[2] = {}, factors[roles] = {}, gates = 0, ups = 0;
    uint64_t tiles[roles] = {};                         // of the inputs of each role
    uint64_t threads = 0, thread_bytes = 0, spare = 0;  // of each thread; spare lies within thread_bytes
    uint64_t take(uint64_t size) {
        const uint64_t at = bytes;
        bytes += lines(size);
        return at;
    }
};

class Moe final : public Kernel {
  public:
    Moe(const mortise_problem& problem, const Backend& backend)
        : problem_(problem), op_(sdk::moe_op(problem)), backend_(backend), extras_(roles) {
        for (uint32_t r = 0; r < roles; r++) {
            for (uint64_t e = 0; e < op_.members; e++) {
                parts_[r].push_back(std::make_unique<PackedPart>(*problem.parts[r], problem.activations));
            }
            strides_[r] = packing(static_cast<Role>(r), 0).padded;
        }
        apart_ = prepares(gate) || prepares(up) || packing(gate, 0).moved || packing(up, 0).moved;
        measure_room();
    }

    uint64_t workspace() const { return room_.bytes; }

    mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed) override {
        if (tile.expert >= op_.members)
            return fail(MORTISE_INTERNAL, "a tile of an expert that the bank does not have");
        PackedPart& own = *parts_[part][tile.expert];
        return own.pack(tile, sdk::pointer<uint8_t>(packed) + tile.expert * own.bytes());
    }

    mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address) override {
        extras_[part] = extras;
        return MORTISE_OK;
    }

    void run(const mortise_arguments& a, const mortise_team& team) override {
        if (a.rows == 0) return;
        choose(a, team);
        team.barrier(team.context);
        if (team.rank == 0) sort(a);
        team.barrier(team.context);
        each_block(a, team, whole(gate) || whole(up),
                   [&](uint64_t e, sdk::Share seats) { gather(a, team, e, seats); });
        team.barrier(team.context);
        multiply(a, team, gate, at<float>(a, room_.gates), strides_[down]);
        multiply(a, team, up, at<float>(a, room_.ups), strides_[down]);
        team.barrier(team.context);
        each_block(a, team, whole(down), [&](uint64_t e, sdk::Share seats) { activate(a, team, e, seats); });
        team.barrier(team.context);
        multiply(a, team, down, at<float>(a, room_.x[0]), strides_[gate]);
        team.barrier(team.context);
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t t = rows.begin; t < rows.end; t++) combine(a, t);
    }

  private:
    const Packing& packing(Role role, uint64_t e) const { return parts_[role][e]->packing(); }
    const mortise_spec& spec(Role role) const { return *problem_.parts[role]->spec; }
    bool prepares(Role role) const { return sdk::prepares_input(spec(role), problem_.activations); }
    bool whole(Role role) const { return sdk::prepares_rows_together(spec(role), problem_.activations); }
    bool splits(Role role) const { return splits_token_factor(spec(role), problem_.activations); }
    // Columns and panels are those of every expert; only the order and padding of columns may be its own.
    uint64_t columns(Role role) const { return problem_.parts[role]->columns; }
    // Gate and up read one copy of x unless either prepares or orders its own.
    uint64_t x_of(Role role) const { return room_.x[apart_ && role == up ? 1 : 0]; }
    uint64_t tiles_of(Role role) const { return room_.tiles[role == up && !apart_ ? gate : role]; }

    void measure_room() {
        room_.seats = problem_.max_rows * op_.top_k;
        const uint64_t seats = room_.seats, members = op_.members;
        for (uint64_t* list : {&room_.chosen, &room_.weights, &room_.places, &room_.sorted})
            *list = room_.take(seats * sizeof(uint32_t));
        for (uint64_t* list : {&room_.first, &room_.first_block})
            *list = room_.take((members + 1) * sizeof(uint32_t));
        room_.x[0] = room_.take(seats * strides_[gate] * sizeof(float));
        if (apart_) room_.x[1] = room_.take(seats * strides_[up] * sizeof(float));
        for (uint64_t* buffer : {&room_.gates, &room_.ups})
            *buffer = room_.take(seats * strides_[down] * sizeof(float));
        for (uint64_t& factors : room_.factors) factors = room_.take(seats * sizeof(float));
        if (backend_.bf16_inputs) {
            const uint64_t rows = seats + (row_block - 1) * std::min(members, seats / (gemv_rows + 1));
            for (const Role role : {gate, up, down})
                if (role != up || apart_)
                    room_.tiles[role] = room_.take((rows + row_block) * strides_[role] * sizeof(uint16_t));
        }
        uint64_t thread = 0;
        for (const Role role : {gate, up, down}) {
            thread = std::max(thread, packing(role, 0).groups * gemv_rows * sizeof(float));
            thread = std::max(thread, backend_.gemm_scratch(std::min(strides_[role], backend_.most_block)));
        }
        room_.spare = lines(thread);
        room_.thread_bytes = room_.spare + lines(std::max(columns(gate), columns(down)) * sizeof(float));
        room_.threads = room_.take(problem_.threads * room_.thread_bytes);
    }

    template <class T>
    static T* at(const mortise_arguments& a, uint64_t offset) {
        return reinterpret_cast<T*>(sdk::pointer<uint8_t>(a.workspace) + offset);
    }
    sdk::Share seats_of(const mortise_arguments& a, uint64_t e) const {
        const uint32_t* first = at<const uint32_t>(a, room_.first);
        return {first[e], first[e + 1]};
    }
    // Seats of expert `e` are enough for the matrix product, and it reads tiles.
    bool tiled(uint64_t count) const { return backend_.bf16_inputs && count > gemv_rows; }

    void choose(const mortise_arguments& a, const mortise_team& team) const {
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t t = rows.begin; t < rows.end; t++) {
            uint32_t chosen[sdk::most_chosen] = {};
            double weights[sdk::most_chosen] = {};
            sdk::route(op_, sdk::pointer<const float>(a.inputs[1]) + t * op_.experts, chosen, weights);
            for (uint64_t k = 0; k < op_.top_k; k++) {
                at<uint32_t>(a, room_.chosen)[t * op_.top_k + k] = sdk::member_of(op_, chosen[k]);
                at<float>(a, room_.weights)[t * op_.top_k + k] = static_cast<float>(weights[k]);
            }
        }
    }

    // Seats in the order of their experts, and where each expert's seats and tiles begin. Seats of experts
    // that this bank does not have get no place.
    void sort(const mortise_arguments& a) const {
        const uint64_t seats = a.rows * op_.top_k;
        const uint32_t* chosen = at<const uint32_t>(a, room_.chosen);
        uint32_t *first = at<uint32_t>(a, room_.first), *block = at<uint32_t>(a, room_.first_block);
        uint32_t *places = at<uint32_t>(a, room_.places), *sorted = at<uint32_t>(a, room_.sorted);
        std::memset(first, 0, (op_.members + 1) * sizeof *first);
        for (uint64_t s = 0; s < seats; s++)
            if (chosen[s] < op_.members) first[chosen[s] + 1]++;
        block[0] = 0;
        for (uint64_t e = 0; e < op_.members; e++) {
            const uint64_t count = first[e + 1];
            block[e + 1] =
                block[e] + static_cast<uint32_t>(tiled(count) ? (count + row_block - 1) / row_block : 0);
            first[e + 1] += first[e];
        }
        for (uint64_t s = 0; s < seats; s++) {
            places[s] = sdk::no_member;
            if (chosen[s] < op_.members) sorted[places[s] = first[chosen[s]]++] = static_cast<uint32_t>(s);
        }
        for (uint64_t e = op_.members; e > 0; e--) first[e] = first[e - 1];
        first[0] = 0;
    }

    // Effect: use(e, seats) for this thread's blocks of sorted seats, each within one expert, or all of it.
    template <class Use>
    void each_block(const mortise_arguments& a, const mortise_team& team, bool all, Use use) const {
        const uint64_t block = all ? room_.seats : row_block;
        uint64_t total = 0, done = 0;
        for (uint64_t e = 0; e < op_.members; e++)
            total += (seats_of(a, e).end - seats_of(a, e).begin + block - 1) / block;
        const auto mine = sdk::share(total, 1, team.rank, team.size);
        for (uint64_t e = 0; e < op_.members && done < mine.end; e++) {
            const auto seats = seats_of(a, e);
            for (uint64_t s = seats.begin; s < seats.end; s += block, done++)
                if (done >= mine.begin && done < mine.end)
                    use(e, sdk::Share{s, std::min(s + block, seats.end)});
        }
    }

    void gather(const mortise_arguments& a, const mortise_team& team, uint64_t e, sdk::Share seats) const {
        const uint32_t* sorted = at<const uint32_t>(a, room_.sorted);
        const float* x = sdk::pointer<const float>(a.inputs[0]);
        for (const Role role : {gate, up}) {
            if (role == up && !apart_) continue;
            float* to = at<float>(a, x_of(role));
            prepare(
                a, team, role, e, seats,
                [&](uint64_t s) { return x + sorted[s] / op_.top_k * columns(gate); }, to);
            make_tiles(a, role, e, seats, to);
        }
    }

    // act(gate) * up of some seats, as the down bank wants it: in the room of gate, or of up where it is
    // prepared.
    void activate(const mortise_arguments& a, const mortise_team& team, uint64_t e, sdk::Share seats) const {
        float *gates = at<float>(a, room_.gates), *ups = at<float>(a, room_.ups);
        for (uint64_t at = seats.begin * strides_[down]; at < seats.end * strides_[down];
             at += strides_[down])
            backend_.act(op_.act.style, static_cast<float>(op_.act.limit), columns(down), gates + at,
                         ups + at, gates + at);
        prepare(a, team, down, e, seats, [&](uint64_t s) { return gates + s * strides_[down]; }, hidden(a));
        make_tiles(a, down, e, seats, hidden(a));
    }
    float* hidden(const mortise_arguments& a) const {
        return at<float>(a, prepares(down) ? room_.ups : room_.gates);
    }

    // Effect: rows as the expert's product reads them, in its order of columns and padded; row(seat) gives
    // each. `to` has other rows than these, or, where the bank prepares nothing, may have the very same.
    template <class Row>
    void prepare(const mortise_arguments& a, const mortise_team& team, Role role, uint64_t e,
                 sdk::Share seats, Row row, float* to) const {
        float* spare = at<float>(a, room_.threads + team.rank * room_.thread_bytes + room_.spare);
        if (!prepares(role)) {
            for (uint64_t s = seats.begin; s < seats.end; s++)
                arrange(packing(role, e), row(s), to + s * strides_[role], spare);
            return;
        }
        // Side by side, because some rules look at all of them, then moved apart from the last one on.
        const uint64_t width = columns(role), count = seats.end - seats.begin;
        float* rows = to + seats.begin * strides_[role];
        for (uint64_t i = 0; i < count; i++)
            std::memcpy(rows + i * width, row(seats.begin + i), width * sizeof(float));
        const mortise_extras extras = sdk::extras_of(extras_[role], *problem_.parts[role], e);
        sdk::host().prepare_input(&spec(role), &extras, problem_.activations, count, width, rows, rows);
        for (uint64_t i = count; i-- > 0;) {
            float* own = rows + i * strides_[role];
            arrange(packing(role, e), rows + i * width, own, spare);
        }
        if (splits(role))
            take_token_factors(spec(role), extras, {rows, strides_[role], count, packing(role, e).padded},
                               at<float>(a, room_.factors[role]) + seats.begin);
    }

    Inputs rows_of(Role role, sdk::Share seats, const float* rows) const {
        return {rows + seats.begin * strides_[role], strides_[role], seats.end - seats.begin};
    }
    uint16_t* tiles(const mortise_arguments& a, Role role, uint64_t e) const {
        const uint64_t row = at<const uint32_t>(a, room_.first_block)[e] * row_block;
        return at<uint16_t>(a, tiles_of(role)) + row * strides_[role];
    }
    void make_tiles(const mortise_arguments& a, Role role, uint64_t e, sdk::Share seats,
                    const float* rows) const {
        const auto all = seats_of(a, e);
        if (!tiled(all.end - all.begin)) return;
        backend_.to_tiles(rows_of(role, all, rows), packing(role, e).padded, seats.begin - all.begin,
                          seats.end - all.begin, tiles(a, role, e));
    }

    // Effect: use(e, panels) for this thread's panels. Few rows cost what reading the panel costs.
    template <class Use>
    void each_slice(const mortise_arguments& a, const mortise_team& team, Role role, Use use) const {
        const uint64_t panels = packing(role, 0).panels;
        const auto count = [&](uint64_t e) { return seats_of(a, e).end - seats_of(a, e).begin; };
        const auto cost = [&](uint64_t e) { return count(e) == 0 ? 0 : std::max(count(e), gemv_rows); };
        uint64_t total = 0, before = 0;
        for (uint64_t e = 0; e < op_.members; e++) total += panels * cost(e);
        const uint64_t begin = total * team.rank / team.size, end = total * (team.rank + 1) / team.size;
        for (uint64_t e = 0; e < op_.members && before < end; before += panels * cost(e), e++) {
            if (cost(e) == 0) continue;
            const uint64_t unit = count(e) <= gemv_rows ? 1 : backend_.gemm_panels;
            const auto cut = [&](uint64_t place) {
                const uint64_t panel = place <= before ? 0 : (place - before) / cost(e);
                return panel >= panels ? panels : panel / unit * unit;
            };
            if (cut(begin) < cut(end)) use(e, sdk::Share{cut(begin), cut(end)});
        }
    }

    // y[seat] = the expert's bank times its prepared row.
    void multiply(const mortise_arguments& a, const mortise_team& team, Role role, float* y,
                  uint64_t stride) const {
        const float* x = role == down ? hidden(a) : at<const float>(a, x_of(role));
        void* scratch = at<uint8_t>(a, room_.threads + team.rank * room_.thread_bytes);
        each_slice(a, team, role, [&](uint64_t e, sdk::Share panels) {
            const Packing& own = packing(role, e);
            const auto seats = seats_of(a, e);
            const uint64_t count = seats.end - seats.begin;
            const Inputs inputs = rows_of(role, seats, x);
            const float* bias = extras_[role].bias ? extras_[role].bias + e * own.rows : nullptr;
            const Product product{&own,
                                  sdk::pointer<const uint8_t>(a.packed[role]) + e * parts_[role][e]->bytes(),
                                  panels.begin,
                                  panels.end,
                                  splits(role) ? nullptr : bias,
                                  y + seats.begin * stride,
                                  stride,
                                  block_columns(backend_, count, own.padded),
                                  scratch};
            if (count <= gemv_rows) {
                if (own.shifted()) backend_.group_sums(own, inputs, static_cast<float*>(scratch));
                backend_.gemv(product, inputs, static_cast<float*>(scratch));
            } else {
                backend_.gemm(product, inputs, backend_.bf16_inputs ? tiles(a, role, e) : nullptr);
            }
            if (splits(role))
                put_token_factors(product, count, at<const float>(a, room_.factors[role]) + seats.begin,
                                  bias);
        });
    }

    // y[t] (+)= sum of weight * down over the row's seats, experts ascending.
    void combine(const mortise_arguments& a, uint64_t t) const {
        const uint32_t* places = at<const uint32_t>(a, room_.places) + t * op_.top_k;
        uint32_t order[sdk::most_chosen];
        for (uint32_t k = 0; k < op_.top_k; k++) order[k] = k;
        std::sort(order, order + op_.top_k, [&](uint32_t i, uint32_t j) { return places[i] < places[j]; });
        const uint64_t width = columns(gate);
        float* y = sdk::pointer<float>(a.outputs[0]) + t * width;
        if (!op_.accumulate) std::memset(y, 0, width * sizeof(float));
        for (uint64_t k = 0; k < op_.top_k && places[order[k]] != sdk::no_member; k++) {
            const float weight = at<const float>(a, room_.weights)[t * op_.top_k + order[k]];
            const float* from = at<const float>(a, room_.x[0]) + places[order[k]] * strides_[gate];
            for (uint64_t n = 0; n < width; n++) y[n] += weight * from[n];
        }
    }

    const mortise_problem& problem_;
    sdk::MoeOp op_;
    const Backend& backend_;
    std::vector<std::unique_ptr<PackedPart>> parts_[roles];  // of each expert
    std::vector<mortise_extras> extras_;
    uint64_t strides_[roles] = {};  // columns of a prepared row, the most that an expert needs
    bool apart_ = false;
    Room room_;
};

const char* why_not(const mortise_problem& problem) {
    if (const char* why = sdk::why_not_moe(problem)) return why;
    for (uint32_t r = 0; r < roles; r++) {
        Packing packing;
        if (const char* why = choose_packing(*problem.parts[r], problem.activations, packing)) return why;
    }
    return nullptr;
}

}  // namespace

void bid_moe(const mortise_problem& problem, const Backend& backend, mortise_bid& bid) {
    if (const char* why = why_not(problem)) return refuse(bid, why);
    accept(bid, backend, "experts",
           backend.bf16_inputs ? "bf16 inputs from 5 rows of an expert on" : "f32 inputs");
    bid.row_tile = panel_rows;
    bid.workspace = Moe(problem, backend).workspace();
}

uint64_t packed_bytes_moe(const mortise_problem& problem, uint32_t part) {
    Packing packing;
    if (choose_packing(*problem.parts[part], problem.activations, packing)) return 0;
    return problem.parts[part]->experts * packing.panels * packing.panel_bytes();
}

Kernel* make_moe(const mortise_problem& problem, const Backend& backend) {
    return new (std::nothrow) Moe(problem, backend);
}

}  // namespace mortise::cpu
