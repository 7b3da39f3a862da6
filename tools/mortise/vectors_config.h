// Test vectors state the settings of one layer flat and leave out what the name of their format says. Schemes
// read what producers publish: this makes the one from the other.
#pragma once

#include <string>

#include "base/json.h"

namespace mortise::tool {

struct PublishedConfig {
    std::string config;     // config.json
    std::string side_file;  // name of a second file, or ""
    std::string side_bytes;
};

// Effect: the config that the producer of `vector` (an object with id, format, config, tensors) would have
// written for a model of this one layer. Settings that the vector does not state are the producer's own.
PublishedConfig published_config(const json::Node& vector);

// Effect: the block type that a vector of GGUF blocks names, in lower case: "GGUF Q4_K" -> "q4_k"; else "".
std::string gguf_type(const json::Node& vector);

}  // namespace mortise::tool
