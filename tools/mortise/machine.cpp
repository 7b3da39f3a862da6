#include "mortise/machine.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

#include "base/team.h"
#include "base/text.h"

namespace mortise::tool {

namespace {

// The rest of the first line of `path` that begins with `key`, less separators and quotes.
std::string value_in(const char* path, std::string_view key) {
    std::ifstream file(path);
    for (std::string text; std::getline(file, text);) {
        if (!text.starts_with(key)) continue;
        std::string_view rest = std::string_view(text).substr(key.size());
        size_t begin = rest.find_first_not_of(" \t:=\"");
        if (begin == std::string_view::npos) return {};
        return std::string(rest.substr(begin, rest.find_last_not_of(" \t\"") - begin + 1));
    }
    return {};
}

uint64_t number(std::string_view text) {
    uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::vector<std::string> vector_features() {
    constexpr std::array<std::string_view, 6> families = {"sse4", "avx", "amx", "fma", "f16c", "sve"};
    std::string flags = value_in("/proc/cpuinfo", "flags");
    if (flags.empty()) flags = value_in("/proc/cpuinfo", "Features");
    std::vector<std::string> out;
    std::istringstream words(flags);
    for (std::string word; words >> word;) {
        if (std::ranges::any_of(families, [&](auto family) { return word.starts_with(family); }))
            out.push_back(word);
    }
    return out;
}

}  // namespace

Machine machine() {
    Machine out;
    out.system = value_in("/etc/os-release", "PRETTY_NAME");
    utsname names{};
    if (uname(&names) == 0) out.kernel = fmt::format("{} {} {}", names.sysname, names.release, names.machine);
    out.cpu = value_in("/proc/cpuinfo", "model name");
    out.cores = usable_cpus();
    out.vector_features = vector_features();
    out.memory_total = number(value_in("/proc/meminfo", "MemTotal")) << 10;
    out.memory_available = number(value_in("/proc/meminfo", "MemAvailable")) << 10;
    out.memory_limit = number(value_in("/sys/fs/cgroup/memory.max", ""));  // "max" reads as 0
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) out.open_files = files.rlim_cur;
    return out;
}

}  // namespace mortise::tool
