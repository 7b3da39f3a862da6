// What a loaded model owns. Private to the load.
#pragma once

#include <vector>

#include "load/device_memory.h"
#include "load/loader.h"

namespace mortise::load {

struct Model::Rep {
    // One kernel instance. Two plan kernels may share one: see shared_table.h.
    struct Bound {
        const mortise_kernels_v1* provider = nullptr;
        mortise_kernel* kernel = nullptr;
        std::vector<mortise_address> packed;  // [parts]
        std::vector<quant::Extras> extras;    // [parts]; kernels keep pointers into them
    };

    const plan::LoadPlan* plan = nullptr;
    std::vector<plan::KernelPlan> kernel_plans;  // plan.kernels, but for a shared table's
    std::shared_ptr<const void> keep;            // what plan points into
    std::vector<DeviceMemory> memory;            // one arena per provider; freed after the kernels
    std::vector<Bound> kernels;                  // [plan.kernels]
    std::vector<std::vector<float>> vectors;     // [plan.vectors]
    Receipt receipt;

    Rep() = default;
    Rep(const Rep&) = delete;
    Rep& operator=(const Rep&) = delete;
    ~Rep();
};

}  // namespace mortise::load
