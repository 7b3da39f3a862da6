// Names of a standard decoder's modules in name spaces that number blocks ("blk.0.attn_q").
#pragma once

#include "mortise/sdk/experts.h"

namespace mortise::sdk {

// Rows of each head kept as pairs (i, i + d/2) next to each other instead of in halves: file row of row r.
inline RowMap paired_halves(uint64_t head_dim) {
    return {0, {{1, head_dim / 2, 2}, {head_dim / 2, 2, 1}, {head_dim, 0, head_dim}}};
}

// Effect: aliases of a standard decoder in `space`. `qk_rows`: order of the q and k rows there, or null.
// fused: q, k and v are kept in one matrix there, gate and up in another.
inline void alias_numbered_blocks(Builder& b, std::string_view space, const RowMap* qk_rows,
                                  bool fused = false) {
    b.alias(space, "model.embed_tokens", "token_embd");
    b.alias(space, "model.norm", "output_norm");
    b.alias(space, "lm_head", "output");
    if (fused) {
        b.alias(space, "model.layers.{i}.self_attn.qkv_proj", "blk.{i}.attn_qkv");
        b.alias(space, "model.layers.{i}.mlp.gate_up_proj", "blk.{i}.ffn_up");
    } else {
        b.alias(space, "model.layers.{i}.self_attn.q_proj", "blk.{i}.attn_q", qk_rows);
        b.alias(space, "model.layers.{i}.self_attn.k_proj", "blk.{i}.attn_k", qk_rows);
        b.alias(space, "model.layers.{i}.self_attn.v_proj", "blk.{i}.attn_v");
        b.alias(space, "model.layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate");
        b.alias(space, "model.layers.{i}.mlp.up_proj", "blk.{i}.ffn_up");
    }
    b.alias(space, "model.layers.{i}.self_attn.o_proj", "blk.{i}.attn_output");
    b.alias(space, "model.layers.{i}.self_attn.q_norm", "blk.{i}.attn_q_norm");
    b.alias(space, "model.layers.{i}.self_attn.k_norm", "blk.{i}.attn_k_norm");
    b.alias(space, "model.layers.{i}.mlp.down_proj", "blk.{i}.ffn_down");
    b.alias(space, "model.layers.{i}.input_layernorm", "blk.{i}.attn_norm");
    b.alias(space, "model.layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm");
    for (const char* table : {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"})
        b.drop(MORTISE_PATTERN_EXACT, table, "rotary_cache", "the container puts its values into the config");
}

// Effect: aliases of a mixture of experts in `space`: the router, and one stack for each projection.
inline void alias_numbered_experts(Builder& b, std::string_view space, const ExpertOptions& e) {
    const std::string layer = "model.layers.{i}.";
    b.alias(space, layer + e.router, "blk.{i}.ffn_gate_inp");
    b.alias(space, layer + e.gate, "blk.{i}.ffn_gate_exps");
    b.alias(space, layer + e.up, "blk.{i}.ffn_up_exps");
    b.alias(space, layer + e.down, "blk.{i}.ffn_down_exps");
}

}  // namespace mortise::sdk
