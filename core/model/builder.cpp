#include "model/builder.h"

#include <algorithm>
#include <set>

namespace mortise::model {
namespace {

std::unexpected<Error> wrong(std::string what, std::string subject, std::string expected = {},
                             std::string found = {}) {
    return fail(Problem{.code = Code::internal,
                        .what = std::move(what),
                        .tensor = std::move(subject),
                        .expected = std::move(expected),
                        .found = std::move(found),
                        .fix = "this is a fault of the architecture plugin"});
}

// The rows that the maps of a fusion reach must be inside it, and no two parts may share one.
Status check_fusion(const Linear& linear, const Fusion& fusion) {
    if (fusion.maps.size() != linear.parts.size())
        return wrong("a fused spelling must map every part", fusion.name,
                     std::to_string(linear.parts.size()) + " maps", std::to_string(fusion.maps.size()));
    std::vector<bool> taken(fusion.rows, false);
    for (size_t p = 0; p < linear.parts.size(); ++p)
        for (uint64_t row = 0; row < linear.parts[p].rows; ++row) {
            const uint64_t at = fusion.maps[p](row);
            if (at >= fusion.rows || taken[at])
                return wrong("a fused spelling maps two rows to one, or a row outside the tensor",
                             fusion.name);
            taken[at] = true;
        }
    if (std::find(taken.begin(), taken.end(), false) != taken.end())
        return wrong("a fused spelling leaves rows that belong to no part", fusion.name);
    return {};
}

bool fits_moe(const Linear& inner, const Linear& down, uint64_t width, uint64_t logits) {
    return inner.parts.size() == 2 && down.parts.size() == 1 && inner.parts[0].rows == inner.parts[1].rows &&
           inner.columns == width && down.columns == inner.parts[0].rows && down.parts[0].rows == width &&
           inner.experts == logits && down.experts == logits;
}

}  // namespace

Status Builder::claim(const std::string& name) {
    if (name.empty()) return wrong("a weight has no name", "");
    if (!names_.insert(name).second) return wrong("two weights have one name", name);
    return {};
}

Result<uint32_t> Builder::add(Linear linear) {
    if (linear.parts.empty() || linear.columns == 0 || linear.experts == 0)
        return wrong("a linear needs parts, columns and experts",
                     linear.parts.empty() ? "" : linear.parts[0].name);
    if (linear.column_units == 0) linear.column_units = linear.columns;
    for (Part& part : linear.parts) {
        MORTISE_CHECK(claim(part.name));
        if (part.units == 0) part.units = part.rows;
        if (part.rows == 0 || part.rows % part.units)
            return wrong("rows must be a multiple of the shard units", part.name,
                         "a multiple of " + std::to_string(part.units), std::to_string(part.rows));
        if (linear.experts > 1 && part.name.find("{e}") == std::string::npos)
            return wrong("a bank's part name needs {e}", part.name);
    }
    if (linear.columns % linear.column_units)
        return wrong("columns must be a multiple of the shard units", linear.parts[0].name);
    for (const Fusion& fusion : linear.fusions) MORTISE_CHECK(check_fusion(linear, fusion));
    tree_.weights.emplace_back(std::move(linear));
    return static_cast<uint32_t>(tree_.weights.size() - 1);
}

Result<uint32_t> Builder::add(Embedding embedding) {
    MORTISE_CHECK(claim(embedding.name));
    if (embedding.rows == 0 || embedding.columns == 0)
        return wrong("an embedding has no extent", embedding.name);
    tree_.weights.emplace_back(std::move(embedding));
    return static_cast<uint32_t>(tree_.weights.size() - 1);
}

Result<uint32_t> Builder::add(Vector vector) {
    MORTISE_CHECK(claim(vector.name));
    if (vector.rows == 0 || vector.columns == 0) return wrong("a vector has no extent", vector.name);
    if (vector.units == 0) vector.units = vector.columns;
    tree_.weights.emplace_back(std::move(vector));
    return static_cast<uint32_t>(tree_.weights.size() - 1);
}

Result<std::vector<uint64_t>> Builder::output_widths(const Op& op) const {
    const auto width = [&](size_t input) { return tree_.widths[op.inputs[input]]; };
    const auto need = [&](size_t inputs, size_t weights) -> Status {
        if (op.inputs.size() != inputs || op.weights.size() < weights)
            return wrong("operator " + std::string(op_name(op.kind)) + " has the wrong inputs or weights",
                         op.name);
        return {};
    };
    switch (op.kind) {
        case MORTISE_OP_EMBED: {
            MORTISE_CHECK(need(0, 1));
            const auto* table = std::get_if<Embedding>(&tree_.weights[op.weights[0]]);
            if (!table) return wrong("embed needs an embedding", op.name);
            return std::vector<uint64_t>{table->columns};
        }
        case MORTISE_OP_LINEAR: {
            MORTISE_CHECK(need(1, 1));
            const auto* linear = std::get_if<Linear>(&tree_.weights[op.weights[0]]);
            if (!linear || linear->columns != width(0))
                return wrong("linear does not fit its input", op.name,
                             linear ? std::to_string(linear->columns) : "a linear", std::to_string(width(0)));
            std::vector<uint64_t> rows;
            for (const Part& part : linear->parts) rows.push_back(part.rows);
            return rows;
        }
        case MORTISE_OP_ATTENTION: {
            MORTISE_CHECK(need(3, 0));
            const auto heads = op.integer(MORTISE_ATTR_HEADS), kv = op.integer(MORTISE_ATTR_KV_HEADS);
            const auto d = op.integer(MORTISE_ATTR_HEAD_DIM), dv = op.integer(MORTISE_ATTR_V_HEAD_DIM, d);
            if (heads <= 0 || kv <= 0 || d <= 0 || dv <= 0 || heads % kv || width(0) != uint64_t(heads * d) ||
                width(1) != uint64_t(kv * d) || width(2) != uint64_t(kv * dv))
                return wrong("attention heads do not fit its inputs", op.name);
            return std::vector<uint64_t>{uint64_t(heads * dv)};
        }
        case MORTISE_OP_ACT_MUL:
        case MORTISE_OP_ADD:
            MORTISE_CHECK(need(2, 0));
            if (width(0) != width(1)) return wrong("operands differ in width", op.name);
            return std::vector<uint64_t>{width(0)};
        case MORTISE_OP_MOE: {
            MORTISE_CHECK(need(2, 2));
            const auto* inner = std::get_if<Linear>(&tree_.weights[op.weights[0]]);
            const auto* down = std::get_if<Linear>(&tree_.weights[op.weights[1]]);
            if (!inner || !down || !fits_moe(*inner, *down, width(0), width(1)))
                return wrong("moe needs a bank of gate and up, a bank of down, and a logit for each expert",
                             op.name);
            return std::vector<uint64_t>{width(0)};
        }
        case MORTISE_OP_NORM:
        case MORTISE_OP_ROPE:
        case MORTISE_OP_ACT:
        case MORTISE_OP_SCALE:
        case MORTISE_OP_SOFTCAP: MORTISE_CHECK(need(1, 0)); return std::vector<uint64_t>{width(0)};
        default: return wrong("unknown operator kind " + std::to_string(op.kind), op.name);
    }
}

Result<std::vector<uint32_t>> Builder::add(Op op, uint32_t n_outputs) {
    for (uint32_t input : op.inputs)
        if (input >= tree_.widths.size()) return wrong("operator reads a value that does not exist", op.name);
    for (uint32_t weight : op.weights)
        if (weight >= tree_.weights.size())
            return wrong("operator uses a weight that does not exist", op.name);
    MORTISE_TRY(const auto widths, output_widths(op));
    if (widths.size() != n_outputs) return wrong("operator has another number of outputs", op.name);
    for (uint64_t width : widths) {
        op.outputs.push_back(static_cast<uint32_t>(tree_.widths.size()));
        tree_.widths.push_back(width);
    }
    tree_.ops.push_back(std::move(op));
    return tree_.ops.back().outputs;
}

void Builder::limits(uint64_t vocabulary, uint64_t max_positions, DType dtype) {
    tree_.vocabulary = vocabulary;
    tree_.max_positions = max_positions;
    tree_.dtype = dtype;
}

Result<ModuleTree> Builder::take() && {
    if (tree_.logits >= tree_.widths.size()) return wrong("the graph has no logits", "");
    std::set<uint32_t> used;
    std::set<int64_t> layers;
    for (const Op& op : tree_.ops) {
        used.insert(op.weights.begin(), op.weights.end());
        if (op.kind != MORTISE_OP_ATTENTION) continue;
        const int64_t layer = op.integer(MORTISE_ATTR_LAYER, -1);
        if (layer < 0 || !layers.insert(layer).second)
            return wrong("attentions need distinct layer indexes", op.name);
        tree_.layers = std::max(tree_.layers, static_cast<uint32_t>(layer + 1));
    }
    for (uint32_t w = 0; w < tree_.weights.size(); ++w)
        if (!used.contains(w)) return wrong("a weight is used by no operator", std::to_string(w));
    for (const Tie& tie : tree_.ties)
        if (tie.head >= tree_.weights.size() || tie.embedding >= tree_.weights.size() ||
            !std::holds_alternative<Linear>(tree_.weights[tie.head]) ||
            !std::holds_alternative<Embedding>(tree_.weights[tie.embedding]))
            return wrong("a tie must join a head and an embedding", "");
    return std::move(tree_);
}

}  // namespace mortise::model
