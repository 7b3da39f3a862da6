// The load plan of one rank: everything that will be read, where it goes, and the proof that it is right.
//
// Dry run, memory estimate, load, export, diff and explain all walk this one structure; after prove() no
// decision changes. Values, immutable once made; share freely between threads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/catalog.h"
#include "model/tree.h"
#include "mortise/abi.h"
#include "plan/kernel_problem.h"
#include "quant/encode.h"
#include "quant/spec.h"

namespace mortise::plan {

using mortise::to_string;

inline constexpr uint32_t none = 0xffffffffu;

// A hyper-rectangle in element units of a field or parameter: [expert, row, column], end exclusive.
struct Box {
    std::array<uint64_t, 3> begin{}, end{};
    uint64_t volume() const;
    bool operator==(const Box&) const = default;
};
std::string to_string(const Box& box);  // "[0:1, 0:128, 0:256]"

// The closed set of what may happen to elements between file and parameter.
enum class Transform : uint8_t { reshape, slice, transpose, relayout, widen, permute_rows, decode, quantize };
std::string_view name(Transform transform);

// Destination of one role of one part (or a vector), on this rank.
struct Parameter {
    std::string owner;                 // part name, or tensor name of a vector
    uint32_t role = 0;                 // MORTISE_ROLE_*
    std::array<uint64_t, 3> extent{};  // [experts][rows][columns] in elements of the role
    bool optional = false;             // absent: default_value everywhere
    double default_value = 0;
};

struct Move {
    uint32_t tensor = none;  // index in the catalog
    Box source;              // in elements of the field as the scheme describes it
    std::vector<Transform> transforms;
    uint32_t parameter = none;
    Box destination;
};

// Rules that let a tensor go unused. Closed list, each with a code that reports and tests name.
enum class DropCode : uint8_t {
    rotary_cache,
    attention_mask,
    zero_bias,
    redundant_head,
    draft_layer,
    other_rank,
    cache_scale_unused,
    dynamic_input_scale,
    side_tower,
    stored_shape,
    scheme_role
};
std::string_view name(DropCode code);

struct Drop {
    uint32_t tensor = none;
    DropCode code{};
    std::string rule;  // as the plugin named it
    std::string reason;
};

// A promise about contents, checked while loading; a failed one ends the load before anything runs.
enum class Promise : uint8_t { finite, positive, zero, constant, below_groups, equals_shape, power_of_two };
struct Obligation {
    Promise promise{};
    uint32_t tensor = none;
    uint32_t source = none;  // Source whose field it is
    uint32_t field = none;   // index in the source's spec
    double value = 0;        // constant
};

// What a float module becomes while it is loaded: written in this spec by this recipe, in Hugging Face row
// order.
struct Remake {
    quant::QuantSpec spec;
    quant::Quantizer recipe;
    std::vector<uint64_t> rows;    // row of the source for each row written; empty = same order
    std::vector<uint32_t> absent;  // optional roles that are not written
};

// A module as it lies on disk, and what the scheme says of it.
struct Source {
    std::string name;       // in checkpoint naming
    std::string canonical;  // in Hugging Face naming
    uint32_t kind = 0;      // MORTISE_MODULE_*
    bool plain = true;
    bool transposed = false;  // floats of this module are kept as [columns][rows]
    quant::QuantSpec spec;
    std::vector<uint32_t> tensors;         // [spec.fields]: catalog index or none (optional and absent)
    std::string rule, where, note;         // what decided; file:line; a reported contradiction
    bool dropped = false;                  // whole module goes unused, by a drop rule; listed all the same
    std::shared_ptr<const Remake> remake;  // null: kernels get it as it is

