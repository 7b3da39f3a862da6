// Builds a ModuleTree step by step and refuses what cannot be a model, at the step that is wrong.
//
// The ABI's builder table is a thin cover over this class (core/plan). One thread.
#pragma once

#include <span>
#include <unordered_set>

#include "model/tree.h"

namespace mortise::model {

class Builder {
  public:
    // Each adds a weight and returns its id. Errors: internal for a contradiction in the description
    // (zero extent, rows no multiple of units, name used twice, map outside the fused rows).
    Result<uint32_t> add(Linear linear);
    Result<uint32_t> add(Embedding embedding);
    Result<uint32_t> add(Vector vector);

    // Appends an op and gives it fresh output values, whose widths follow from the kind.
    // Errors: internal when an input or weight id is unknown, an attribute is missing or widths do not fit.
    Result<std::vector<uint32_t>> add(Op op, uint32_t n_outputs);

    void set_logits(uint32_t value) { tree_.logits = value; }
    void tie(Tie tie) { tree_.ties.push_back(tie); }
    void alias(Alias alias) { tree_.aliases.push_back(std::move(alias)); }
    void root(Root root) { tree_.roots.push_back(std::move(root)); }
    void drop(DropRule rule) { tree_.drops.push_back(std::move(rule)); }
    void limits(uint64_t vocabulary, uint64_t max_positions, DType dtype);

    // Effect: the finished tree. Errors: internal when there are no logits, a weight is used by no op, or
    // two attentions share a cache index.
    Result<ModuleTree> take() &&;

  private:
    Status claim(const std::string& name);
    Result<std::vector<uint64_t>> output_widths(const Op& op) const;

    ModuleTree tree_;
    std::unordered_set<std::string> names_;
};

}  // namespace mortise::model
