#include "load/support/test_provider.h"

#include <sys/mman.h>

#include <atomic>
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "quant/decode.h"

struct mortise_kernel {
    const mortise_problem* problem;
    std::vector<std::vector<float>> bias;  // [parts]
    std::set<uint32_t> sealed;
};

namespace mortise::testing {
namespace {

std::mutex mutex;
Seen counts;
std::string failing;
mortise_status failure = MORTISE_INTERNAL;
std::map<uint64_t, uint64_t> open, guarded;  // base -> bytes
int inside = 0;

bool fails(const char* function) {
    const std::lock_guard lock(mutex);
    return failing == function;
}

// Opens the guarded memory for the time of one call of the provider.
class Inside {
  public:
    Inside() {
        const std::lock_guard lock(mutex);
        if (inside++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    ~Inside() {
        const std::lock_guard lock(mutex);
        if (--inside == 0) protect(PROT_NONE);
    }

  private:
    static void protect(int access) {
        for (const auto& [base, bytes] : guarded) mprotect(reinterpret_cast<void*>(base), bytes, access);
    }
};

// A careless provider: leaves the rounding mode changed. Whoever calls it must put that right.
struct Careless {
    ~Careless() { std::fesetround(FE_DOWNWARD); }
};

void devices(void (*visit)(void*, const mortise_device*), void* context) {
    mortise_device device{};
    device.head.size = sizeof device;
    device.kind = MORTISE_DEVICE_CPU;
    visit(context, &device);
}

mortise_status alloc_open(const mortise_device*, uint64_t bytes, uint64_t alignment, uint64_t* base) {
    if (fails("alloc")) return failure;
    const uint64_t a = std::max<uint64_t>(alignment, 64);
    *base = reinterpret_cast<uint64_t>(std::aligned_alloc(a, (bytes + a - 1) / a * a));
    const std::lock_guard lock(mutex);
    counts.allocated += bytes;
    open[*base] = bytes;
    return MORTISE_OK;
}

mortise_status alloc_guarded(const mortise_device*, uint64_t bytes, uint64_t, uint64_t* base) {
    if (fails("alloc")) return failure;
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *base = reinterpret_cast<uint64_t>(memory);
    const std::lock_guard lock(mutex);
    counts.allocated += bytes;
    guarded[*base] = bytes;
    return MORTISE_OK;
}

void free_open(const mortise_device*, uint64_t base) {
    std::free(reinterpret_cast<void*>(base));
    const std::lock_guard lock(mutex);
    counts.allocated -= open[base];
    open.erase(base);
}

void free_guarded(const mortise_device*, uint64_t base) {
    const std::lock_guard lock(mutex);
    munmap(reinterpret_cast<void*>(base), guarded[base]);
    counts.allocated -= guarded[base];
    guarded.erase(base);
}

mortise_status fill_guarded(const mortise_device*, uint64_t base, uint64_t bytes, uint8_t value) {
    const Inside in;
    std::memset(reinterpret_cast<void*>(base), value, bytes);
    return MORTISE_OK;
}

mortise_status bid(const mortise_problem*, mortise_bid* out) {
    out->score = 1;
    std::strcpy(out->name, "test rows");
    return MORTISE_OK;
}

uint64_t packed_bytes(const mortise_problem* problem, uint32_t part) {
    const mortise_kernel_part& p = *problem->parts[part];
    return p.experts * p.rows * p.columns * sizeof(float);
}

mortise_status create(const mortise_problem* problem, mortise_kernel** out) {
    if (fails("create")) return failure;
    *out = new mortise_kernel{problem, std::vector<std::vector<float>>(problem->n_parts), {}};
    const std::lock_guard lock(mutex);
    ++counts.kernels;
    return MORTISE_OK;
}

void destroy(mortise_kernel* kernel) {
    delete kernel;
    const std::lock_guard lock(mutex);
    --counts.kernels;
}

float* rows_at(mortise_address packed) { return reinterpret_cast<float*>(packed.base + packed.offset); }

mortise_status pack(mortise_kernel* kernel, uint32_t part, const mortise_tile* tile, mortise_address packed) {
    const Careless careless;
    if (fails("pack")) return failure;
    const Inside in;
    const mortise_kernel_part& p = *kernel->problem->parts[part];
    float* to = rows_at(packed) + (tile->expert * p.rows + tile->row) * p.columns;
    const size_t elements = tile->rows * tile->columns;
    bool clean = true;
    for (size_t i = 0; i < elements * sizeof(float); ++i) clean &= reinterpret_cast<uint8_t*>(to)[i] == 0xFF;
    quant::decode_tile(*tile, to);
    const std::lock_guard lock(mutex);
    ++counts.packs;
    if (!clean) ++counts.dirty_packs;
    if (kernel->sealed.contains(part)) ++counts.packs_after_seal;
    return MORTISE_OK;
}

mortise_status seal(mortise_kernel* kernel, uint32_t part, const mortise_extras* extras,
                    mortise_address packed) {
    if (fails("seal")) return failure;
    const Inside in;
    const mortise_kernel_part& p = *kernel->problem->parts[part];
    if (extras->bias) kernel->bias[part].assign(extras->bias, extras->bias + p.experts * p.rows);
    uint64_t poisoned = 0;
    for (size_t i = 0; i < p.experts * p.rows * p.columns; ++i) {
        uint32_t bits;
        std::memcpy(&bits, rows_at(packed) + i, sizeof bits);
        poisoned += bits == 0xFFFFFFFFu;
    }
    const std::lock_guard lock(mutex);
    ++counts.seals;
    kernel->sealed.insert(part);
    counts.unwritten_at_seal += poisoned;
    return MORTISE_OK;
}

// ---- operators: row by row, thread r takes rows r, r + size, ... ---------------------------------

float* value(const mortise_address* addresses, uint32_t i) {
    return reinterpret_cast<float*>(addresses[i].base + addresses[i].offset);
}

struct Row {
    const mortise_kernel& kernel;
    const mortise_arguments& arguments;
    uint32_t row;
    const mortise_problem& problem() const { return *kernel.problem; }
    const float* in(uint32_t i) const { return value(arguments.inputs, i) + row * problem().input_widths[i]; }
    float* out(uint32_t i) const { return value(arguments.outputs, i) + row * problem().output_widths[i]; }
    const mortise_attr* attr(uint32_t key) const {
        for (uint32_t i = 0; i < problem().n_attrs; ++i)
            if (problem().attrs[i].key == key) return &problem().attrs[i];
        return nullptr;
    }
};

void embed(const Row& row) {
    const mortise_kernel_part& part = *row.problem().parts[0];
    const auto token = static_cast<uint64_t>(row.arguments.batch->tokens[row.row]);
    std::memcpy(value(row.arguments.outputs, 0) + row.row * part.columns,
                rows_at(row.arguments.packed[0]) + token * part.columns, part.columns * sizeof(float));
}

void linear(const Row& row) {
    for (uint32_t p = 0; p < row.problem().n_parts; ++p) {
        const mortise_kernel_part& part = *row.problem().parts[p];
        const float* x = value(row.arguments.inputs, 0) + row.row * part.columns;
        float* y = value(row.arguments.outputs, p) + row.row * part.rows;
        for (uint64_t n = 0; n < part.rows; ++n) {
            const float* w = rows_at(row.arguments.packed[p]) + n * part.columns;
            double sum = row.kernel.bias[p].empty() ? 0 : row.kernel.bias[p][n];
            for (uint64_t k = 0; k < part.columns; ++k) sum += double{w[k]} * x[k];
            y[n] = static_cast<float>(sum);
        }
    }
}

void norm(const Row& row) {
    const uint64_t width = row.problem().input_widths[0];
    const float* x = row.in(0);
    double squares = 0;
    for (uint64_t i = 0; i < width; ++i) squares += double{x[i]} * x[i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-6);
    const float* weight = value(row.arguments.weights, 0);
    for (uint64_t i = 0; i < width; ++i) row.out(0)[i] = static_cast<float>(weight[i] * x[i] * scale);
}

void add(const Row& row) {
    for (uint64_t i = 0; i < row.problem().output_widths[0]; ++i) row.out(0)[i] = row.in(0)[i] + row.in(1)[i];
}

void softcap(const Row& row) {
    const double cap = row.attr(MORTISE_ATTR_FACTOR)->real;
    for (uint64_t i = 0; i < row.problem().output_widths[0]; ++i)
        row.out(0)[i] = static_cast<float>(cap * std::tanh(row.in(0)[i] / cap));
}

// One head, f32 cache; positions enter through a slope on the distance, so that order matters.
void attention(const Row& row) {
    const mortise_batch& batch = *row.arguments.batch;
    const mortise_cache& cache = *row.arguments.cache;
    const uint64_t width = row.problem().input_widths[0];
    uint32_t s = 0;
    while (batch.first_row[s + 1] <= row.row) ++s;
    const auto slot = [&](const mortise_address& of, int64_t position) {
        const uint32_t block = batch.block_tables[s * batch.blocks_per_sequence +
                                                  static_cast<uint32_t>(position) / cache.block_slots];
        return rows_at(of) +
               (block * cache.block_slots + static_cast<uint64_t>(position) % cache.block_slots) * width;
    };
    const int32_t here = batch.positions[row.row];
    std::vector<double> sum(width, 0);
    double total = 0;
    for (int32_t p = 0; p <= here; ++p) {
        const float* k = slot(cache.k, p);
        double score = 0;
        for (uint64_t i = 0; i < width; ++i) score += double{row.in(0)[i]} * k[i];
        const double weight = std::exp(score / std::sqrt(static_cast<double>(width)) - 0.1 * (here - p));
        const float* v = slot(cache.v, p);
        for (uint64_t i = 0; i < width; ++i) sum[i] += weight * v[i];
        total += weight;
    }
    for (uint64_t i = 0; i < width; ++i) row.out(0)[i] = static_cast<float>(sum[i] / total);
}

void store(const Row& row) {
    const mortise_batch& batch = *row.arguments.batch;
    const mortise_cache& cache = *row.arguments.cache;
    const uint64_t width = row.problem().input_widths[0];
    uint32_t s = 0;
    while (batch.first_row[s + 1] <= row.row) ++s;
    const auto position = static_cast<uint32_t>(batch.positions[row.row]);
    const uint32_t block = batch.block_tables[s * batch.blocks_per_sequence + position / cache.block_slots];
    const uint64_t at = (uint64_t{block} * cache.block_slots + position % cache.block_slots) * width;
    std::memcpy(rows_at(cache.k) + at, row.in(1), width * sizeof(float));
    std::memcpy(rows_at(cache.v) + at, row.in(2), width * sizeof(float));
}

void run(mortise_kernel* kernel, const mortise_arguments* arguments, const mortise_team* team) {
    const Careless careless;
    const Inside in;
    const auto each = [&](void (*op)(const Row&)) {
        for (uint32_t r = team->rank; r < arguments->rows; r += team->size) op({*kernel, *arguments, r});
    };
    switch (arguments->op) {
        case MORTISE_OP_EMBED: return each(embed);
        case MORTISE_OP_LINEAR: return each(linear);
        case MORTISE_OP_NORM: return each(norm);
        case MORTISE_OP_ADD: return each(add);
        case MORTISE_OP_SOFTCAP: return each(softcap);
        case MORTISE_OP_ATTENTION:
            each(store);
            team->barrier(team->context);
            return each(attention);
        default: std::abort();
    }
}

mortise_kernels_v1 table(bool guard) {
    mortise_kernels_v1 t{};
    t.head.size = sizeof t;
    t.devices = devices;
    t.alloc = guard ? alloc_guarded : alloc_open;
    t.free = guard ? free_guarded : free_open;
    t.bid = bid;
    t.packed_bytes = packed_bytes;
    t.create = create;
    t.destroy = destroy;
    t.pack = pack;
    t.seal = seal;
    t.run = run;
    t.fill = guard ? fill_guarded : nullptr;
    return t;
}

}  // namespace

const mortise_kernels_v1* open_provider() {
    static const mortise_kernels_v1 t = table(false);
    return &t;
}

const mortise_kernels_v1* guarded_provider() {
    static const mortise_kernels_v1 t = table(true);
    return &t;
}

Seen seen() {
    const std::lock_guard lock(mutex);
    return counts;
}

void reset() {
    const std::lock_guard lock(mutex);
    counts = {};
    failing.clear();
}

void fail_in(const std::string& function, mortise_status status) {
    const std::lock_guard lock(mutex);
    failing = function;
    failure = status;
}

}  // namespace mortise::testing
