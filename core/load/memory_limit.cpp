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

// The number in a file of one line; all ones for "max" and for no file.
uint64_t number_in(const std::string& path) {
    std::ifstream file(path);
    uint64_t number = 0;
    return file >> number ? number : ~uint64_t{0};
}

// The line "0::/user.slice/..." names the group below the mount point.
std::string control_group() {
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
    return "/sys/fs/cgroup";
}

}  // namespace

uint64_t control_group_left(const std::string& folder) {
    const uint64_t most = number_in(folder + "/memory.max"), used = number_in(folder + "/memory.current");
    if (most == ~uint64_t{0} || used == ~uint64_t{0}) return ~uint64_t{0};
    std::ifstream file(folder + "/memory.stat");
    uint64_t cached = 0, bytes = 0;
    for (std::string word; file >> word >> bytes;)
        if (word == "inactive_file" || word == "active_file") cached += bytes;
    const uint64_t kept = used > cached ? used - cached : 0;
    return most > kept ? most - kept : 0;
}

MemoryLimit memory_limit() {
    MemoryLimit limit{available(), "MemAvailable"};
    const uint64_t space = address_space_left(), group = control_group_left(control_group());
    if (space < limit.bytes) limit = {space, "RLIMIT_AS"};
    if (group < limit.bytes) limit = {group, "the control group's memory.max"};
    return limit;
}

Status check_memory(const plan::Memory& needed, const MemoryLimit& limit) {
    if (needed.total() <= limit.bytes) return {};
    return fail(
        Problem{.code = Code::out_of_memory,
                .what = "the model does not fit: " + mebibytes(needed.total() - limit.bytes) + " are missing",
                .expected = mebibytes(needed.total()) + " (weights " +
                            mebibytes(needed.packed + needed.vectors) + ", KV cache " +
                            mebibytes(needed.cache) + ", activations " + mebibytes(needed.activations) +
                            ", work " + mebibytes(needed.workspace + needed.load_buffers) + ")",
                .found = mebibytes(limit.bytes) + " left by " + limit.name,
                .fix = "shorten --max-model-len, use a smaller model, or free memory"});
}

}  // namespace mortise::load
