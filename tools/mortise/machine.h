// What this machine is, read from the kernel's own files. Facts only; which of them a kernel needs is the
// kernel's business.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mortise::tool {

struct Machine {
    std::string system;  // "Debian GNU/Linux 12 (bookworm)"
    std::string kernel;  // "Linux 6.1.0 x86_64"
    std::string cpu;
    int cores = 0;  // that this process may use
    std::vector<std::string>
        vector_features;  // CPU flags about vectors and matrices, as the kernel names them
    uint64_t memory_total = 0, memory_available = 0;
    uint64_t memory_limit = 0;  // of the control group; 0 = none
    uint64_t open_files = 0;    // soft limit
};

Machine machine();

}  // namespace mortise::tool
