// Qwen3, dense: the Llama graph with an RMS norm on each head of q and k before the rope.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.qk_norm = true;
    o.q_bias = o.k_bias = o.v_bias = o.o_bias = c.get<bool>("attention_bias", false);
    o.windows = switched_windows(c, o.layers);
    build_decoder(b, o);
    alias_numbered_blocks(b, "gguf", nullptr);
}

}  // namespace

MORTISE_PLUGIN("org.mortise.qwen3", "0.1.0",
               architecture_entry<build>("qwen3", {"Qwen3ForCausalLM"}, {"qwen3"}))
