#include "model/tree.h"

namespace mortise::model {

uint64_t RowMap::operator()(uint64_t row) const {
    if (digits.empty()) return offset + row;
    uint64_t at = offset;
    for (const Digit& digit : digits) {
        const uint64_t quotient = row / digit.div;
        at += (digit.mod ? quotient % digit.mod : quotient) * digit.stride;
    }
    return at;
}

std::string_view name(Partition partition) {
    switch (partition) {
        case Partition::replicated: return "replicated";
        case Partition::column: return "column";
        case Partition::row: return "row";
    }
    return "?";
}

const Attribute* Op::find(uint32_t key) const {
    for (const Attribute& attribute : attributes)
        if (attribute.key == key) return &attribute;
    return nullptr;
}

int64_t Op::integer(uint32_t key, int64_t otherwise) const {
    const Attribute* attribute = find(key);
    return attribute ? attribute->integer : otherwise;
}

double Op::real(uint32_t key, double otherwise) const {
    const Attribute* attribute = find(key);
    return attribute ? attribute->real : otherwise;
}

std::string_view op_name(uint32_t kind) {
    switch (kind) {
        case MORTISE_OP_EMBED: return "embed";
        case MORTISE_OP_LINEAR: return "linear";
        case MORTISE_OP_NORM: return "norm";
        case MORTISE_OP_ROPE: return "rope";
        case MORTISE_OP_ATTENTION: return "attention";
        case MORTISE_OP_ACT_MUL: return "act_mul";
        case MORTISE_OP_ACT: return "act";
        case MORTISE_OP_ADD: return "add";
        case MORTISE_OP_SCALE: return "scale";
        case MORTISE_OP_SOFTCAP: return "softcap";
        case MORTISE_OP_MOE: return "moe";
        default: return "unknown";
    }
}

}  // namespace mortise::model
