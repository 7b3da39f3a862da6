// moe: only chosen experts run. A seat is one input row and one of its choices; seats are sorted by expert,
// so that an expert's rows are prepared together. All threads walk the experts in order, each computing its
// share of the inner rows and, after a barrier, of the output rows; an output adds its experts in ascending
// order.
#include <cstring>
#include <new>
#include <vector>

#include "bank.h"
#include "dots.h"
#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

enum Role : uint32_t { gate = 0, up = 1, down = 2, roles = 3 };

// Where things lie in the workspace, in floats. A place is the number of a seat in the order of experts.
struct Room {
    uint64_t seats = 0, floats = 0;
    uint64_t chosen = 0, weights = 0;  // [seats]
    uint64_t first = 0;                // [members + 1] places where each expert's seats begin
    uint64_t sorted = 0;               // [seats] seat of each place; those of other banks' experts have none
    uint64_t inputs[roles] = {};       // [seats][columns] by place
    uint64_t threads = 0, per_thread = 0;
    uint64_t take(uint64_t count) {
        const uint64_t at = floats;
        floats += count;
        return at;
    }
};

Room room_of(const mortise_problem& problem) {
    const sdk::MoeOp op = sdk::moe_op(problem);
    const uint64_t width = problem.parts[gate]->columns, inner = problem.parts[gate]->rows;
    Room room;
    room.seats = problem.max_rows * op.top_k;
    room.chosen = room.take(room.seats);
    room.weights = room.take(room.seats);
    room.first = room.take(op.members + 1);
    room.sorted = room.take(room.seats);
    for (const Role role : {gate, up, down})
        room.inputs[role] = room.take(room.seats * problem.parts[role]->columns);
    room.per_thread = 2 * decoded_rows * (width > inner ? width : inner);
    room.threads = room.take(problem.threads * room.per_thread);
    return room;
}

class Moe final : public Kernel {
  public:
    explicit Moe(const mortise_problem& problem)
        : problem_(problem), op_(sdk::moe_op(problem)), room_(room_of(problem)), extras_(roles) {
        for (uint32_t i = 0; i < roles; i++) banks_.emplace_back(*problem.parts[i]);
    }

    mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed) override {
        return banks_[part].store(tile, sdk::pointer<uint8_t>(packed));
    }

    mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address) override {
        extras_[part] = extras;
        return MORTISE_OK;
    }

    void run(const mortise_arguments& a, const mortise_team& team) override {
        choose(a, team);
        team.barrier(team.context);
        if (team.rank == 0) sort(a);
        team.barrier(team.context);
        each_expert(team, [&](uint32_t e) { gather(a, e); });
        team.barrier(team.context);
        for (uint32_t e = 0; e < op_.members; e++) inner(a, team, e);
        team.barrier(team.context);
        each_expert(team, [&](uint32_t e) { prepare(a, down, e); });
        team.barrier(team.context);
        const auto rows = sdk::share(columns(gate), 1, team.rank, team.size);
        for (uint64_t t = 0; t < a.rows && !op_.accumulate; t++) {
            float* y = sdk::pointer<float>(a.outputs[0]) + t * columns(gate);
            std::memset(y + rows.begin, 0, (rows.end - rows.begin) * sizeof(float));
        }
        for (uint32_t e = 0; e < op_.members; e++) outer(a, team, e);
    }

  private:
    float* at(const mortise_arguments& a, uint64_t offset) const {
        return sdk::pointer<float>(a.workspace) + offset;
    }
    float* own(const mortise_arguments& a, const mortise_team& team) const {
        return at(a, room_.threads + team.rank * room_.per_thread);
    }
    const uint8_t* packed(const mortise_arguments& a, Role role) const {
        return sdk::pointer<const uint8_t>(a.packed[role]);
    }
    uint64_t columns(Role role) const { return problem_.parts[role]->columns; }
    // The row at `place` as the role's bank reads it.
    float* input(const mortise_arguments& a, Role role, uint64_t place) const {
        return at(a, room_.inputs[role]) + place * columns(role);
    }
    sdk::Share places_of(const mortise_arguments& a, uint32_t expert) const {
        const float* first = at(a, room_.first) + expert;
        return {static_cast<uint64_t>(first[0]), static_cast<uint64_t>(first[1])};
    }
    uint64_t seat_at(const mortise_arguments& a, uint64_t place) const {
        return static_cast<uint64_t>(at(a, room_.sorted)[place]);
    }

    void choose(const mortise_arguments& a, const mortise_team& team) const {
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t t = rows.begin; t < rows.end; t++) {
            uint32_t chosen[sdk::most_chosen] = {};
            double weights[sdk::most_chosen] = {};
            sdk::route(op_, sdk::pointer<const float>(a.inputs[1]) + t * op_.experts, chosen, weights);
            for (uint64_t k = 0; k < op_.top_k; k++) {
                at(a, room_.chosen)[t * op_.top_k + k] = static_cast<float>(sdk::member_of(op_, chosen[k]));
                at(a, room_.weights)[t * op_.top_k + k] = static_cast<float>(weights[k]);
            }
        }
    }

    void sort(const mortise_arguments& a) const {
        uint64_t place = 0;
        for (uint32_t e = 0; e < op_.members; e++) {
            at(a, room_.first)[e] = static_cast<float>(place);
            for (uint64_t seat = 0; seat < a.rows * op_.top_k; seat++) {
                if (at(a, room_.chosen)[seat] == static_cast<float>(e))
                    at(a, room_.sorted)[place++] = static_cast<float>(seat);
            }
        }
        at(a, room_.first)[op_.members] = static_cast<float>(place);
    }

    template <class Use>
    void each_expert(const mortise_team& team, Use use) const {
        for (uint32_t e = team.rank; e < op_.members; e += team.size) use(e);
    }

    // Effect: the rows of one expert as its bank wants them; some rules take one scale from all of them.
    void prepare(const mortise_arguments& a, Role role, uint32_t expert) const {
        const mortise_spec& spec = *problem_.parts[role]->spec;
        const auto places = places_of(a, expert);
        if (places.begin == places.end || !sdk::prepares_input(spec, problem_.activations)) return;
        const mortise_extras extras = sdk::extras_of(extras_[role], *problem_.parts[role], expert);
        float* rows = input(a, role, places.begin);
        sdk::host().prepare_input(&spec, &extras, problem_.activations, places.end - places.begin,
                                  columns(role), rows, rows);
    }

    void gather(const mortise_arguments& a, uint32_t expert) const {
        const auto places = places_of(a, expert);
        for (const Role role : {gate, up}) {
            for (uint64_t place = places.begin; place < places.end; place++) {
                const float* x =
                    sdk::pointer<const float>(a.inputs[0]) + seat_at(a, place) / op_.top_k * columns(role);
                std::memcpy(input(a, role, place), x, columns(role) * sizeof(float));
            }
            prepare(a, role, expert);
        }
    }

    float bias(Role role, uint32_t expert, uint64_t row) const {
        return extras_[role].bias ? extras_[role].bias[expert * problem_.parts[role]->rows + row] : 0.0f;
    }

    // input(down) = act(gate(x)) * up(x) for this thread's share of the inner rows.
    void inner(const mortise_arguments& a, const mortise_team& team, uint32_t expert) const {
        const auto places = places_of(a, expert);
        if (places.begin == places.end) return;
        const auto rows = sdk::share(columns(down), 1, team.rank, team.size);
        float* weights = own(a, team);
        float* others = weights + decoded_rows * columns(up);
        for (uint64_t row = rows.begin; row < rows.end; row += decoded_rows) {
            const uint64_t count = rows.end - row < decoded_rows ? rows.end - row : decoded_rows;
            banks_[gate].decode(packed(a, gate), expert, row, count, weights);
            banks_[up].decode(packed(a, up), expert, row, count, others);
            for (uint64_t place = places.begin; place < places.end; place++) {
                float gates[decoded_rows], ups[decoded_rows];
                dots(weights, count, columns(gate), input(a, gate, place), gates);
                dots(others, count, columns(up), input(a, up, place), ups);
                float* hidden = input(a, down, place) + row;
                for (uint64_t i = 0; i < count; i++) {
                    hidden[i] = static_cast<float>(sdk::activate_pair(
                        op_.act, gates[i] + bias(gate, expert, row + i), ups[i] + bias(up, expert, row + i)));
                }
            }
        }
    }

    // y += weight * down(input) for this thread's share of the output rows.
    void outer(const mortise_arguments& a, const mortise_team& team, uint32_t expert) const {
        const auto places = places_of(a, expert);
        if (places.begin == places.end) return;
        const auto rows = sdk::share(columns(gate), 1, team.rank, team.size);
        float* weights = own(a, team);
        for (uint64_t row = rows.begin; row < rows.end; row += decoded_rows) {
            const uint64_t count = rows.end - row < decoded_rows ? rows.end - row : decoded_rows;
            banks_[down].decode(packed(a, down), expert, row, count, weights);
            for (uint64_t place = places.begin; place < places.end; place++) {
                const uint64_t seat = seat_at(a, place);
                float products[decoded_rows];
                dots(weights, count, columns(down), input(a, down, place), products);
                float* y = sdk::pointer<float>(a.outputs[0]) + seat / op_.top_k * columns(gate) + row;
                const float share = at(a, room_.weights)[seat];
                for (uint64_t i = 0; i < count; i++)
                    y[i] += share * (products[i] + bias(down, expert, row + i));
            }
        }
    }

    const mortise_problem& problem_;
    sdk::MoeOp op_;
    Room room_;
    std::vector<Bank> banks_;
    std::vector<mortise_extras> extras_;
};

}  // namespace

void bid_moe(const mortise_problem& problem, mortise_bid& bid) {
    const char* why = sdk::why_not_moe(problem);
    answer(bid, "reference moe", why);
    if (!why) bid.workspace = room_of(problem).floats * sizeof(float);
}

Kernel* make_moe(const mortise_problem& problem) { return new (std::nothrow) Moe(problem); }

}  // namespace mortise::reference
