// What the operators of mortise/abi_architecture.h mean, for kernel authors: their attributes as plain
// structs and the scalar formulae that every provider must reproduce.
// Threads: pure functions, callable from anywhere. Nothing here allocates; FREQUENCIES arrays stay borrowed.
#ifndef MORTISE_SDK_OPERATORS_H
#define MORTISE_SDK_OPERATORS_H

#include <cmath>
#include <cstdint>
#include <cstring>

#include "mortise/abi.h"

namespace mortise::sdk {

// Effect: the attribute `key` of `problem`, or null.
inline const mortise_attr* find_attr(const mortise_problem& problem, uint32_t key) {
    for (uint32_t i = 0; i < problem.n_attrs; i++) {
        if (problem.attrs[i].key == key) return &problem.attrs[i];
    }
    return nullptr;
}

inline int64_t int_attr(const mortise_problem& problem, uint32_t key, int64_t absent = 0) {
    const mortise_attr* attr = find_attr(problem, key);
    return attr ? attr->integer : absent;
}

inline double real_attr(const mortise_problem& problem, uint32_t key, double absent = 0) {
    const mortise_attr* attr = find_attr(problem, key);
    return attr ? attr->real : absent;
}

// NORM: y = (weight_offset + w) * x / sqrt(mean(x^2) + eps) + b, or with mean removed for the layer norm.
struct NormOp {
    uint32_t style;         // MORTISE_STYLE_RMS | LAYER
    uint64_t total, width;  // whole row; length of one normalized block
    double eps, weight_offset;
};

inline NormOp norm_op(const mortise_problem& problem) {
    NormOp op;
    op.style = static_cast<uint32_t>(int_attr(problem, MORTISE_ATTR_STYLE, MORTISE_STYLE_RMS));
    op.total = problem.input_widths[0];
    op.width = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_WIDTH));
    if (op.width == 0) op.width = op.total;
    op.eps = real_attr(problem, MORTISE_ATTR_EPS);
    op.weight_offset = real_attr(problem, MORTISE_ATTR_WEIGHT_OFFSET);
    return op;
}

// ROPE: pairs (u, v) of the first `rotary` entries of each head become
// (u cos a - v sin a, v cos a + u sin a) with a = position * frequency, cos and sin times amplitude.
struct RopeOp {
    uint32_t style;  // MORTISE_STYLE_HALF: (i, i + rotary / 2), INTERLEAVED: (2i, 2i + 1)
    uint32_t pairs;  // rotary / 2
    uint64_t heads, head_dim;
    double amplitude;
    const float* frequencies;       // [pairs]
    const float* long_frequencies;  // [pairs] or null: in force when the length exceeds long_from
    uint64_t long_from;
    double base, factor;  // base > 0: grows with length beyond max_positions
    uint64_t max_positions;
};

inline RopeOp rope_op(const mortise_problem& problem) {
    RopeOp op;
    const mortise_attr* frequencies = find_attr(problem, MORTISE_ATTR_FREQUENCIES);
    const mortise_attr* longer = find_attr(problem, MORTISE_ATTR_LONG_FREQUENCIES);
    op.style = static_cast<uint32_t>(int_attr(problem, MORTISE_ATTR_STYLE, MORTISE_STYLE_HALF));
    op.head_dim = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_HEAD_DIM));
    op.heads = op.head_dim ? problem.input_widths[0] / op.head_dim : 0;
    op.pairs = frequencies ? frequencies->n : 0;
    op.frequencies = frequencies ? frequencies->array : nullptr;
    op.long_frequencies = longer && longer->n == op.pairs ? longer->array : nullptr;
    op.long_from = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_LONG_FROM));
    op.amplitude = real_attr(problem, MORTISE_ATTR_AMPLITUDE, 1.0);
    op.base = real_attr(problem, MORTISE_ATTR_ROPE_BASE);
    op.factor = real_attr(problem, MORTISE_ATTR_FACTOR, 1.0);
    op.max_positions = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_MAX_POSITIONS));
    return op;
}

