// Finds each weight of the module tree in the checkpoint and plans this rank's share of it.

#include <algorithm>

#include "plan/resolver.h"

namespace mortise::plan {
namespace {

void missing(Resolver& r, const std::string& name) {
    r.problems.add(Problem{.code = Code::tensor_missing,
                           .what = "module " + name + " has no tensors",
                           .file = r.checkpoint.path,
                           .tensor = name,
                           .expected = name + ".*",
                           .found = "no such tensor",
                           .fix = "the download is incomplete, or config.json belongs to another model"});
}

void resolve_embedding(Resolver& r, uint32_t weight, const model::Embedding& embedding) {
    const std::string disk = r.names.on_disk(embedding.name).name;
    if (!has_weights(r, disk)) return;  // ties decide
    ModuleQuery query{.name = disk, .canonical = embedding.name, .kind = MORTISE_MODULE_EMBEDDING};
    query.rows = embedding.rows;
    query.columns = embedding.columns;
    query.part_names = {embedding.name};
    query.part_rows = {embedding.rows};
    PartPlan plan{
        .name = embedding.name, .weight = weight, .rows = embedding.rows, .columns = embedding.columns};
    plan.sources = {find_source(r, query)};
    plan.n_rows = embedding.rows;
    plan.n_columns = embedding.columns;
    r.parts_of_weight[weight].push_back(add_part(r, std::move(plan)));
}

// A vector's tensor may be aliased by its own name or by its module's.
const checkpoint::TensorEntry* find_vector(const Resolver& r, const std::string& canonical) {
    if (const auto* tensor = r.catalog().find(r.names.on_disk(canonical).name)) return tensor;
    const size_t dot = canonical.find_last_of('.');
    if (dot == std::string::npos) return nullptr;
    return r.catalog().find(r.names.on_disk(canonical.substr(0, dot)).name + canonical.substr(dot));
}

void resolve_vector(Resolver& r, uint32_t weight, const model::Vector& vector) {
    const checkpoint::TensorEntry* tensor = find_vector(r, vector.name);
    const auto rows = static_cast<int64_t>(vector.rows), columns = static_cast<int64_t>(vector.columns);
    const Shape want = vector.rows == 1 ? Shape{columns} : Shape{rows, columns};
    if (!tensor) return missing(r, vector.name);
    Problem problem{.file = r.catalog().file_name(*tensor), .tensor = tensor->name};
    const auto index = static_cast<uint32_t>(tensor - r.catalog().tensors().data());
    r.used[index] = true;
    if (tensor->dtype != DType::f32 && tensor->dtype != DType::f16 && tensor->dtype != DType::bf16 &&
        tensor->dtype != DType::f64) {
        problem.code = Code::tensor_dtype;
        problem.what = "a float parameter has the wrong element type";
        problem.expected = "F32 or BF16 or F16";
        problem.found = std::string(name(tensor->dtype));
        return r.problems.add(problem);
    }
    if (tensor->shape != want && !(vector.rows == 1 && tensor->shape == Shape{1, columns})) {
        problem.code = Code::tensor_shape;
        problem.what = "a float parameter has the wrong shape";
        problem.expected = to_string(want);
        problem.found = to_string(tensor->shape);
        return r.problems.add(problem);
    }
    VectorPlan plan{.weight = weight,
                    .tensor = index,
                    .rows = vector.rows,
                    .columns = vector.columns,
                    .n_columns = vector.columns};
    if (vector.partition != model::Partition::replicated) {
        const auto range =
            share(vector.columns, vector.units, vector.units, r.options.rank, r.options.size, vector.name);
        if (!range) return r.problems.add(range.error());
        plan.first_column = range->first;
        plan.n_columns = range->count;
    }
    plan.parameter = static_cast<uint32_t>(r.plan.parameters.size());
    r.plan.parameters.push_back({vector.name, MORTISE_ROLE_NONE, {1, vector.rows, plan.n_columns}, false, 0});
    Move move{.tensor = index, .parameter = plan.parameter};
    move.source = {{0, 0, plan.first_column}, {1, vector.rows, plan.first_column + plan.n_columns}};
    move.destination = {{0, 0, 0}, {1, vector.rows, plan.n_columns}};
    if (tensor->dtype != DType::f32) move.transforms.push_back(Transform::widen);
    if (plan.n_columns != vector.columns) move.transforms.push_back(Transform::slice);
    r.plan.moves.push_back(std::move(move));
    r.plan.obligations.push_back({Promise::finite, index, none, none, 0});
    r.plan.vectors.push_back(plan);
}

}  // namespace

Result<Range> share(uint64_t extent, uint64_t units, uint64_t most_units, uint32_t rank, uint32_t size,
                    const std::string& name) {
    const uint64_t unit = extent / units;
    if (units % size == 0) return Range{rank * (units / size) * unit, units / size * unit};
    // Fewer key/value heads than ranks: neighbours hold the same head, as long as the query heads divide.
    if (size % units == 0 && units < most_units && most_units % size == 0)
        return Range{rank / (size / units) * unit, unit};
    return fail(
        Problem{.code = Code::partition_indivisible,
                .what = "cannot be split evenly over the ranks",
                .tensor = name,
                .expected = "a number of units divisible by " + std::to_string(size),
                .found = std::to_string(units) + " units of " + std::to_string(unit),
                .fix = "choose a tensor-parallel size that divides the heads and the intermediate size"});
}

void resolve_weights(Resolver& r) {
    const auto& weights = r.plan.tree.weights;
    // Embeddings first: whether a quantized head is redundant depends on them.
    for (uint32_t w = 0; w < weights.size(); ++w)
        if (const auto* embedding = std::get_if<model::Embedding>(&weights[w]))
            resolve_embedding(r, w, *embedding);
    for (uint32_t w = 0; w < weights.size(); ++w) {
        if (const auto* linear = std::get_if<model::Linear>(&weights[w]);
            linear && !drop_redundant_head(r, w))
            if (linear->experts == 1) resolve_linear(r, w, *linear);
        if (const auto* vector = std::get_if<model::Vector>(&weights[w])) resolve_vector(r, w, *vector);
    }
    resolve_banks(r);
    resolve_ties(r);
}

}  // namespace mortise::plan
