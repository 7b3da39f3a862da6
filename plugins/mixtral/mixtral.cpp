// Mixtral: the Llama graph with a mixture of experts in every layer; w1 is the gate, w3 up, w2 down.

#include "mortise/sdk/aliases.h"
#include "mortise/sdk/experts.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    const auto window = c.get<uint64_t>("sliding_window", 0);
    o.windows = layer_windows(c, o.layers, window, [](uint64_t) { return true; });
    ExpertOptions e = read_experts(c, "intermediate_size");
    e.router = "block_sparse_moe.gate";
    e.gate = "block_sparse_moe.experts.{e}.w1";
    e.up = "block_sparse_moe.experts.{e}.w3";
    e.down = "block_sparse_moe.experts.{e}.w2";
    build_decoder(b, o, [&](uint64_t i, Value x) { return decoder_experts(b, o, e, i, x); });
    alias_stacked_projections(b, e, "block_sparse_moe.switch_mlp");
    const RowMap pairs = paired_halves(o.head_dim);
    alias_numbered_blocks(b, "gguf", &pairs);
    alias_numbered_experts(b, "gguf", e);
    b.alias("", "model.layers.{i}.block_sparse_moe.gate", "model.layers.{i}.mlp.gate");
    // Producers that quantize the model as transformers 5 has it in memory keep its names, whole or in part.
    for (const std::string mixture : {"block_sparse_moe", "mlp"}) {
        const std::string layer = "model.layers.{i}.", expert = layer + mixture + ".experts.{e}.";
        b.alias("", layer + e.gate, expert + "gate_proj");
        b.alias("", layer + e.up, expert + "up_proj");
        b.alias("", layer + e.down, expert + "down_proj");
    }
}

}  // namespace

MORTISE_PLUGIN("org.mortise.mixtral", "0.1.0",
               architecture_entry<build>("mixtral", {"MixtralForCausalLM"}, {"mixtral"}))
