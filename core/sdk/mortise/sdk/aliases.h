// Names of a standard decoder's modules in name spaces that number blocks ("blk.0.attn_q").
#pragma once

#include "mortise/sdk/architecture.h"

namespace mortise::sdk {

// Rows of each head kept as pairs (i, i + d/2) next to each other instead of in halves: file row of row r.
inline RowMap paired_halves(uint64_t head_dim) {
    return {0, {{1, head_dim / 2, 2}, {head_dim / 2, 2, 1}, {head_dim, 0, head_dim}}};
}

// Effect: aliases of a standard decoder in `space`. `qk_rows`: order of the q and k rows there, or null.
inline void alias_numbered_blocks(Builder& b, std::string_view space, const RowMap* qk_rows) {
    b.alias(space, "model.embed_tokens", "token_embd");
    b.alias(space, "model.norm", "output_norm");
    b.alias(space, "lm_head", "output");
    b.alias(space, "model.layers.{i}.self_attn.q_proj", "blk.{i}.attn_q", qk_rows);
    b.alias(space, "model.layers.{i}.self_attn.k_proj", "blk.{i}.attn_k", qk_rows);
    b.alias(space, "model.layers.{i}.self_attn.v_proj", "blk.{i}.attn_v");
    b.alias(space, "model.layers.{i}.self_attn.o_proj", "blk.{i}.attn_output");
    b.alias(space, "model.layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate");
    b.alias(space, "model.layers.{i}.mlp.up_proj", "blk.{i}.ffn_up");
    b.alias(space, "model.layers.{i}.mlp.down_proj", "blk.{i}.ffn_down");
    b.alias(space, "model.layers.{i}.input_layernorm", "blk.{i}.attn_norm");
    b.alias(space, "model.layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm");
    b.drop(MORTISE_PATTERN_EXACT, "rope_freqs.weight", "rotary_cache",
           "the container puts its values into the config");
}

}  // namespace mortise::sdk