// Effect: the frequency of pair `i` for a sequence of `length` tokens so far.
inline float rope_frequency(const RopeOp& op, uint32_t i, uint64_t length) {
    if (op.long_frequencies && length > op.long_from) return op.long_frequencies[i];
    if (op.base <= 0 || op.max_positions == 0 || length <= op.max_positions) return op.frequencies[i];
    const double r = 2.0 * op.pairs;
    const double ratio = static_cast<double>(length) / static_cast<double>(op.max_positions);
    const double base = op.base * std::pow(op.factor * ratio - (op.factor - 1), r / (r - 2));
    return static_cast<float>(std::pow(base, -2.0 * i / r));
}

// Effect: cosine and sine of pair `i` at `position`. The angle is one f32 product, as the producers compute
// it.
inline void rope_turn(const RopeOp& op, uint32_t i, int32_t position, uint64_t length, float* cosine,
                      float* sine) {
    const float angle = static_cast<float>(position) * rope_frequency(op, i, length);
    *cosine = static_cast<float>(std::cos(static_cast<double>(angle)) * op.amplitude);
    *sine = static_cast<float>(std::sin(static_cast<double>(angle)) * op.amplitude);
}

// ATTENTION: query head j reads key/value head j / (heads / kv_heads); key p is visible to query q iff
// p <= q and (window == 0 or p > q - window); scores = softcap(scale * q.k). With sinks, weights[0][j] is one
// more score of head j's softmax: it takes its share of the sum and has no value.
struct AttentionOp {
    uint64_t heads, kv_heads, head_dim, v_head_dim, window;
    double scale, softcap;
    bool sinks;
};

inline AttentionOp attention_op(const mortise_problem& problem) {
    AttentionOp op;
    op.heads = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_HEADS));
    op.kv_heads = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_KV_HEADS, int64_t(op.heads)));
    op.head_dim = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_HEAD_DIM));
    op.v_head_dim = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_V_HEAD_DIM, int64_t(op.head_dim)));
    op.window = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_WINDOW));
    op.scale = real_attr(problem, MORTISE_ATTR_SCALE, 1.0);
    op.softcap = real_attr(problem, MORTISE_ATTR_SOFTCAP);
    op.sinks = int_attr(problem, MORTISE_ATTR_SINKS) != 0;
    return op;
}

// ACT and ACT_MUL.
struct ActOp {
    uint32_t style;
    double limit;
};

inline ActOp act_op(const mortise_problem& problem) {
    return {static_cast<uint32_t>(int_attr(problem, MORTISE_ATTR_STYLE, MORTISE_STYLE_SILU)),
            real_attr(problem, MORTISE_ATTR_LIMIT)};
}

inline bool act_known(uint32_t style) {
    return style >= MORTISE_STYLE_SILU && style <= MORTISE_STYLE_SWIGLU_CLAMPED;
}

// Effect: act(x) for the styles of one operand.
inline double activate(const ActOp& op, double x) {
    constexpr double root_half = 0.70710678118654752440, root_two_over_pi = 0.79788456080286535588;
    switch (op.style) {
        case MORTISE_STYLE_SILU: return x / (1 + std::exp(-x));
        case MORTISE_STYLE_GELU: return 0.5 * x * (1 + std::erf(x * root_half));
        case MORTISE_STYLE_GELU_TANH:
            return 0.5 * x * (1 + std::tanh(root_two_over_pi * (x + 0.044715 * x * x * x)));
        case MORTISE_STYLE_RELU: return x < 0 ? 0 : x;
        case MORTISE_STYLE_RELU2: return x < 0 ? 0 : x * x;
        default: return x;
    }
}

// Effect: act(gate) * up. The clamped style: gate <= limit, |up| <= limit,
// (up + 1) * gate * sigmoid(1.702 * gate).
inline double activate_pair(const ActOp& op, double gate, double up) {
    if (op.style != MORTISE_STYLE_SWIGLU_CLAMPED) return activate(op, gate) * up;
    if (op.limit > 0) {
        gate = gate > op.limit ? op.limit : gate;
        up = up > op.limit ? op.limit : up < -op.limit ? -op.limit : up;
    }
    return (up + 1) * gate / (1 + std::exp(-1.702 * gate));
}