    // As kernels get it.
    const quant::QuantSpec& result() const { return remake ? remake->spec : spec; }
    bool stays_plain() const { return remake ? remake->spec.is_plain() : plain; }
};

// One logical linear (or embedding) on this rank.
struct PartPlan {
    std::string name;               // canonical
    uint32_t weight = none;         // in the module tree
    std::vector<uint32_t> sources;  // one, or one per expert
    std::vector<uint32_t> members;  // numbers of the experts, when they are some of the layer's; empty = all
    model::RowMap rows_on_disk;     // part row -> row of the source
    uint64_t experts = 1, rows = 0, columns = 0;  // of the whole part; experts that this bank holds
    uint64_t first_row = 0, n_rows = 0;           // this rank's rows
    uint64_t first_column = 0, n_columns = 0;     // this rank's columns
    bool has_bias = false;
    std::vector<uint32_t> parameters;  // indexes of its parameters
    // The number in its layer of the bank's i-th expert.
    uint64_t number(uint64_t i) const { return members.empty() ? i : members[i]; }
};

// A norm weight or the like: f32 in memory.
struct VectorPlan {
    uint32_t weight = none, tensor = none, parameter = none;
    uint64_t rows = 1, columns = 0, first_column = 0, n_columns = 0;
};

// A kernel instance: a group of parts (or an op without parts) bound to a provider.
struct KernelPlan {
    std::shared_ptr<const KernelProblem> problem;
    const mortise_kernels_v1* provider = nullptr;
    std::string provider_id, kernel, reason;
    uint32_t score = 0, row_tile = 0;
    uint64_t workspace = 0, alignment = 64;
    std::vector<uint32_t> parts;         // PartPlan indexes, [n_parts]
    std::vector<uint64_t> packed_bytes;  // [n_parts]
    bool fallback = false;               // the reference kernel, where another was wanted
};

// One op of the graph and the kernel that runs it. A linear whose group was split has several steps.
struct Step {
    uint32_t op = none;
    uint32_t kernel = none;
    std::vector<uint32_t> outputs;  // value ids, in the order of the kernel's parts
    std::vector<uint32_t> vectors;  // VectorPlan indexes handed to the kernel
};

// What a checkpoint says of the KV cache of one attention.
struct CacheField {
    char letter = 'k';  // k v q scale or zero point; K V bias; p probabilities
    quant::Field field;
};
struct CacheAnswer {
    uint32_t encoding = MORTISE_ENCODING_AS_DTYPE, bits = 0;
    bool per_head = false;
    double scale_divisor = 1;
    std::vector<CacheField> fields;
    std::string rule;
};

// The KV cache of one attention. Numbers are VectorPlan indexes; none = there is none, a scale is 1 then.
struct CachePlan {
    uint32_t layer = 0;
    std::string attention;                                // module path
    uint64_t kv_heads = 0, head_dim = 0, v_head_dim = 0;  // of this rank
    uint32_t encoding = 0, bits = 0;                      // MORTISE_ENCODING_*, of an element
    uint32_t op = none;                                   // of the tree
    bool per_head = false;                                // one scale per head
    double scale_divisor = 1;  // the scale that takes effect is the stored one over this
    uint32_t k_scale = none, v_scale = none, q_scale = none;
    uint32_t k_bias = none, v_bias = none, k_zero = none, v_zero = none;
    std::string rule;    // what said so
    CacheAnswer stored;  // as the checkpoint has it, used or not

    // Bytes of one head's vector of `width` elements at one position (mortise_cache).
    uint64_t row_bytes(uint64_t width) const;
};
std::string_view cache_name(const CachePlan& cache);  // "fp8_e4m3"

struct Memory {
    uint64_t packed = 0, vectors = 0, cache = 0, activations = 0, workspace = 0, load_buffers = 0;  // bytes
    uint64_t total() const { return packed + vectors + cache + activations + workspace + load_buffers; }
};

// A rule of the config and how often it decided.
struct RuleUse {
    std::string pattern, where;
    uint64_t matches = 0;
};

struct LoadPlan {
    std::string path;
    std::string architecture, scheme, container;  // ids of the plugins
    uint32_t rank = 0, size = 1;
    model::ModuleTree tree;
    std::vector<Source> sources;
    std::vector<PartPlan> parts;
    std::vector<VectorPlan> vectors;
    std::vector<Parameter> parameters;
    std::vector<Move> moves;
    std::vector<Drop> drops;
    std::vector<Obligation> obligations;
    std::vector<KernelPlan> kernels;
    std::vector<Step> steps;
    std::vector<CachePlan> caches;
    std::vector<RuleUse> rules;
    std::string quantization;        // dialect and options that floats are quantized to; empty = as published
    std::vector<std::string> notes;  // contradictions and choices worth reading
    std::vector<std::string> probed;       // tensors whose contents were read before the proof
    uint64_t bytes_read_before_proof = 0;  // headers and probe roles
    Memory memory;
    uint64_t max_rows = 0;    // rows of one forward call
    uint64_t max_length = 0;  // positions per sequence
    uint32_t cache_block_slots = 0;
    bool cache_default = false;  // some coded cache has no scale in the checkpoint: 1 is taken
};

}  // namespace mortise::plan
