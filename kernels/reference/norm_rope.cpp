// norm and rope, row by row, sums in f64.
#include <cmath>
#include <new>

#include "kernel.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

constexpr uint32_t max_pairs = 512;

class Norm final : public Kernel {
  public:
    explicit Norm(const mortise_problem& problem) : op_(sdk::norm_op(problem)) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const uint32_t given =
            MORTISE_HAS(&arguments, mortise_arguments, n_weights) ? arguments.n_weights : 2;
        const float* weight = given > 0 ? sdk::pointer<const float>(arguments.weights[0]) : nullptr;
        const float* bias = given > 1 ? sdk::pointer<const float>(arguments.weights[1]) : nullptr;
        const uint64_t blocks = op_.total / op_.width;
        const auto part = sdk::share(arguments.rows * blocks, 1, team.rank, team.size);
        for (uint64_t i = part.begin; i < part.end; i++) {
            const float* x = sdk::pointer<const float>(arguments.inputs[0]) + i * op_.width;
            float* y = sdk::pointer<float>(arguments.outputs[0]) + i * op_.width;
            block(x, weight, bias, y);
        }
    }

  private:
    void block(const float* x, const float* weight, const float* bias, float* y) const {
        const double n = static_cast<double>(op_.width);
        double mean = 0, square = 0;
        if (op_.style == MORTISE_STYLE_LAYER) {
            for (uint64_t i = 0; i < op_.width; i++) mean += x[i];
            mean /= n;
        }
        for (uint64_t i = 0; i < op_.width; i++) square += (x[i] - mean) * (x[i] - mean);
        const double factor = 1 / std::sqrt(square / n + op_.eps);
        for (uint64_t i = 0; i < op_.width; i++) {
            const double w = weight ? op_.weight_offset + weight[i] : 1;
            y[i] = static_cast<float>((x[i] - mean) * factor * w + (bias ? bias[i] : 0));
        }
    }

    sdk::NormOp op_;
};

class Rope final : public Kernel {
  public:
    explicit Rope(const mortise_problem& problem) : op_(sdk::rope_op(problem)) {}

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        const mortise_batch& batch = *arguments.batch;
        const auto part = sdk::share(arguments.rows, 1, team.rank, team.size);
        uint32_t sequence = 0;
        for (uint64_t row = part.begin; row < part.end; row++) {
            while (row >= batch.first_row[sequence + 1]) sequence++;
            const uint64_t width = op_.heads * op_.head_dim;
            turn(batch.positions[row], batch.lengths[sequence],
                 sdk::pointer<const float>(arguments.inputs[0]) + row * width,
                 sdk::pointer<float>(arguments.outputs[0]) + row * width);
        }
    }

  private:
    void turn(int32_t position, uint64_t length, const float* x, float* y) const {
        float cosine[max_pairs], sine[max_pairs];
        for (uint32_t i = 0; i < op_.pairs; i++)
            sdk::rope_turn(op_, i, position, length, &cosine[i], &sine[i]);
        const bool half = op_.style == MORTISE_STYLE_HALF;
        const uint32_t step = half ? 1 : 2, apart = half ? op_.pairs : 1;
        for (uint64_t head = 0; head < op_.heads; head++, x += op_.head_dim, y += op_.head_dim) {
            for (uint32_t i = 0; i < op_.pairs; i++) {
                const double u = x[i * step], v = x[i * step + apart];
                y[i * step] = static_cast<float>(u * cosine[i] - v * sine[i]);
                y[i * step + apart] = static_cast<float>(v * cosine[i] + u * sine[i]);
            }
            for (uint64_t i = 2 * op_.pairs; i < op_.head_dim; i++) y[i] = x[i];
        }
    }

    sdk::RopeOp op_;
};

}  // namespace

void bid_norm(const mortise_problem& problem, mortise_bid& bid) {
    const sdk::NormOp op = sdk::norm_op(problem);
    if (op.style != MORTISE_STYLE_RMS && op.style != MORTISE_STYLE_LAYER) {
        return answer(bid, "", "unknown norm style");
    }
    if (op.total % op.width != 0) return answer(bid, "", "the row is no whole number of blocks");
    answer(bid, "reference norm");
}

void bid_rope(const mortise_problem& problem, mortise_bid& bid) {
    const sdk::RopeOp op = sdk::rope_op(problem);
    if (op.style != MORTISE_STYLE_HALF && op.style != MORTISE_STYLE_INTERLEAVED) {
        return answer(bid, "", "unknown rope style");
    }
    if (op.head_dim == 0 || op.pairs == 0 || op.pairs > max_pairs || 2 * op.pairs > op.head_dim) {
        return answer(bid, "", "needs a head size and at most 512 frequencies that fit in it");
    }
    answer(bid, "reference rope");
}

Kernel* make_norm(const mortise_problem& problem) { return new (std::nothrow) Norm(problem); }
Kernel* make_rope(const mortise_problem& problem) { return new (std::nothrow) Rope(problem); }

}  // namespace mortise::reference