// MOE: parts are gate, up and down banks; y = sum over the chosen experts e of weight_e *
// down_e(act(gate_e(x), up_e(x))).
struct MoeOp {
    uint64_t experts, top_k;  // of the layer
    uint64_t members;         // experts that this bank holds
    const uint32_t* numbers;  // [members] what they are called in the layer, ascending; null = all
    bool accumulate;          // adds to the output
    uint32_t routing;         // MORTISE_ROUTING_*
    ActOp act;
};
inline constexpr uint64_t most_chosen = 64;
inline constexpr uint32_t no_member = 0xffffffffu;

inline MoeOp moe_op(const mortise_problem& problem) {
    MoeOp op;
    op.experts = problem.n_inputs > 1 ? problem.input_widths[1] : 0;
    op.top_k = static_cast<uint64_t>(int_attr(problem, MORTISE_ATTR_TOP_K));
    op.members = problem.n_parts > 0 ? problem.parts[0]->experts : 0;
    const bool knows = MORTISE_HAS(&problem, mortise_problem, members);
    op.numbers = knows ? problem.members : nullptr;
    op.accumulate = knows && problem.accumulate != 0;
    op.routing = static_cast<uint32_t>(int_attr(problem, MORTISE_ATTR_ROUTING));
    op.act = act_op(problem);
    return op;
}

// Effect: the place of an expert in the bank; no_member when it is in another one.
inline uint32_t member_of(const MoeOp& op, uint32_t expert) {
    if (!op.numbers) return expert;
    uint64_t low = 0, high = op.members;
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        if (op.numbers[middle] < expert)
            low = middle + 1;
        else
            high = middle;
    }
    return low < op.members && op.numbers[low] == expert ? static_cast<uint32_t>(low) : no_member;
}

// Effect: what belongs to one expert of a bank.
inline mortise_extras extras_of(const mortise_extras& bank, const mortise_kernel_part& part,
                                uint64_t expert) {
    mortise_extras one = bank;
    const auto skip = [&](const float*& array, uint64_t size) {
        if (array) array += expert * size;
    };
    skip(one.bias, part.rows);
    skip(one.pre_scale, part.columns);
    skip(one.low_rank_a, bank.low_rank * part.columns);
    skip(one.low_rank_b, bank.low_rank * part.rows);
    skip(one.input_scale, 1);
    skip(one.input_zero_point, 1);
    skip(one.input_scale2, 1);
    skip(one.cast_scale, 1);
    return one;
}

// Effect: the chosen experts, best first, the lower index among equals, and their weights.
// Requires: top_k <= experts and most_chosen.
inline void route(const MoeOp& op, const float* logits, uint32_t* chosen, double* weights) {
    double all = 0, some = 0;
    for (uint64_t k = 0; k < op.top_k; k++) {
        uint64_t best = op.experts;
        for (uint64_t e = 0; e < op.experts; e++) {
            bool taken = false;
            for (uint64_t j = 0; j < k; j++) taken |= chosen[j] == e;
            if (!taken && (best == op.experts || logits[e] > logits[best])) best = e;
        }
        chosen[k] = static_cast<uint32_t>(best);
    }
    const double top = logits[chosen[0]];
    for (uint64_t e = 0; e < op.experts; e++) all += std::exp(logits[e] - top);
    for (uint64_t k = 0; k < op.top_k; k++) some += weights[k] = std::exp(logits[chosen[k]] - top);
    const double whole = op.routing == MORTISE_ROUTING_SOFTMAX_TOPK ? all : some;
    for (uint64_t k = 0; k < op.top_k; k++) weights[k] /= whole;
}

// Effect: the field of `role` in `spec`, or null.
inline const mortise_field* find_field(const mortise_spec& spec, uint32_t role) {
    for (uint32_t i = 0; i < spec.n_fields; i++) {
        if (spec.fields[i].role == role) return &spec.fields[i];
    }
    return nullptr;
}

inline bool is_plain(const mortise_spec& spec) {
    return spec.encoding == MORTISE_ENCODING_F32 || spec.encoding == MORTISE_ENCODING_F16 ||
           spec.encoding == MORTISE_ENCODING_BF16;
}

// Effect: true iff the part's input differs from the operator's input under `activations`.
inline bool prepares_input(const mortise_spec& spec, uint32_t activations) {
    const bool quantizes = spec.activation.granularity != MORTISE_ACTIVATION_NONE;
    return spec.rotation_block > 0 || find_field(spec, MORTISE_ROLE_PRE_SCALE) != nullptr ||
           (quantizes && activations != MORTISE_ACTIVATIONS_EXACT);
}

