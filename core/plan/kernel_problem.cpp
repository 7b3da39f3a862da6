#include "plan/kernel_problem.h"

namespace mortise::plan {

KernelProblem::KernelProblem() = default;
KernelProblem::~KernelProblem() = default;

namespace {

mortise_kernel_part part_of(const ProblemPart& from, const quant::AbiSpec& spec) {
    mortise_kernel_part part{};
    part.head = {sizeof part, MORTISE_ABI_MINOR};
    part.spec = &spec.abi();
    part.experts = from.experts;
    part.rows = from.rows;
    part.columns = from.columns;
    part.first_row = from.first_row;
    part.first_column = from.first_column;
    part.column_group = spec.spec().column_group();
    part.indexed = spec.spec().indexed();
    part.has_bias = from.has_bias;
    part.row_scales_vary = spec.spec().row_scales_vary();
    return part;
}

}  // namespace

std::shared_ptr<const KernelProblem> KernelProblem::make(uint32_t kind, const model::Op& op,
                                                         std::vector<uint64_t> input_widths,
                                                         std::vector<uint64_t> output_widths,
                                                         const std::vector<ProblemPart>& parts,
                                                         const ProblemFacts& facts) {
    std::shared_ptr<KernelProblem> p(new KernelProblem);
    p->attributes_ = op.attributes;
    for (const model::Attribute& a : p->attributes_)
        p->abi_attributes_.push_back({a.key, static_cast<uint32_t>(a.array.size()), a.integer, a.real,
                                      a.array.empty() ? nullptr : a.array.data()});
    p->input_widths_ = std::move(input_widths);
    p->output_widths_ = std::move(output_widths);
    for (const ProblemPart& part : parts) p->specs_.push_back(std::make_unique<quant::AbiSpec>(*part.spec));
    for (size_t i = 0; i < parts.size(); ++i) p->parts_.push_back(part_of(parts[i], *p->specs_[i]));
    for (const mortise_kernel_part& part : p->parts_) p->part_pointers_.push_back(&part);
    mortise_problem& abi = p->abi_;
    abi.head = {sizeof abi, MORTISE_ABI_MINOR};
    abi.kind = kind;
    abi.gather = facts.gather;
    abi.activations = facts.activations;
    abi.cache_encoding = facts.cache_encoding;
    abi.cache_flags = facts.cache_flags;
    abi.n_attrs = static_cast<uint32_t>(p->abi_attributes_.size());
    abi.n_inputs = static_cast<uint32_t>(p->input_widths_.size());
    abi.n_outputs = static_cast<uint32_t>(p->output_widths_.size());
    abi.n_parts = static_cast<uint32_t>(p->parts_.size());
    abi.attrs = p->abi_attributes_.data();
    abi.input_widths = p->input_widths_.data();
    abi.output_widths = p->output_widths_.data();
    abi.parts = p->part_pointers_.data();
    abi.max_rows = facts.max_rows;
    abi.threads = facts.threads;
    abi.device_kind = facts.device_kind;
    p->members_ = facts.members;
    abi.members = p->members_.empty() ? nullptr : p->members_.data();
    abi.accumulate = facts.accumulate;
    return p;
}

}  // namespace mortise::plan
