#include "providers.h"

#include "cpu/provider.h"
#include "reference/provider.h"

namespace mortise::test {

// f32 sums of a few columns; of all columns one after the other; of bf16 products.
constexpr double exact = 2e-6, summed = 6e-6, rounded = 1.6e-2;

const std::vector<Level>& levels() {
    static const std::vector<Level> all = [] {
        install_host();
        std::vector<Level> found;
        found.push_back({{"reference", &reference::kernels()}, 1e-6, 1e-6});
        for (int i = 0; i < cpu::level_count; i++) {
            const auto level = static_cast<cpu::Level>(i);
            if (cpu::why_not(level)) continue;
            const bool bf16 =
                level == cpu::Level::amx || (level == cpu::Level::avx512 && cpu::bf16_dot_is_fast());
            found.push_back({{std::string("cpu_") + cpu::name(level), &cpu::kernels(level)},
                             exact,
                             bf16 ? rounded : summed});
        }
        if (cpu::bf16_dot_is_fast()) {
            found.push_back({{"cpu_avx512_f32", &cpu::kernels(cpu::Level::avx512, true)}, exact, summed});
        }
        if (!cpu::why_not_emulated_amx()) {
            found.push_back({{"cpu_amx_emulated", &cpu::kernels(cpu::Level::amx, true)}, exact, rounded});
        }
        return found;
    }();
    return all;
}

std::vector<std::string> levels_not_run() {
    std::vector<std::string> missing;
    for (int i = 0; i < cpu::level_count; i++) {
        const auto level = static_cast<cpu::Level>(i);
        if (const char* why = cpu::why_not(level))
            missing.push_back(std::string(cpu::name(level)) + ": " + why);
    }
    return missing;
}

}  // namespace mortise::test