// Effect: true iff both quantize inputs by one rule; scales that are stored are not compared.
inline bool same_activation(const mortise_spec& a, const mortise_spec& b) {
    return std::memcmp(&a.activation, &b.activation, sizeof a.activation) == 0 &&
           a.activation_ties == b.activation_ties && a.activation_amax_ceiling == b.activation_amax_ceiling;
}

// Effect: true iff one scale is taken from all rows of the input at once, so rows cannot be prepared apart.
inline bool prepares_rows_together(const mortise_spec& spec, uint32_t activations) {
    return activations != MORTISE_ACTIVATIONS_EXACT && spec.activation.dynamic != 0 &&
           spec.activation.granularity == MORTISE_ACTIVATION_TENSOR;
}

// Effect: why a MOE problem is none, or asks for what no bank does; null when it is fine.
inline const char* why_not_moe(const mortise_problem& problem) {
    if (problem.n_parts != 3 || problem.n_inputs != 2) return "needs one gate, one up and one down bank";
    const MoeOp op = moe_op(problem);
    if (op.top_k == 0 || op.top_k > op.experts || op.top_k > most_chosen)
        return "experts chosen outside 1 to 64";
    if (op.routing < MORTISE_ROUTING_SOFTMAX_TOPK || op.routing > MORTISE_ROUTING_TOPK_SOFTMAX)
        return "unknown routing";
    if (!act_known(op.act.style)) return "unknown activation style";
    if (op.members > op.experts || (!op.numbers && op.members != op.experts))
        return "a bank of other experts than the router's";
    const uint64_t width = problem.input_widths[0], inner = problem.parts[0]->rows;
    for (uint32_t i = 0; i < problem.n_parts; i++) {
        const mortise_kernel_part& part = *problem.parts[i];
        const bool last = i == 2;
        if (part.experts != op.members || part.rows != (last ? width : inner) ||
            part.columns != (last ? inner : width))
            return "banks do not fit";
        if (find_field(*part.spec, MORTISE_ROLE_LOW_RANK_A)) return "low-rank terms of experts";
    }
    return nullptr;
}

// Effect: number of column groups that the rank's columns touch.
inline uint64_t column_groups(const mortise_kernel_part& part) {
    const uint64_t size = part.column_group ? part.column_group : part.columns;
    if (size == 0) return 1;
    if (part.indexed) return (part.spec->columns + size - 1) / size;
    return (part.first_column % size + part.columns + size - 1) / size;
}

// The share [begin, end) of `count` items that thread `rank` of `size` takes, in multiples of `unit`.
struct Share {
    uint64_t begin, end;
};
inline Share share(uint64_t count, uint64_t unit, uint32_t rank, uint32_t size) {
    const uint64_t units = (count + unit - 1) / unit;
    const uint64_t begin = units * rank / size * unit, end = units * (rank + 1) / size * unit;
    return {begin < count ? begin : count, end < count ? end : count};
}

template <class T>
inline T* pointer(const mortise_address& address) {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(address.base + address.offset));
}

inline float from_bf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

inline float from_f16(uint16_t bits) {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    uint32_t wide;
    if (magnitude >= 0x7c00u) {
        wide = sign | 0x7f800000u | (magnitude & 0x3ffu) << 13;
    } else if (magnitude >= 0x400u) {
        wide = sign | ((magnitude << 13) + 0x38000000u);
    } else {
        const float tiny = static_cast<float>(magnitude) * 5.9604644775390625e-8f;  // 2^-24
        std::memcpy(&wide, &tiny, 4);
        wide |= sign;
    }
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline uint16_t to_f16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((bits >> 13) & 0x3ffu));
    if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (bits < 0x38800000u) {  // subnormal: adding 0.5 rounds at 2^-24 to nearest even
        float magnitude;
        std::memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f;
        std::memcpy(&bits, &magnitude, 4);
        return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
    }
    return static_cast<uint16_t>(sign | ((bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1)) >> 13));
}

}  // namespace mortise::sdk

#endif
