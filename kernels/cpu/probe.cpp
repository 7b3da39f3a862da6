#include "probe.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "kernel.h"

namespace mortise::cpu {
namespace {

constexpr uint64_t read_bytes = uint64_t{128} << 20, huge_page = uint64_t{2} << 20;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

// Written once, so that every page exists; on huge pages where the system has them.
Memory fresh(uint64_t bytes) {
    const uint64_t whole = (bytes + huge_page - 1) / huge_page * huge_page;
    Memory memory(std::aligned_alloc(huge_page, whole));
    if (!memory) return memory;
    madvise(memory.get(), whole, MADV_HUGEPAGE);
    std::memset(memory.get(), 1, whole);
    return memory;
}

}  // namespace

mortise_status probe(const Backend& backend, uint32_t kind, uint32_t, uint32_t, double seconds,
                     double* per_second, char* name) {
    const bool reads = kind == MORTISE_PROBE_READ;
    if (!reads && kind != MORTISE_PROBE_MATRIX) return fail(MORTISE_UNSUPPORTED, "no such probe");
    std::snprintf(name, 64, "%s", reads ? "memory read, 8 prefetched streams a thread" : backend.matrix_name);
    // Memory that no private cache holds. Given back at once: it would count as the model's.
    const Memory used = fresh(reads ? read_bytes : backend.matrix_scratch);
    if (!used) return fail(MORTISE_NO_MEMORY, "out of memory");
    volatile uint64_t sink = 0;
    double done = 0;
    const double start = now();
    double end = start;
    do {
        if (reads) {
            sink = sink + backend.read(used.get(), read_bytes);
            done += static_cast<double>(read_bytes);
        } else {
            done += backend.matrix(1000, used.get());
        }
        end = now();
    } while (end - start < seconds);
    *per_second = done / (end - start);
    return MORTISE_OK;
}

}  // namespace mortise::cpu
