// The module tree: what a model consists of, before anything is known of how it is stored.
//
// An architecture plugin fills it through Builder; the plan then looks for each weight in the checkpoint.
// Names are canonical Hugging Face names. Values; no thread touches a tree while another changes it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "mortise/abi_architecture.h"

namespace mortise::model {

// Rows of a part inside the module that holds it on disk: offset + sum ((row / div) mod m) * stride.
struct RowMap {
    struct Digit {
        uint64_t div = 1, mod = 0, stride = 1;  // mod 0 = no modulus
        bool operator==(const Digit&) const = default;
    };
    uint64_t offset = 0;
    std::vector<Digit> digits;  // empty = identity

    uint64_t operator()(uint64_t row) const;
    bool contiguous() const { return digits.empty(); }
    bool operator==(const RowMap&) const = default;
};

enum class Partition : uint8_t { replicated, column, row };
std::string_view name(Partition partition);

struct Part {
    std::string name;    // "model.layers.0.self_attn.q_proj"
    uint64_t rows = 0;   // output features
    uint64_t units = 0;  // shard units in the rows (heads); never 0 after Builder
    bool bias = false;
};

// Another spelling of a linear: all its parts in one tensor.
struct Fusion {
    std::string name;  // "model.layers.0.self_attn.qkv_proj"
    uint64_t rows = 0;
    std::vector<RowMap> maps;  // [parts]
    bool transposed = false;   // kept as [columns][rows]
};

struct Linear {
    std::vector<Part> parts;  // one to n, reading one input
    Partition partition = Partition::replicated;
    uint64_t columns = 0;       // input features
    uint64_t column_units = 0;  // never 0 after Builder
    uint64_t experts = 1;       // > 1: names hold "{e}"
    bool head = false;          // gives the logits
    std::vector<Fusion> fusions;
};

struct Embedding {
    std::string name;
    uint64_t rows = 0, columns = 0;  // vocabulary, width
};

// A small float parameter.
struct Vector {
    std::string name;  // full tensor name
    uint64_t rows = 1, columns = 0;
    Partition partition = Partition::replicated;
    uint64_t units = 0;
};

using Weight = std::variant<Linear, Embedding, Vector>;

struct Tie {
    uint32_t head = 0, embedding = 0;  // weight ids
    bool tied = false;                 // what config or family default says
};

struct Alias {
    std::string name_space, canonical, theirs;  // {i} stands for one index
    bool has_rows = false;
    RowMap rows;
};

struct Root {
    std::string canonical, theirs;  // prefixes: "model." -> "language_model.model."
};

struct DropRule {
    uint32_t pattern_kind = 0;  // MORTISE_PATTERN_*
    std::string pattern, rule, reason;
};

struct Attribute {
    uint32_t key = 0;
    int64_t integer = 0;
    double real = 0;
    std::vector<float> array;
};

// One operator: kind and attributes from the closed list of the ABI.
struct Op {
    uint32_t kind = 0;
    std::string name;  // module path that owns it
    std::vector<Attribute> attributes;
    std::vector<uint32_t> inputs;   // value ids
    std::vector<uint32_t> weights;  // weight ids
    std::vector<uint32_t> outputs;  // value ids

    const Attribute* find(uint32_t key) const;
    int64_t integer(uint32_t key, int64_t otherwise = 0) const;
    double real(uint32_t key, double otherwise = 0) const;
};
std::string_view op_name(uint32_t kind);  // "linear"

struct ModuleTree {
    std::vector<Weight> weights;
    std::vector<Op> ops;             // in execution order
    std::vector<uint64_t> widths;    // per value id
    uint32_t logits = MORTISE_NONE;  // value id
    std::vector<Tie> ties;
    std::vector<Alias> aliases;
    std::vector<Root> roots;
    std::vector<DropRule> drops;
    uint64_t vocabulary = 0, max_positions = 0;
    DType dtype{};        // of the model: the KV cache's when nothing else is said
    uint32_t layers = 0;  // number of caches: highest LAYER + 1
};

}  // namespace mortise::model
