// moe: only chosen experts run. All threads walk the experts in order, each computing its share of the inner
// rows and, after a barrier, of the output rows; an output adds its experts in ascending order.
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

// Places in the workspace, in floats. A seat is one (input row, choice); one of an expert of another bank is
// no member's.
struct Plan {
    uint64_t width, inner, seats;
    uint64_t experts, weights, hidden, threads, per_thread, total;
};

Plan plan_of(const mortise_problem& problem) {
    Plan p{};
    p.width = problem.parts[gate]->columns;
    p.inner = problem.parts[gate]->rows;
    p.seats = problem.max_rows * sdk::moe_op(problem).top_k;
    const uint64_t widest = p.width > p.inner ? p.width : p.inner;
    p.experts = 0;
    p.weights = p.experts + p.seats;
    p.hidden = p.weights + p.seats;
    p.threads = p.hidden + p.seats * p.inner;
    p.per_thread = (2 * decoded_rows + 1) * widest;
    p.total = p.threads + problem.threads * p.per_thread;
    return p;
}

class Moe final : public Kernel {
  public:
    explicit Moe(const mortise_problem& problem)
        : problem_(problem), op_(sdk::moe_op(problem)), plan_(plan_of(problem)), extras_(roles) {
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
        for (uint32_t e = 0; e < op_.members; e++) inner(a, team, e);
        team.barrier(team.context);
        const auto rows = sdk::share(plan_.width, 1, team.rank, team.size);
        for (uint64_t t = 0; t < a.rows && !op_.accumulate; t++) {
            float* y = sdk::pointer<float>(a.outputs[0]) + t * plan_.width;
            std::memset(y + rows.begin, 0, (rows.end - rows.begin) * sizeof(float));
        }
        for (uint32_t e = 0; e < op_.members; e++) outer(a, team, e);
    }

  private:
    float* room(const mortise_arguments& a, uint64_t offset) const {
        return sdk::pointer<float>(a.workspace) + offset;
    }
    float* own(const mortise_arguments& a, const mortise_team& team) const {
        return room(a, plan_.threads + team.rank * plan_.per_thread);
    }
    const uint8_t* packed(const mortise_arguments& a, Role role) const {
        return sdk::pointer<const uint8_t>(a.packed[role]);
    }
    bool seated(const mortise_arguments& a, uint64_t seat, uint32_t expert) const {
        return room(a, plan_.experts)[seat] == static_cast<float>(expert);
    }

    void choose(const mortise_arguments& a, const mortise_team& team) const {
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t t = rows.begin; t < rows.end; t++) {
            uint32_t chosen[sdk::most_chosen] = {};
            double weights[sdk::most_chosen] = {};
            sdk::route(op_, sdk::pointer<const float>(a.inputs[1]) + t * op_.experts, chosen, weights);
            for (uint64_t k = 0; k < op_.top_k; k++) {
                room(a, plan_.experts)[t * op_.top_k + k] =
                    static_cast<float>(sdk::member_of(op_, chosen[k]));
                room(a, plan_.weights)[t * op_.top_k + k] = static_cast<float>(weights[k]);
            }
        }
    }

    // Effect: x as the expert's bank wants it, in `scratch` when that is not x itself.
    const float* prepared(Role role, uint32_t expert, const float* x, float* scratch) const {
        const mortise_spec& spec = *problem_.parts[role]->spec;
        if (!sdk::prepares_input(spec, problem_.activations)) return x;
        const uint64_t columns = problem_.parts[role]->columns;
        const mortise_extras extras = sdk::extras_of(extras_[role], *problem_.parts[role], expert);
        sdk::host().prepare_input(&spec, &extras, problem_.activations, 1, columns, x, scratch);
        return scratch;
    }

    float bias(Role role, uint32_t expert, uint64_t row) const {
        return extras_[role].bias ? extras_[role].bias[expert * problem_.parts[role]->rows + row] : 0.0f;
    }

    // hidden[seat] = act(gate(x)) * up(x) for this thread's share of the inner rows.
    void inner(const mortise_arguments& a, const mortise_team& team, uint32_t expert) const {
        const auto rows = sdk::share(plan_.inner, 1, team.rank, team.size);
        float* weights = own(a, team);
        float* scratch = weights + 2 * decoded_rows * plan_.width;
        for (uint64_t row = rows.begin; row < rows.end; row += decoded_rows) {
            const uint64_t count = rows.end - row < decoded_rows ? rows.end - row : decoded_rows;
            bool decoded = false;
            for (uint64_t seat = 0; seat < a.rows * op_.top_k; seat++) {
                if (!seated(a, seat, expert)) continue;
                if (!decoded) {
                    banks_[gate].decode(packed(a, gate), expert, row, count, weights);
                    banks_[up].decode(packed(a, up), expert, row, count,
                                      weights + decoded_rows * plan_.width);
                    decoded = true;
                }
                const float* x = sdk::pointer<const float>(a.inputs[0]) + seat / op_.top_k * plan_.width;
                float gates[decoded_rows], ups[decoded_rows];
                dots(weights, count, plan_.width, prepared(gate, expert, x, scratch), gates);
                dots(weights + decoded_rows * plan_.width, count, plan_.width,
                     prepared(up, expert, x, scratch), ups);
                float* hidden = room(a, plan_.hidden) + seat * plan_.inner + row;
                for (uint64_t i = 0; i < count; i++) {
                    hidden[i] = static_cast<float>(sdk::activate_pair(
                        op_.act, gates[i] + bias(gate, expert, row + i), ups[i] + bias(up, expert, row + i)));
                }
            }
        }
    }

    // y += weight * down(hidden) for this thread's share of the output rows.
    void outer(const mortise_arguments& a, const mortise_team& team, uint32_t expert) const {
        const auto rows = sdk::share(plan_.width, 1, team.rank, team.size);
        float* weights = own(a, team);
        float* scratch = weights + 2 * decoded_rows * plan_.inner;
        for (uint64_t row = rows.begin; row < rows.end; row += decoded_rows) {
            const uint64_t count = rows.end - row < decoded_rows ? rows.end - row : decoded_rows;
            bool decoded = false;
            for (uint64_t seat = 0; seat < a.rows * op_.top_k; seat++) {
                if (!seated(a, seat, expert)) continue;
                if (!decoded) banks_[down].decode(packed(a, down), expert, row, count, weights);
                decoded = true;
                const float* hidden = room(a, plan_.hidden) + seat * plan_.inner;
                float products[decoded_rows];
                dots(weights, count, plan_.inner, prepared(down, expert, hidden, scratch), products);
                float* y = sdk::pointer<float>(a.outputs[0]) + seat / op_.top_k * plan_.width + row;
                const float share = room(a, plan_.weights)[seat];
                for (uint64_t i = 0; i < count; i++)
                    y[i] += share * (products[i] + bias(down, expert, row + i));
            }
        }
    }

    const mortise_problem& problem_;
    sdk::MoeOp op_;
    Plan plan_;
    std::vector<Bank> banks_;
    std::vector<mortise_extras> extras_;
};

}  // namespace

void bid_moe(const mortise_problem& problem, mortise_bid& bid) {
    const char* why = sdk::why_not_moe(problem);
    answer(bid, "reference moe", why);
    if (!why) bid.workspace = plan_of(problem).total * sizeof(float);
}

Kernel* make_moe(const mortise_problem& problem) { return new (std::nothrow) Moe(problem); }

}  // namespace mortise::reference
