// Phi-3 and Phi-4: the Llama graph, published with q, k and v in one matrix and gate and up in another; rope
// on a part of each head, with two sets of frequencies for short and long inputs.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c, true);
    o.windows =
        layer_windows(c, o.layers, c.get<uint64_t>("sliding_window", 0), [](uint64_t) { return true; });
    for (const char* bias : {"attention_bias", "mlp_bias", "lm_head_bias"}) c.refuse_if_set(bias);
    // Read with the rope where it scales; said of every model all the same.
    c.ignore({"original_max_position_embeddings", "full_attn_mod", "interpolate_factor"});
    build_decoder(b, o);
    alias_numbered_blocks(b, "gguf", nullptr, true);
}

}  // namespace

MORTISE_PLUGIN("org.mortise.phi3", "0.1.0", architecture_entry<build>("phi3", {"Phi3ForCausalLM"}, {"phi3"}))
