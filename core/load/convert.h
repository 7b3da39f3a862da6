// A plan run backwards: writes a checkpoint again in another dialect.
//
// Every module is decoded and encoded once; what was written is decoded again and compared, so a conversion
// is called lossless only when every weight is bit-equal. The folder appears whole under its name, or not at
// all.
#pragma once

#include <string>
#include <vector>

#include "load/loader.h"
#include "quant/encode.h"
#include "registry/registry.h"

namespace mortise::load {

struct ConvertOptions {
    std::string dialect;                       // id of the scheme that writes
    std::string parameters;                    // what follows the colon: "g64,compute=f32"
    bool requantize = false;                   // weights may change
    uint64_t shard_bytes = uint64_t{5} << 30;  // of one file
};

// What became of one module.
struct ConvertedModule {
    std::string name;
    std::string from, to;  // "bf16", "e4m3 per row, f32 scales"
    std::string reason;    // why it stays plain, where it does
    quant::Change change;
};

struct ConvertReport {
    std::vector<ConvertedModule> modules;
    quant::Change total;
    uint64_t bytes = 0;  // of tensor data written
    std::vector<std::string> files;
    std::vector<std::string> notes;
};

// Effect: `folder` holds the checkpoint in the dialect, with config and side files.
// Errors: lossy with the count when weights would change and requantize is not set, or when something has no
// place in the target; unsupported_scheme when the dialect cannot be written; those of verify(); file_write,
// also when the folder exists.
Result<ConvertReport> convert(const plan::Planned& planned, registry::Registry& registry,
                              const std::string& folder, const ConvertOptions& options, Team& team,
                              const Progress& progress = {});

}  // namespace mortise::load
