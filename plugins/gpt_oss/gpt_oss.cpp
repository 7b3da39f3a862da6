// gpt-oss: biases everywhere, an attention sink per head, windows on every other layer, and experts that are
// stacked with gate and up rows in turns, transposed where they are floats.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/experts.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.q_bias = o.k_bias = o.v_bias = o.o_bias = c.get<bool>("attention_bias", true);
    o.sinks = true;
    o.windows = layer_windows(c, o.layers, c.get<uint64_t>("sliding_window", 128),
                              [](uint64_t i) { return i % 2 == 0; });
    ExpertOptions e = read_experts(c, "intermediate_size");
    e.router = "mlp.router";
    e.routing = MORTISE_ROUTING_TOPK_SOFTMAX;
    e.router_bias = e.bias = e.transposed = e.interleaved = true;
    e.activation = MORTISE_STYLE_SWIGLU_CLAMPED;
    e.limit = c.get<double>("swiglu_limit", 7.0);
    if (c.get<double>("swiglu_alpha", 1.702) != 1.702)
        throw Unsupported({.what = "another slope of the activation is not supported",
                           .expected = "1.702",
                           .node = c["swiglu_alpha"].node()});
    c.ignore({"initial_context_length"});  // said again by the rope
    build_decoder(b, o, [&](uint64_t i, Value x) { return decoder_experts(b, o, e, i, x); });
    b.alias("gguf", "model.layers.{i}.post_attention_layernorm", "blk.{i}.post_attention_norm");
    b.alias("gguf", "model.layers.{i}.self_attn.sinks", "blk.{i}.attn_sinks.weight");
    alias_numbered_blocks(b, "gguf", nullptr);
    alias_numbered_experts(b, "gguf", e);
    alias_stacked_projections(b, e, "mlp.experts");
}

}  // namespace

MORTISE_PLUGIN("org.mortise.gpt-oss", "0.1.0",
               architecture_entry<build>("gpt_oss", {"GptOssForCausalLM"}, {"gpt_oss"}))
