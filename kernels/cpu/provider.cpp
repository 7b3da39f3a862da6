// The provider's tables: one per level, differing in the backend that their functions use.
#include "provider.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "kernel.h"
#include "mortise/sdk/host.h"
#include "probe.h"

namespace mortise::cpu {

mortise_status Kernel::pack(uint32_t, const mortise_tile&, mortise_address) {
    return fail(MORTISE_INTERNAL, "this operator has no parts to pack");
}
mortise_status Kernel::seal(uint32_t, const mortise_extras&, mortise_address) { return MORTISE_OK; }

mortise_status fail(mortise_status status, const char* what) {
    auto error = sdk::make<mortise_error>();
    error.what = sdk::str(what);
    sdk::host().set_error(&error);
    return status;
}

void accept(mortise_bid& bid, const Backend& backend, const char* what, const char* how) {
    bid.score = 200;
    std::snprintf(bid.name, sizeof bid.name, "%s %s", backend.name, what);
    std::snprintf(bid.reason, sizeof bid.reason, "%s", how);
}

void refuse(mortise_bid& bid, const char* why) {
    bid.score = 0;
    std::snprintf(bid.reason, sizeof bid.reason, "%s", why);
}

namespace {

constexpr uint64_t line = 64, huge_page = uint64_t{2} << 20;

enum class Variant { generic, avx2, avx512, avx512_f32, amx, emulated };
constexpr int variant_count = 6;

const Backend& backend_of(Variant variant) {
    switch (variant) {
        case Variant::generic: return generic_backend();
        case Variant::avx2: return avx2_backend();
        case Variant::avx512: return avx512_backend(bf16_dot_is_fast());
        case Variant::avx512_f32: return avx512_backend(false);
        default: return amx_backend(variant == Variant::emulated);
    }
}

// Large blocks lie on huge pages where the system has them: fewer faults while loading, fewer misses later.
mortise_status alloc(const mortise_device*, uint64_t bytes, uint64_t alignment, uint64_t* base) {
    uint64_t unit = alignment < line ? line : alignment;
    if (bytes >= huge_page && unit < huge_page) unit = huge_page;
    void* memory = nullptr;
    if (posix_memalign(&memory, unit, bytes == 0 ? line : bytes) != 0)
        return fail(MORTISE_NO_MEMORY, "out of memory");
    // Whole huge pages only: a last one half used would count as used.
    if (unit >= huge_page) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
    *base = reinterpret_cast<uintptr_t>(memory);
    return MORTISE_OK;
}

void release(const mortise_device*, uint64_t base) {
    std::free(reinterpret_cast<void*>(static_cast<uintptr_t>(base)));
}

mortise_status bid_at(const mortise_problem& problem, const Backend& backend, mortise_bid& out) {
    out.row_tile = 0;
    out.workspace = 0;
    out.alignment = line;
    if (problem.device_kind != MORTISE_DEVICE_CPU) {
        refuse(out, "runs on the CPU only");
        return MORTISE_OK;
    }
    switch (problem.kind) {
        case MORTISE_OP_EMBED:
        case MORTISE_OP_LINEAR: bid_linear(problem, backend, out); break;
        case MORTISE_OP_ATTENTION: bid_attention(problem, backend, out); break;
        case MORTISE_OP_MOE: bid_moe(problem, backend, out); break;
        case MORTISE_OP_NORM:
        case MORTISE_OP_ROPE:
        case MORTISE_OP_ACT_MUL:
        case MORTISE_OP_ACT:
        case MORTISE_OP_ADD:
        case MORTISE_OP_SCALE:
        case MORTISE_OP_SOFTCAP: bid_operator(problem, backend, out); break;
        default: refuse(out, "operator without an optimized kernel");
    }
    return MORTISE_OK;
}

uint64_t packed_bytes(const mortise_problem* problem, uint32_t part) {
    return problem->kind == MORTISE_OP_MOE ? packed_bytes_moe(*problem, part)
                                           : packed_bytes_linear(*problem, part);
}

Kernel* make_at(const mortise_problem& problem, const Backend& backend) {
    switch (problem.kind) {
        case MORTISE_OP_EMBED:
        case MORTISE_OP_LINEAR: return make_linear(problem, backend);
        case MORTISE_OP_ATTENTION: return make_attention(problem, backend);
        case MORTISE_OP_MOE: return make_moe(problem, backend);
        default: return make_operator(problem, backend);
    }
}

mortise_status create_at(const mortise_problem& problem, const Backend& backend, mortise_kernel** out) {
    auto offer = sdk::make<mortise_bid>();
    bid_at(problem, backend, offer);
    if (offer.score == 0) return fail(MORTISE_UNSUPPORTED, offer.reason);
    Kernel* kernel = nullptr;
    try {
        kernel = make_at(problem, backend);
    } catch (const std::bad_alloc&) {
    }
    *out = reinterpret_cast<mortise_kernel*>(kernel);
    if (kernel) return MORTISE_OK;
    return fail(MORTISE_NO_MEMORY, "out of memory");
}

Kernel* behind(mortise_kernel* kernel) { return reinterpret_cast<Kernel*>(kernel); }
void destroy(mortise_kernel* kernel) { delete behind(kernel); }

mortise_status pack(mortise_kernel* kernel, uint32_t part, const mortise_tile* tile, mortise_address packed) {
    try {
        return behind(kernel)->pack(part, *tile, packed);
    } catch (const std::bad_alloc&) {
        return fail(MORTISE_NO_MEMORY, "out of memory");
    }
}

mortise_status seal(mortise_kernel* kernel, uint32_t part, const mortise_extras* extras,
                    mortise_address packed) {
    return behind(kernel)->seal(part, *extras, packed);
}

void run(mortise_kernel* kernel, const mortise_arguments* arguments, const mortise_team* team) {
    behind(kernel)->run(*arguments, *team);
}

// The functions that know their level.
template <Variant V>
struct At {
    static void devices(void (*visit)(void*, const mortise_device*), void* context) {
        static const char* const names[variant_count] = {"CPU, generic", "CPU, AVX2", "CPU, AVX-512",
                                                         "CPU, AVX-512", "CPU, AMX",  "CPU, AMX emulated"};
        auto device = sdk::make<mortise_device>();
        device.kind = MORTISE_DEVICE_CPU;
        device.name = sdk::str(names[static_cast<int>(V)]);
        visit(context, &device);
    }
    static mortise_status bid(const mortise_problem* problem, mortise_bid* out) {
        try {
            return bid_at(*problem, backend_of(V), *out);
        } catch (const std::bad_alloc&) {
            return fail(MORTISE_NO_MEMORY, "out of memory");
        }
    }
    static mortise_status create(const mortise_problem* problem, mortise_kernel** out) {
        return create_at(*problem, backend_of(V), out);
    }
    static mortise_status probe(uint32_t kind, uint32_t rank, uint32_t size, double seconds,
                                double* per_second, char* name) {
        return cpu::probe(backend_of(V), kind, rank, size, seconds, per_second, name);
    }
};

template <Variant V>
const mortise_kernels_v1& table() {
    static const mortise_kernels_v1 table = [] {
        auto t = sdk::make<mortise_kernels_v1>();
        t.devices = At<V>::devices;
        t.alloc = alloc;
        t.free = release;
        t.bid = At<V>::bid;
        t.packed_bytes = packed_bytes;
        t.create = At<V>::create;
        t.destroy = destroy;
        t.pack = pack;
        t.seal = seal;
        t.run = run;
        t.probe = At<V>::probe;
        return t;
    }();
    return table;
}

// In place of the level that the environment asked for in vain: every question gets the reason.
const std::string& wrong_wish() {
    static const std::string error = choose().error;
    return error;
}
mortise_status refuse_all(const mortise_problem*, mortise_bid* out) {
    refuse(*out, wrong_wish().c_str());
    return MORTISE_OK;
}

}  // namespace

const mortise_kernels_v1& kernels(Level level, bool alternative) {
    switch (level) {
        case Level::generic: return table<Variant::generic>();
        case Level::avx2: return table<Variant::avx2>();
        case Level::avx512: return alternative ? table<Variant::avx512_f32>() : table<Variant::avx512>();
        default: return alternative ? table<Variant::emulated>() : table<Variant::amx>();
    }
}

const mortise_kernels_v1& kernels() {
    static const mortise_kernels_v1 chosen = [] {
        if (wrong_wish().empty()) return kernels(choose().level);
        mortise_kernels_v1 t = table<Variant::generic>();
        t.bid = refuse_all;
        t.devices = [](void (*)(void*, const mortise_device*), void*) {};
        return t;
    }();
    return chosen;
}

}  // namespace mortise::cpu
