// Qwen2 and Qwen2.5: the Llama graph with biases on q, k and v, and a sliding window on the upper layers.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.q_bias = o.k_bias = o.v_bias = true;
    o.windows = switched_windows(c, o.layers);
    build_decoder(b, o);
    alias_numbered_blocks(b, "gguf", nullptr);
}

}  // namespace

MORTISE_PLUGIN("org.mortise.qwen2", "0.1.0",
               architecture_entry<build>("qwen2", {"Qwen2ForCausalLM"}, {"qwen2"}))
