// The standard decoder, steered by flags: what a pre-norm family needs to say of itself is what differs.
//
// Pre-norm blocks: x += attention(norm(x)); x += mlp(norm(x)); a final norm and the head. Families that
// differ more compose Builder operators themselves.
#pragma once

#include "mortise/sdk/rope.h"

namespace mortise::sdk {

struct DecoderOptions {
    uint64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0,
             max_positions = 0;
    double eps = 1e-6;
    bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, mlp_bias = false;
    bool qk_norm = false;  // RMS on each q and k head before rope
    uint32_t activation = MORTISE_STYLE_SILU;
    uint32_t rope_style = MORTISE_STYLE_HALF;
    Rope rope;
    double attention_scale = 0;  // 0: 1 / sqrt(head_dim)
    double softcap = 0;          // of attention scores; 0 none
    double norm_offset = 0;      // 1: norms multiply by (1 + w)
    double embedding_factor = 1;
    double logit_softcap = 0;
    bool sinks = false;             // one more score per head, without a value
    std::vector<uint64_t> windows;  // [layers] 0 = full attention; empty = all full
    bool tied = false;
    uint32_t dtype = MORTISE_DTYPE_BF16;
    std::string root = "model.";  // prefix of the canonical names
};

inline uint32_t read_dtype(Config c) {
    const std::string name = c.first_of<std::string>({"dtype", "torch_dtype"}).value_or("bfloat16");
    if (name == "bfloat16") return MORTISE_DTYPE_BF16;
    if (name == "float16") return MORTISE_DTYPE_F16;
    if (name == "float32") return MORTISE_DTYPE_F32;
    throw Unsupported({.what = "unknown dtype of the model",
                       .expected = "bfloat16, float16 or float32",
                       .found = name,
                       .node = c.node()});
}

inline uint32_t read_activation(Config c, const char* key = "hidden_act") {
    const std::string name = c.get(key, "silu");
    if (name == "silu" || name == "swish") return MORTISE_STYLE_SILU;
    if (name == "gelu") return MORTISE_STYLE_GELU;
    if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_tanh")
        return MORTISE_STYLE_GELU_TANH;
    if (name == "relu") return MORTISE_STYLE_RELU;
    if (name == "relu2") return MORTISE_STYLE_RELU2;
    throw Unsupported({.what = "unknown activation function", .found = name, .node = c[key].node()});
}

// Effect: entries of a head that turn, where a family may leave the rest as they are.
inline uint64_t rotary_entries(Config c, uint64_t head_dim) {
    const auto inner = c["rope_parameters"].maybe<double>("partial_rotary_factor");
    const double factor = inner ? *inner : c.get<double>("partial_rotary_factor", 1.0);
    const auto entries = static_cast<uint64_t>(static_cast<double>(head_dim) * std::clamp(factor, 0.0, 1.0));
    if (factor <= 0 || factor > 1 || entries % 2 != 0)
        throw Refused({.what = "impossible share of a head for the rope",
                       .found = std::to_string(factor),
                       .node = c.node()});
    return entries;
}

// Effect: the keys that every config of such a family has. partial_rope: the family may turn a part of each
// head only. Errors: missing or impossible values.
inline DecoderOptions read_decoder(Config c, bool partial_rope = false) {
    DecoderOptions o;
    o.hidden = c.get<uint64_t>("hidden_size");
    o.layers = c.get<uint64_t>("num_hidden_layers");
    o.heads = c.get<uint64_t>("num_attention_heads");
    o.kv_heads = c.get<uint64_t>("num_key_value_heads", o.heads);
    if (o.hidden == 0 || o.layers == 0 || o.heads == 0 || o.kv_heads == 0 || o.heads % o.kv_heads)
        throw Refused({.what = "impossible sizes: heads must be a positive multiple of key/value heads",
                       .found = std::to_string(o.heads) + " and " + std::to_string(o.kv_heads),
                       .node = c.node()});
    o.head_dim = c.get<uint64_t>("head_dim", o.hidden / o.heads);
    constexpr uint64_t most_layers = 4096,
                       widest_head = 1 << 16;  // far beyond any model: a broken config must not fill memory
    if (o.layers > most_layers || o.head_dim > widest_head || o.head_dim % 2 != 0)
        throw Refused({.what = "impossible sizes: layers or entries of a head",
                       .found = std::to_string(o.layers) + " layers, heads of " + std::to_string(o.head_dim),
                       .node = c.node()});
    o.intermediate = c.get<uint64_t>("intermediate_size");
    o.vocabulary = c.get<uint64_t>("vocab_size");
    o.max_positions = c.get<uint64_t>("max_position_embeddings");
    o.eps = c.get<double>("rms_norm_eps", 1e-6);
    o.activation = read_activation(c);
    o.rope = read_rope(c, partial_rope ? rotary_entries(c, o.head_dim) : o.head_dim);
    o.tied = c.get<bool>("tie_word_embeddings", false);
    o.dtype = read_dtype(c);
    return o;
}

// Effect: the window of each layer: spelled out by layer_types, else `window` where slides(layer) says so.
// Errors: layer_types that are not one known word for each layer.
template <class Slides>
std::vector<uint64_t> layer_windows(Config c, uint64_t layers, uint64_t window, Slides slides) {
    const Config given = c["layer_types"];
    const auto types = given.list<std::string>();
    if (given && types.size() != layers)
        throw Refused({.what = "layer_types has not one entry per layer",
                       .expected = std::to_string(layers),
                       .found = std::to_string(types.size()),
                       .node = given.node()});
    std::vector<uint64_t> out;
    for (uint64_t i = 0; i < layers; ++i) {
        const bool spelled = given && types[i] == "sliding_attention";
        if (given && !spelled && types[i] != "full_attention")
            throw Unsupported({.what = "unknown kind of attention",
                               .expected = "full_attention or sliding_attention",
                               .found = types[i],
                               .node = given.at(i).node()});
        out.push_back((given ? spelled : slides(i)) ? window : 0);
    }
    return out;
}

// Effect: windows that a switch turns on, by default from max_window_layers on; without use_sliding_window
// the other keys mean nothing.
inline std::vector<uint64_t> switched_windows(Config c, uint64_t layers) {
    const bool use = c.get<bool>("use_sliding_window", false);
    const auto window = c.get<uint64_t>("sliding_window", 0), from = c.get<uint64_t>("max_window_layers", 28);
    return layer_windows(c, layers, use ? window : 0, [&](uint64_t i) { return i >= from; });
}

namespace detail {

inline Attributes norm_attributes(const DecoderOptions& o, uint64_t width = 0) {
    Attributes a;
    a.set(MORTISE_ATTR_STYLE, static_cast<int64_t>(MORTISE_STYLE_RMS)).set(MORTISE_ATTR_EPS, o.eps);
    a.set(MORTISE_ATTR_WEIGHT_OFFSET, o.norm_offset).set(MORTISE_ATTR_WIDTH, width);
    return a;
}

inline Value norm(Builder& b, const DecoderOptions& o, const std::string& name, Value x, uint64_t width) {
    const Weight weight = b.vector(name + ".weight", width);
    return b.op1(MORTISE_OP_NORM, name, {x}, {weight}, norm_attributes(o, width == o.hidden ? 0 : width));
}

}  // namespace detail

// Effect: the attention of layer `i` over the normed input x.
inline Value decoder_attention(Builder& b, const DecoderOptions& o, uint64_t i, Value x) {
    const std::string name = o.root + "layers." + std::to_string(i) + ".self_attn";
    const Weight qkv = b.linear({{name + ".q_proj", o.heads * o.head_dim, o.heads, o.q_bias},
                                 {name + ".k_proj", o.kv_heads * o.head_dim, o.kv_heads, o.k_bias},
                                 {name + ".v_proj", o.kv_heads * o.head_dim, o.kv_heads, o.v_bias}},
                                o.hidden, {.fusions = {{.name = name + ".qkv_proj"}}});
    auto values = b.op(MORTISE_OP_LINEAR, name + ".qkv_proj", {x}, {qkv}, {}, 3);
    Value q = values[0], k = values[1];
    if (o.qk_norm) {
        q = detail::norm(b, o, name + ".q_norm", q, o.head_dim);
        k = detail::norm(b, o, name + ".k_norm", k, o.head_dim);
    }
    const Attributes rope = o.rope.attributes(o.head_dim, o.rope_style);
    q = b.op1(MORTISE_OP_ROPE, name, {q}, {}, rope);
    k = b.op1(MORTISE_OP_ROPE, name, {k}, {}, rope);
    Attributes a;
    a.set(MORTISE_ATTR_HEADS, o.heads)
        .set(MORTISE_ATTR_KV_HEADS, o.kv_heads)
        .set(MORTISE_ATTR_HEAD_DIM, o.head_dim);
    a.set(MORTISE_ATTR_V_HEAD_DIM, o.head_dim)
        .set(MORTISE_ATTR_LAYER, i)
        .set(MORTISE_ATTR_SOFTCAP, o.softcap);
    a.set(MORTISE_ATTR_SCALE,
          o.attention_scale != 0 ? o.attention_scale : 1.0 / std::sqrt(static_cast<double>(o.head_dim)));
    a.set(MORTISE_ATTR_WINDOW, o.windows.empty() ? uint64_t{0} : o.windows[i]);
    std::vector<Weight> sinks;
    if (o.sinks) {
        sinks.push_back(b.vector(name + ".sinks", o.heads, MORTISE_PARTITION_COLUMN, o.heads));
        a.set(MORTISE_ATTR_SINKS, 1);
    }
    const Value heads = b.op1(MORTISE_OP_ATTENTION, name, {q, k, values[2]}, sinks, a);
    const Weight out = b.linear({{name + ".o_proj", o.hidden, 0, o.o_bias}}, o.heads * o.head_dim,
                                {.partition = MORTISE_PARTITION_ROW, .column_units = o.heads, .fusions = {}});
    return b.op1(MORTISE_OP_LINEAR, name + ".o_proj", {heads}, {out});
}

// Effect: the gated MLP of layer `i` over the normed input x: down(act(gate(x)) * up(x)).
inline Value decoder_mlp(Builder& b, const DecoderOptions& o, uint64_t i, Value x) {
    const std::string name = o.root + "layers." + std::to_string(i) + ".mlp";
    const Weight gate_up = b.linear({{name + ".gate_proj", o.intermediate, 0, o.mlp_bias},
                                     {name + ".up_proj", o.intermediate, 0, o.mlp_bias}},
                                    o.hidden, {.fusions = {{.name = name + ".gate_up_proj"}}});
    const auto values = b.op(MORTISE_OP_LINEAR, name + ".gate_up_proj", {x}, {gate_up}, {}, 2);
    const Value gated = b.op1(MORTISE_OP_ACT_MUL, name, {values[0], values[1]}, {},
                              Attributes().set(MORTISE_ATTR_STYLE, static_cast<int64_t>(o.activation)));
    const Weight down = b.linear({{name + ".down_proj", o.hidden, 0, o.mlp_bias}}, o.intermediate,
                                 {.partition = MORTISE_PARTITION_ROW, .fusions = {}});
    return b.op1(MORTISE_OP_LINEAR, name + ".down_proj", {gated}, {down});
}

// Effect: the whole model. `mlp` builds what follows the second norm of a layer.
template <class Mlp>
void build_decoder(Builder& b, const DecoderOptions& o, Mlp mlp) {
    b.limits(o.vocabulary, o.max_positions, o.dtype);
    const Weight table = b.embedding(o.root + "embed_tokens", o.vocabulary, o.hidden);
    Value x = b.op1(MORTISE_OP_EMBED, o.root + "embed_tokens", {}, {table});
    if (o.embedding_factor != 1) x = b.scale(x, o.embedding_factor);
    for (uint64_t i = 0; i < o.layers; ++i) {
        const std::string layer = o.root + "layers." + std::to_string(i);
        x = b.add(x, decoder_attention(b, o, i, detail::norm(b, o, layer + ".input_layernorm", x, o.hidden)));
        x = b.add(x, mlp(i, detail::norm(b, o, layer + ".post_attention_layernorm", x, o.hidden)));
    }
    x = detail::norm(b, o, o.root + "norm", x, o.hidden);
    const Weight head =
        b.linear({{"lm_head", o.vocabulary, 0, false}}, o.hidden, {.head = true, .fusions = {}});
    b.tie(head, table, o.tied);
    Value logits = b.op1(MORTISE_OP_LINEAR, "lm_head", {x}, {head});
    if (o.logit_softcap != 0)
        logits = b.op1(MORTISE_OP_SOFTCAP, "", {logits}, {},
                       Attributes().set(MORTISE_ATTR_FACTOR, o.logit_softcap));
    b.logits(logits);
    b.drop(MORTISE_PATTERN_GLOB, "*.rotary_emb.inv_freq", "rotary_cache", "computed from the config");
    b.drop(MORTISE_PATTERN_GLOB, "*.rotary_emb.cos_cached", "rotary_cache", "computed from the config");
    b.drop(MORTISE_PATTERN_GLOB, "*.rotary_emb.sin_cached", "rotary_cache", "computed from the config");
}

inline void build_decoder(Builder& b, const DecoderOptions& o) {
    build_decoder(b, o, [&](uint64_t i, Value x) { return decoder_mlp(b, o, i, x); });
}

}  // namespace mortise::sdk
