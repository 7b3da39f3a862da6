// Qwen2 and Qwen2.5: the Llama graph with biases on q, k and v, and a sliding window on the upper layers.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

// Window of each layer: spelled out by layer_types, or from max_window_layers on; without use_sliding_window
// the other two keys mean nothing.
std::vector<uint64_t> windows(Config c, uint64_t layers) {
    const bool use = c.get<bool>("use_sliding_window", false);
    const auto window = c.get<uint64_t>("sliding_window", 0), from = c.get<uint64_t>("max_window_layers", 28);
    const auto types = c["layer_types"].list<std::string>();
    std::vector<uint64_t> out(layers, 0);
    for (uint64_t i = 0; use && i < layers; ++i) {
        const bool slides = types.size() == layers ? types[i] == "sliding_attention" : i >= from;
        out[i] = slides ? window : 0;
    }
    return out;
}

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.q_bias = o.k_bias = o.v_bias = true;
    o.windows = windows(c, o.layers);
    build_decoder(b, o);
    alias_numbered_blocks(b, "gguf", nullptr);
}

}  // namespace

MORTISE_PLUGIN("org.mortise.qwen2", "0.1.0", architecture_entry<build>("qwen2", {"Qwen2ForCausalLM"}, {"qwen2"}))
