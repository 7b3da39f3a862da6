#include "plan/arena.h"

#include <algorithm>

namespace mortise::plan {
namespace {

// Ops that change each element of a row on its own, so that they may work in place on the result rows.
bool elementwise(uint32_t kind) {
    return kind == MORTISE_OP_SCALE || kind == MORTISE_OP_SOFTCAP || kind == MORTISE_OP_ACT;
}

uint32_t producer(const std::vector<Step>& steps, uint32_t value, uint32_t before) {
    for (uint32_t s = before; s-- > 0;)
        if (std::ranges::find(steps[s].outputs, value) != steps[s].outputs.end()) return s;
    return none;
}

// Walks back from the logits over elementwise steps to the head. The tail must be the very end of the program
// and a straight line: every step reads what the one before it wrote.
void find_tail(const model::ModuleTree& tree, const std::vector<Step>& steps, Arena& arena) {
    uint32_t value = tree.logits;
    auto end = static_cast<uint32_t>(steps.size());
    while (end > 0) {
        const uint32_t s = producer(steps, value, end);
        if (s == none || s + 1 != end || steps[s].outputs.size() != 1) return;
        const model::Op& op = tree.ops[steps[s].op];
        if (op.inputs.size() != 1) return;
        if (op.kind == MORTISE_OP_LINEAR) {
            arena.tail = s;
            arena.tail_input = op.inputs[0];
            return;
        }
        if (!elementwise(op.kind)) return;
        value = op.inputs[0];
        end = s;
    }
}

struct Piece {
    uint64_t begin, end;
};

// The lowest gap that holds `bytes` between the pieces in use.
uint64_t first_fit(const std::vector<Piece>& used, uint64_t bytes) {
    uint64_t at = 0;
    for (const Piece& piece : used) {
        if (at + bytes <= piece.begin) return at;
        at = std::max(at, piece.end);
    }
    return at;
}

std::vector<uint32_t> last_uses(const model::ModuleTree& tree, const std::vector<Step>& steps) {
    std::vector<uint32_t> last(tree.widths.size(), 0);
    for (uint32_t s = 0; s < steps.size(); ++s) {
        for (uint32_t value : tree.ops[steps[s].op].inputs) last[value] = s;
        for (uint32_t value : steps[s].outputs) last[value] = std::max(last[value], s);
    }
    if (tree.logits < last.size()) last[tree.logits] = none;
    return last;
}

}  // namespace

Arena arrange(const model::ModuleTree& tree, const std::vector<Step>& steps, uint64_t max_rows) {
    Arena arena;
    arena.offsets.assign(tree.widths.size(), Arena::outside);
    find_tail(tree, steps, arena);
    const std::vector<uint32_t> last = last_uses(tree, steps);
    std::vector<std::pair<Piece, uint32_t>> live;  // ascending by place; with the value's last use
    for (uint32_t s = 0; s < steps.size(); ++s) {
        if (arena.in_tail(s)) break;
        std::erase_if(live, [&](const auto& entry) { return entry.second != none && entry.second < s; });
        for (uint32_t value : steps[s].outputs) {
            if (arena.offsets[value] != Arena::outside) continue;  // a later bank of experts adds to it
            std::vector<Piece> used;
            used.reserve(live.size());
            for (const auto& entry : live) used.push_back(entry.first);
            uint64_t bytes = max_rows * tree.widths[value] * sizeof(float);
            bytes = (bytes + Arena::alignment - 1) / Arena::alignment * Arena::alignment;
            const uint64_t at = first_fit(used, bytes);
            arena.offsets[value] = at;
            arena.bytes = std::max(arena.bytes, at + bytes);
            live.push_back({{at, at + bytes}, last[value]});
            std::ranges::sort(live, {}, [](const auto& entry) { return entry.first.begin; });
        }
    }
    return arena;
}

}  // namespace mortise::plan
