// norm, rope and element-wise operators: who computes which rows or elements.
#include <new>

#include "kernel.h"
#include "mortise/sdk/operators.h"

namespace mortise::cpu {
namespace {

constexpr uint32_t max_pairs = 512;

class Norm final : public Kernel {
  public:
    Norm(const mortise_problem& problem, const Backend& backend)
        : op_(sdk::norm_op(problem)), backend_(backend) {}

    void run(const mortise_arguments& a, const mortise_team& team) override {
        const uint32_t given = MORTISE_HAS(&a, mortise_arguments, n_weights) ? a.n_weights : 2;
        const float* weight = given > 0 ? sdk::pointer<const float>(a.weights[0]) : nullptr;
        const float* bias = given > 1 ? sdk::pointer<const float>(a.weights[1]) : nullptr;
        const auto blocks = sdk::share(a.rows * (op_.total / op_.width), 1, team.rank, team.size);
        for (uint64_t i = blocks.begin; i < blocks.end; i++) {
            backend_.norm(op_.style, op_.width, static_cast<float>(op_.eps),
                          static_cast<float>(op_.weight_offset),
                          sdk::pointer<const float>(a.inputs[0]) + i * op_.width, weight, bias,
                          sdk::pointer<float>(a.outputs[0]) + i * op_.width);
        }
    }

  private:
    sdk::NormOp op_;
    const Backend& backend_;
};

class Rope final : public Kernel {
  public:
    Rope(const mortise_problem& problem, const Backend& backend)
        : op_(sdk::rope_op(problem)), backend_(backend) {}

    void run(const mortise_arguments& a, const mortise_team& team) override {
        const mortise_batch& batch = *a.batch;
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        const uint64_t width = op_.heads * op_.head_dim;
        uint32_t sequence = 0;
        for (uint64_t row = rows.begin; row < rows.end; row++) {
            while (row >= batch.first_row[sequence + 1]) sequence++;
            alignas(64) float cosine[max_pairs], sine[max_pairs];
            angles(batch.positions[row], batch.lengths[sequence], cosine, sine);
            backend_.turn(op_.style, op_.pairs, op_.heads, op_.head_dim, cosine, sine,
                          sdk::pointer<const float>(a.inputs[0]) + row * width,
                          sdk::pointer<float>(a.outputs[0]) + row * width);
        }
    }

  private:
    void angles(int32_t position, uint64_t length, float* cosine, float* sine) const {
        if (!backend_.cos_sin) {
            for (uint32_t i = 0; i < op_.pairs; i++)
                sdk::rope_turn(op_, i, position, length, &cosine[i], &sine[i]);
            return;
        }
        alignas(64) float angle[max_pairs];
        for (uint32_t i = 0; i < op_.pairs; i++) {
            angle[i] = static_cast<float>(position) * sdk::rope_frequency(op_, i, length);
        }
        backend_.cos_sin(op_.pairs, angle, static_cast<float>(op_.amplitude), cosine, sine);
    }

    sdk::RopeOp op_;
    const Backend& backend_;
};

class Elementwise final : public Kernel {
  public:
    Elementwise(const mortise_problem& problem, const Backend& backend)
        : kind_(problem.kind),
          width_(problem.output_widths[0]),
          act_(sdk::act_op(problem)),
          factor_(static_cast<float>(sdk::real_attr(problem, MORTISE_ATTR_FACTOR, 1.0))),
          backend_(backend) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const auto part = sdk::share(arguments.rows * width_, 16, team.rank, team.size);
        const uint64_t count = part.end - part.begin;
        if (count == 0) return;
        const float* a = sdk::pointer<const float>(arguments.inputs[0]) + part.begin;
        const bool two = kind_ == MORTISE_OP_ACT_MUL || kind_ == MORTISE_OP_ADD;
        const float* b = two ? sdk::pointer<const float>(arguments.inputs[1]) + part.begin : nullptr;
        float* y = sdk::pointer<float>(arguments.outputs[0]) + part.begin;
        switch (kind_) {
            case MORTISE_OP_ADD: return backend_.add(count, a, b, y);
            case MORTISE_OP_SCALE: return backend_.scale(count, factor_, a, y);
            case MORTISE_OP_SOFTCAP: return backend_.softcap(count, factor_, a, y);
            default: return backend_.act(act_.style, static_cast<float>(act_.limit), count, a, b, y);
        }
    }

  private:
    uint32_t kind_;
    uint64_t width_;
    sdk::ActOp act_;
    float factor_;
    const Backend& backend_;
};

const char* why_not_norm(const mortise_problem& problem) {
    const sdk::NormOp op = sdk::norm_op(problem);
    if (op.style != MORTISE_STYLE_RMS && op.style != MORTISE_STYLE_LAYER) return "unknown norm style";
    return op.total % op.width == 0 ? nullptr : "the row is no whole number of blocks";
}

const char* why_not_rope(const mortise_problem& problem) {
    const sdk::RopeOp op = sdk::rope_op(problem);
    if (op.style != MORTISE_STYLE_HALF && op.style != MORTISE_STYLE_INTERLEAVED) return "unknown rope style";
    const bool fits = op.head_dim > 0 && op.pairs > 0 && op.pairs <= max_pairs && 2 * op.pairs <= op.head_dim;
    return fits ? nullptr : "needs a head size and at most 512 frequencies that fit in it";
}

const char* why_not_elementwise(const mortise_problem& problem) {
    const bool acts = problem.kind == MORTISE_OP_ACT_MUL || problem.kind == MORTISE_OP_ACT;
    const uint32_t style = sdk::act_op(problem).style;
    if (acts && !sdk::act_known(style)) return "unknown activation style";
    if (problem.kind == MORTISE_OP_ACT && style == MORTISE_STYLE_SWIGLU_CLAMPED) {
        return "this activation needs two operands";
    }
    for (uint32_t i = 0; i < problem.n_inputs; i++) {
        if (problem.input_widths[i] != problem.output_widths[0]) return "widths differ";
    }
    return nullptr;
}

}  // namespace

void bid_operator(const mortise_problem& problem, const Backend& backend, mortise_bid& bid) {
    const bool norm = problem.kind == MORTISE_OP_NORM, rope = problem.kind == MORTISE_OP_ROPE;
    const char* why = norm   ? why_not_norm(problem)
                      : rope ? why_not_rope(problem)
                             : why_not_elementwise(problem);
    if (why) return refuse(bid, why);
    accept(bid, backend, norm ? "norm" : rope ? "rope" : "elementwise", "f32");
}

Kernel* make_operator(const mortise_problem& problem, const Backend& backend) {
    if (problem.kind == MORTISE_OP_NORM) return new (std::nothrow) Norm(problem, backend);
    if (problem.kind == MORTISE_OP_ROPE) return new (std::nothrow) Rope(problem, backend);
    return new (std::nothrow) Elementwise(problem, backend);
}

}  // namespace mortise::cpu
