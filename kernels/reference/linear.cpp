// linear and embed: decoded rows times the prepared input. f32 products, sums of 256 products in f32 lanes,
// above that in f64; every output is computed alike, whoever computes it.
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "bank.h"
#include "dots.h"
#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {
namespace {

class Linear final : public Kernel {
  public:
    explicit Linear(const mortise_problem& problem) : problem_(problem), extras_(problem.n_parts) {
        for (uint32_t i = 0; i < problem.n_parts; i++) banks_.emplace_back(*problem.parts[i]);
    }

    mortise_status pack(uint32_t part, const mortise_tile& tile, mortise_address packed) override {
        return banks_[part].store(tile, sdk::pointer<uint8_t>(packed));
    }

    mortise_status seal(uint32_t part, const mortise_extras& extras, mortise_address) override {
        extras_[part] = extras;
        return MORTISE_OK;
    }

    void run(const mortise_arguments& arguments, const mortise_team& team) override {
        if (arguments.op == MORTISE_OP_EMBED) return embed(arguments, team);
        prepare(arguments, team);
        for (uint32_t part = 0; part < problem_.n_parts; part++) multiply(part, arguments, team);
    }

  private:
    const mortise_spec& spec(uint32_t part) const { return *problem_.parts[part]->spec; }
    bool prepares(uint32_t part) const { return sdk::prepares_input(spec(part), problem_.activations); }

    float* prepared(const mortise_arguments& a, uint32_t part) const {
        return sdk::pointer<float>(a.workspace) + part * problem_.max_rows * problem_.input_widths[0];
    }

    void embed(const mortise_arguments& a, const mortise_team& team) const {
        const uint64_t width = banks_[0].part().columns;
        const auto rows = sdk::share(a.rows, 1, team.rank, team.size);
        for (uint64_t i = rows.begin; i < rows.end; i++) {
            float* y = sdk::pointer<float>(a.outputs[0]) + i * width;
            // A vocabulary split among ranks: rows of the others are theirs.
            const uint64_t row = static_cast<uint64_t>(a.batch->tokens[i]) - banks_[0].part().first_row;
            if (row < banks_[0].part().rows) {
                banks_[0].decode(sdk::pointer<const uint8_t>(a.packed[0]), 0, row, 1, y);
            } else {
                std::memset(y, 0, width * sizeof(float));
            }
        }
    }

    void prepare(const mortise_arguments& a, const mortise_team& team) const {
        const float* x = sdk::pointer<const float>(a.inputs[0]);
        const uint64_t columns = problem_.input_widths[0];
        bool any = false;
        for (uint32_t part = 0; part < problem_.n_parts; part++) {
            if (!prepares(part)) continue;
            any = true;
            const bool together = sdk::prepares_rows_together(spec(part), problem_.activations);
            const sdk::Share all{0, team.rank == 0 ? a.rows : 0};
            const auto rows = together ? all : sdk::share(a.rows, 1, team.rank, team.size);
            if (rows.begin == rows.end) continue;
            sdk::host().prepare_input(&spec(part), &extras_[part], problem_.activations,
                                      rows.end - rows.begin, columns, x + rows.begin * columns,
                                      prepared(a, part) + rows.begin * columns);
        }
        if (any) team.barrier(team.context);
    }

    void multiply(uint32_t part, const mortise_arguments& a, const mortise_team& team) const {
        const mortise_kernel_part& facts = banks_[part].part();
        const uint64_t columns = facts.columns;
        const float* x = prepares(part) ? prepared(a, part) : sdk::pointer<const float>(a.inputs[0]);
        float* y = sdk::pointer<float>(a.outputs[part]);
        float* weights = sdk::pointer<float>(a.workspace) +
                         (problem_.n_parts * problem_.max_rows + team.rank * decoded_rows) * columns;
        const auto rows = sdk::share(facts.rows, 1, team.rank, team.size);
        for (uint64_t row = rows.begin; row < rows.end; row += decoded_rows) {
            const uint64_t count = rows.end - row < decoded_rows ? rows.end - row : decoded_rows;
            banks_[part].decode(sdk::pointer<const uint8_t>(a.packed[part]), 0, row, count, weights);
            for (uint64_t t = 0; t < a.rows; t++) {
                dots(weights, count, columns, x + t * columns, y + t * facts.rows + row);
            }
        }
        if (extras_[part].bias) add_bias(extras_[part].bias, rows, facts.rows, a.rows, y);
        if (extras_[part].low_rank) add_low_rank(part, rows, a, y);
    }

    static void add_bias(const float* bias, sdk::Share rows, uint64_t stride, uint64_t count, float* y) {
        for (uint64_t t = 0; t < count; t++) {
            for (uint64_t row = rows.begin; row < rows.end; row++) y[t * stride + row] += bias[row];
        }
    }

    // y += (x' A^T) B^T with x' = x * pre_scale: the input before its quantization.
    void add_low_rank(uint32_t part, sdk::Share rows, const mortise_arguments& a, float* y) const {
        const mortise_extras& extras = extras_[part];
        const mortise_kernel_part& facts = banks_[part].part();
        for (uint64_t t = 0; t < a.rows; t++) {
            const float* x = sdk::pointer<const float>(a.inputs[0]) + t * facts.columns;
            for (uint64_t r = 0; r < extras.low_rank; r++) {
                const float* row = extras.low_rank_a + r * facts.columns;
                double sum = 0;
                for (uint64_t k = 0; k < facts.columns; k++) {
                    const float input = extras.pre_scale ? x[k] * extras.pre_scale[k] : x[k];
                    sum += static_cast<double>(input) * row[k];
                }
                for (uint64_t n = rows.begin; n < rows.end; n++) {
                    const double product = sum * extras.low_rank_b[n * extras.low_rank + r];
                    y[t * facts.rows + n] = static_cast<float>(y[t * facts.rows + n] + product);
                }
            }
        }
    }

    const mortise_problem& problem_;
    std::vector<Bank> banks_;
    std::vector<mortise_extras> extras_;
};

}  // namespace

void bid_linear(const mortise_problem& problem, mortise_bid& bid) {
    if (problem.n_parts == 0) return answer(bid, "", "no parts");
    const bool embeds = problem.kind == MORTISE_OP_EMBED || problem.gather != 0;
    if (embeds && problem.n_parts != 1) return answer(bid, "", "a table is one part");
    uint64_t columns = 0;
    for (uint32_t i = 0; i < problem.n_parts; i++) {
        if (problem.parts[i]->experts != 1) return answer(bid, "", "experts belong to moe");
        columns = problem.parts[i]->columns > columns ? problem.parts[i]->columns : columns;
    }
    answer(bid, embeds ? "reference table" : "reference linear");
    bid.workspace =
        (problem.n_parts * problem.max_rows + problem.threads * decoded_rows) * columns * sizeof(float);
}

uint64_t packed_bytes_linear(const mortise_kernel_part& part) { return Bank(part).bytes(); }

Kernel* make_linear(const mortise_problem& problem) { return new (std::nothrow) Linear(problem); }

}  // namespace mortise::reference
