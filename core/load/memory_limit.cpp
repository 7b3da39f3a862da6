#include "load/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace mortise::load {
namespace {

std::string mebibytes(uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
    return text;
}

// The line "MemAvailable:   123 kB".
uint64_t available() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    uint64_t kibibytes = 0;
    while (file >> word)
        if (word == "MemAvailable:" && file >> kibibytes) return kibibytes << 10;
    return ~uint64_t{0};
}

uint64_t address_space_left() {
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return ~uint64_t{0};
    std::ifstream file("/proc/self/statm");
    uint64_t pages = 0;
    file >> pages;
    const uint64_t used = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

MemoryLimit memory_limit() {
    MemoryLimit limit{available(), "MemAvailable"};
    const uint64_t space = address_space_left();
    if (space < limit.bytes) limit = {space, "RLIMIT_AS"};
    return limit;
}

Status check_memory(const plan::Memory& needed, const MemoryLimit& limit) {
    if (needed.total() <= limit.bytes) return {};
    return fail(Problem{
        .code = Code::out_of_memory,
        .what = "the model does not fit: " + mebibytes(needed.total() - limit.bytes) + " are missing",
        .expected = mebibytes(needed.total()) + " (weights " + mebibytes(needed.packed + needed.vectors) + ", KV cache " +
                    mebibytes(needed.cache) + ", activations " + mebibytes(needed.activations) + ", work " +
                    mebibytes(needed.workspace + needed.load_buffers) + ")",
        .found = mebibytes(limit.bytes) + " left by " + limit.name,
        .fix = "shorten --max-model-len, use a smaller model, or free memory"});
}

}  // namespace mortise::load
