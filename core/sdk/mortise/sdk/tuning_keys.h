// What tuners of roundings leave in the config of whatever dialect they write. Pure function. One thread.
#pragma once

#include "mortise/sdk/config.h"

namespace mortise::sdk {

// Effect: ignores their version, their steps and their data: they say how codes were found, not what they
// mean.
inline void ignore_tuning(const Config& config) {
    config.ignore({"amp",
                   "batch_size",
                   "block_name_to_quantize",
                   "bs",
                   "dataset",
                   "enable_minmax_tuning",
                   "enable_norm_bias_tuning",
                   "enable_quanted_input",
                   "gradient_accumulate_steps",
                   "iters",
                   "low_cpu_mem_usage",
                   "low_gpu_mem_usage",
                   "lr",
                   "minmax_lr",
                   "nsamples",
                   "provider",
                   "quant_block_list",
                   "scale_dtype",
                   "seqlen",
                   "to_quant_block_names"});
    for (uint64_t i = 0; i < config.size(); ++i)
        if (config.key(i).ends_with("_version")) config.at(i);
}

}  // namespace mortise::sdk
