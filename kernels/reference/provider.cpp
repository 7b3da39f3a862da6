// The provider's table: devices, memory, and the operator that each call is about.
#include "provider.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "kernel.h"
#include "mortise/sdk/host.h"
#include "mortise/sdk/operators.h"

namespace mortise::reference {

mortise_status Kernel::pack(uint32_t, const mortise_tile&, mortise_address) {
    return fail(MORTISE_INTERNAL, "this operator has no parts to pack");
}
mortise_status Kernel::seal(uint32_t, const mortise_extras&, mortise_address) { return MORTISE_OK; }

mortise_status fail(mortise_status status, const char* what, const char* subject) {
    auto error = sdk::make<mortise_error>();
    error.what = sdk::str(what);
    error.subject = sdk::str(subject);
    sdk::host().set_error(&error);
    return status;
}

void answer(mortise_bid& bid, const char* name, const char* why_not) {
    bid.score = why_not ? 0 : 1;
    std::snprintf(bid.name, sizeof bid.name, "%s", name);
    std::snprintf(bid.reason, sizeof bid.reason, "%s", why_not ? why_not : "exact and slow");
}

namespace {

constexpr uint64_t line = 64;

void devices(void (*visit)(void*, const mortise_device*), void* context) {
    auto device = sdk::make<mortise_device>();
    device.kind = MORTISE_DEVICE_CPU;
    device.name = sdk::str("CPU, portable code");
    visit(context, &device);
}

mortise_status alloc(const mortise_device*, uint64_t bytes, uint64_t alignment, uint64_t* base) {
    const uint64_t unit = alignment < line ? line : alignment;
    void* memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit + (bytes == 0 ? unit : 0));
    if (!memory) return fail(MORTISE_NO_MEMORY, "out of memory");
    *base = reinterpret_cast<uintptr_t>(memory);
    return MORTISE_OK;
}

void release(const mortise_device*, uint64_t base) {
    std::free(reinterpret_cast<void*>(static_cast<uintptr_t>(base)));
}

mortise_status bid(const mortise_problem* problem, mortise_bid* out) {
    out->row_tile = 0;
    out->workspace = 0;
    out->alignment = line;
    if (problem->device_kind != MORTISE_DEVICE_CPU) {
        answer(*out, "", "runs on the CPU only");
        return MORTISE_OK;
    }
    switch (problem->kind) {
        case MORTISE_OP_EMBED:
        case MORTISE_OP_LINEAR: bid_linear(*problem, *out); break;
        case MORTISE_OP_MOE: bid_moe(*problem, *out); break;
        case MORTISE_OP_NORM: bid_norm(*problem, *out); break;
        case MORTISE_OP_ROPE: bid_rope(*problem, *out); break;
        case MORTISE_OP_ATTENTION: bid_attention(*problem, *out); break;
        case MORTISE_OP_ACT_MUL:
        case MORTISE_OP_ACT:
        case MORTISE_OP_ADD:
        case MORTISE_OP_SCALE:
        case MORTISE_OP_SOFTCAP: bid_elementwise(*problem, *out); break;
        default: answer(*out, "", "unknown operator");
    }
    return MORTISE_OK;
}

uint64_t packed_bytes(const mortise_problem* problem, uint32_t part) {
    return packed_bytes_linear(*problem->parts[part]);
}

Kernel* make(const mortise_problem& problem) {
    switch (problem.kind) {
        case MORTISE_OP_EMBED:
        case MORTISE_OP_LINEAR: return make_linear(problem);
        case MORTISE_OP_MOE: return make_moe(problem);
        case MORTISE_OP_NORM: return make_norm(problem);
        case MORTISE_OP_ROPE: return make_rope(problem);
        case MORTISE_OP_ATTENTION: return make_attention(problem);
        default: return make_elementwise(problem);
    }
}

mortise_status create(const mortise_problem* problem, mortise_kernel** out) {
    auto offer = sdk::make<mortise_bid>();
    bid(problem, &offer);
    if (offer.score == 0) return fail(MORTISE_UNSUPPORTED, offer.reason);
    Kernel* kernel = nullptr;
    try {
        kernel = make(*problem);
    } catch (const std::bad_alloc&) {
    }
    *out = reinterpret_cast<mortise_kernel*>(kernel);
    if (kernel) return MORTISE_OK;
    return fail(MORTISE_NO_MEMORY, "out of memory");
}

Kernel* behind(mortise_kernel* kernel) { return reinterpret_cast<Kernel*>(kernel); }

void destroy(mortise_kernel* kernel) { delete behind(kernel); }

mortise_status pack(mortise_kernel* kernel, uint32_t part, const mortise_tile* tile, mortise_address packed) {
    return behind(kernel)->pack(part, *tile, packed);
}

mortise_status seal(mortise_kernel* kernel, uint32_t part, const mortise_extras* extras,
                    mortise_address packed) {
    return behind(kernel)->seal(part, *extras, packed);
}

void run(mortise_kernel* kernel, const mortise_arguments* arguments, const mortise_team* team) {
    behind(kernel)->run(*arguments, *team);
}

}  // namespace

const mortise_kernels_v1& kernels() {
    static const mortise_kernels_v1 table = [] {
        auto t = sdk::make<mortise_kernels_v1>();
        t.devices = devices;
        t.alloc = alloc;
        t.free = release;
        t.bid = bid;
        t.packed_bytes = packed_bytes;
        t.create = create;
        t.destroy = destroy;
        t.pack = pack;
        t.seal = seal;
        t.run = run;
        return t;
    }();
    return table;
}

}  // namespace mortise::reference
