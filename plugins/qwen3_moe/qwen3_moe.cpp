// Qwen3 with mixtures of experts in most layers, kept expert by expert or stacked.

#include <algorithm>

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/experts.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.qk_norm = true;
    o.q_bias = o.k_bias = o.v_bias = o.o_bias = c.get<bool>("attention_bias", false);
    c.refuse_if_set("use_sliding_window");
    c.ignore({"sliding_window", "max_window_layers"});
    ExpertOptions e = read_experts(c, "moe_intermediate_size");
    e.routing = c.get<bool>("norm_topk_prob", false) ? MORTISE_ROUTING_SOFTMAX_TOPK_NORM
                                                     : MORTISE_ROUTING_SOFTMAX_TOPK;
    const auto dense = c["mlp_only_layers"].list<uint64_t>();
    const auto step = std::max<uint64_t>(c.get<uint64_t>("decoder_sparse_step", 1), 1);
    build_decoder(b, o, [&](uint64_t i, Value x) {
        const bool mixed = (i + 1) % step == 0 && std::ranges::find(dense, i) == dense.end();
        return mixed ? decoder_experts(b, o, e, i, x) : decoder_mlp(b, o, i, x);
    });
    alias_stacked_projections(b, e, "mlp.switch_mlp");
    alias_numbered_blocks(b, "gguf", nullptr);
    alias_numbered_experts(b, "gguf", e);
}

}  // namespace

MORTISE_PLUGIN("org.mortise.qwen3-moe", "0.1.0",
               architecture_entry<build>("qwen3_moe", {"Qwen3MoeForCausalLM"}, {"qwen3_moe"}))
