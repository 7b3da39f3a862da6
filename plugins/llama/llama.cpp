// Llama 1 to 3 and everything published under its architecture name: pre-norm RMS, rope in halves, grouped
// query attention, SwiGLU, tied or untied head.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.q_bias = o.k_bias = o.v_bias = o.o_bias = c.get<bool>("attention_bias", false);
    o.mlp_bias = c.get<bool>("mlp_bias", false);
    build_decoder(b, o);
    const RowMap pairs = paired_halves(o.head_dim);
    alias_numbered_blocks(b, "gguf", &pairs);
    b.root("model.", "");
}

}  // namespace

MORTISE_PLUGIN("org.mortise.llama", "0.1.0",
               architecture_entry<build>("llama", {"LlamaForCausalLM"}, {"llama"}))
