// act_mul, act, add, scale, softcap: one element at a time in f64.
#include <cmath>
#include <new>

#include "kernel.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

class Elementwise final : public Kernel {
  public:
    explicit Elementwise(const mortise_problem& problem)
        : kind_(problem.kind),
          width_(problem.output_widths[0]),
          act_(sdk::act_op(problem)),
          factor_(sdk::real_attr(problem, MORTISE_ATTR_FACTOR, 1.0)) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const auto part = sdk::share(arguments.rows * width_, 16, team.rank, team.size);
        const float* a = sdk::pointer<const float>(arguments.inputs[0]);
        const bool two = kind_ == MORTISE_OP_ACT_MUL || kind_ == MORTISE_OP_ADD;
        const float* b = two ? sdk::pointer<const float>(arguments.inputs[1]) : a;
        float* y = sdk::pointer<float>(arguments.outputs[0]);
        for (uint64_t i = part.begin; i < part.end; i++) y[i] = static_cast<float>(value(a[i], b[i]));
    }

  private:
    double value(double a, double b) const {
        switch (kind_) {
            case MORTISE_OP_ACT_MUL: return sdk::activate_pair(act_, a, b);
            case MORTISE_OP_ACT: return sdk::activate(act_, a);
            case MORTISE_OP_ADD: return a + b;
            case MORTISE_OP_SCALE: return a * factor_;
            default: return factor_ * std::tanh(a / factor_);
        }
    }

    uint32_t kind_;
    uint64_t width_;
    sdk::ActOp act_;
    double factor_;
};

}  // namespace

void bid_elementwise(const mortise_problem& problem, mortise_bid& bid) {
    const bool acts = problem.kind == MORTISE_OP_ACT_MUL || problem.kind == MORTISE_OP_ACT;
    const uint32_t style = sdk::act_op(problem).style;
    if (acts && !sdk::act_known(style)) return answer(bid, "", "unknown activation style");
    if (problem.kind == MORTISE_OP_ACT && style == MORTISE_STYLE_SWIGLU_CLAMPED) {
        return answer(bid, "", "this activation needs two operands");
    }
    for (uint32_t i = 0; i < problem.n_inputs; i++) {
        if (problem.input_widths[i] != problem.output_widths[0]) return answer(bid, "", "widths differ");
    }
    answer(bid, "reference elementwise");
}

Kernel* make_elementwise(const mortise_problem& problem) { return new (std::nothrow) Elementwise(problem); }

}  // namespace mortise::reference
