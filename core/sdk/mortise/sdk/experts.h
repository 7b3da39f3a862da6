// A mixture of experts in the place of a decoder's MLP, steered by flags: a router, and banks of gate, up and
// down projections that are kept expert by expert or stacked.
#pragma once

#include "mortise/sdk/decoder.h"

namespace mortise::sdk {

struct ExpertOptions {
    uint64_t experts = 0, chosen = 0, intermediate = 0;
    uint32_t routing = MORTISE_ROUTING_SOFTMAX_TOPK_NORM;
    uint32_t activation = MORTISE_STYLE_SILU;
    double limit = 0;  // clamp of a gated activation; 0 none
    bool router_bias = false, bias = false;
    // Names below the layer; {e} stands for the expert's number.
    std::string router = "mlp.gate";
    std::string gate = "mlp.experts.{e}.gate_proj", up = "mlp.experts.{e}.up_proj",
                down = "mlp.experts.{e}.down_proj";
    // The same as one stack each, gate and up together.
    std::string stacked_gate_up = "mlp.experts.gate_up_proj", stacked_down = "mlp.experts.down_proj";
    bool transposed = false;   // stacks are kept as [experts][columns][rows]
    bool interleaved = false;  // gate and up rows take turns in the stack
};

// Effect: sizes from the keys that such configs share. `intermediate`: key of the width of one expert.
// Errors: missing or impossible values.
inline ExpertOptions read_experts(Config c, const char* intermediate) {
    ExpertOptions x;
    const auto experts = c.first_of<uint64_t>({"num_experts", "num_local_experts"});
    x.experts = experts ? *experts : c.get<uint64_t>("num_experts");
    const auto chosen = c.first_of<uint64_t>({"num_experts_per_tok", "experts_per_token"});
    x.chosen = chosen ? *chosen : c.get<uint64_t>("num_experts_per_tok");
    x.intermediate = c.get<uint64_t>(intermediate);
    x.activation = read_activation(c);
    constexpr uint64_t most_experts = 1 << 16;
    if (x.experts < 2 || x.experts > most_experts || x.chosen == 0 || x.chosen > x.experts ||
        x.intermediate == 0)
        throw Refused({.what = "impossible sizes: experts, or experts chosen per token",
                       .found = std::to_string(x.experts) + " and " + std::to_string(x.chosen),
                       .node = c.node()});
    c.ignore({"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"});
    return x;
}

// Effect: the experts of layer `i` over the normed input x.
inline Value decoder_experts(Builder& b, const DecoderOptions& o, const ExpertOptions& e, uint64_t i,
                             Value x) {
    const std::string layer = o.root + "layers." + std::to_string(i) + ".";
    const Weight router = b.linear({{layer + e.router, e.experts, 0, e.router_bias}}, o.hidden,
                                   {.partition = MORTISE_PARTITION_REPLICATED, .fusions = {}});
    const Value logits = b.op1(MORTISE_OP_LINEAR, layer + e.router, {x}, {router});
    Fusion stack{.name = layer + e.stacked_gate_up, .transposed = e.transposed};
    if (e.interleaved) stack.maps = {{0, {{1, 0, 2}}}, {1, {{1, 0, 2}}}};
    const Weight inner =
        b.linear({{layer + e.gate, e.intermediate, 0, e.bias}, {layer + e.up, e.intermediate, 0, e.bias}},
                 o.hidden, {.experts = e.experts, .fusions = {stack}});
    const Weight down = b.linear({{layer + e.down, o.hidden, 0, e.bias}}, e.intermediate,
                                 {.partition = MORTISE_PARTITION_ROW,
                                  .experts = e.experts,
                                  .fusions = {{.name = layer + e.stacked_down, .transposed = e.transposed}}});
    Attributes a;
    a.set(MORTISE_ATTR_TOP_K, e.chosen).set(MORTISE_ATTR_ROUTING, static_cast<int64_t>(e.routing));
    a.set(MORTISE_ATTR_STYLE, static_cast<int64_t>(e.activation)).set(MORTISE_ATTR_LIMIT, e.limit);
    return b.op1(MORTISE_OP_MOE,
                 layer.substr(0, layer.size() - 1) + "." + e.router.substr(0, e.router.find('.')),
                 {x, logits}, {inner, down}, a);
}

// Effect: native aliases of stacks that are kept projection by projection, gate apart from up:
// "mlp.switch_mlp.gate_proj". `stacks`: what they have in common, below the layer: "mlp.switch_mlp".
inline void alias_stacked_projections(Builder& b, const ExpertOptions& e, const std::string& stacks,
                                      const std::string& root = "model.") {
    const std::string layer = root + "layers.{i}.";
    b.alias("", layer + e.gate, layer + stacks + ".gate_proj");
    b.alias("", layer + e.up, layer + stacks + ".up_proj");
    b.alias("", layer + e.down, layer + stacks + ".down_proj");
}

}  // namespace mortise::sdk
