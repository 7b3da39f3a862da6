#include "providers.h"

#include "cpu/provider.h"
#include "reference/provider.h"

namespace mortise::test {

const std::vector<Level>& levels() {
    static const std::vector<Level> all = [] {
        install_host();
        std::vector<Level> found;
        found.push_back({{"reference", &reference::kernels()}, 1e-6, 1e-6});
        for (int i = 0; i < cpu::level_count; i++) {
            const auto level = static_cast<cpu::Level>(i);
            if (cpu::why_not(level)) continue;
            found.push_back({{std::string("cpu_") + cpu::name(level), &cpu::kernels(level)}, 2e-6, 1e-2});
        }
        return found;
    }();
    return all;
}

std::vector<std::string> levels_not_run() {
    std::vector<std::string> missing;
    for (int i = 0; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        if (const char* why = cpu::why_not(level)) missing.push_back(std::string(cpu::name(level)) + ": " + why);
    }
    return missing;
}

}  // namespace mortise::test
