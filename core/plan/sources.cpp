// Asks the scheme what a module on disk is, and holds the answer against the catalog.

#include <algorithm>

#include "plan/resolver.h"
#include "quant/layout.h"

namespace mortise::plan {
namespace {

std::string accepted_shapes(const quant::Field& field) {
    std::string out;
    for (const Shape& shape : field.shapes) out += (out.empty() ? "" : " or ") + to_string(shape);
    return out;
}

std::string accepted_dtypes(const quant::Field& field) {
    std::string out;
    for (DType dtype : field.dtypes) out += (out.empty() ? "" : " or ") + std::string(name(dtype));
    return out;
}

// Errors of one field against the tensor that should hold it.
void check_field(Resolver& r, const Source& source, const quant::Field& field,
                 const checkpoint::TensorEntry& tensor) {
    const std::string what = "the " + std::string(quant::role_name(field.role)) + " of " + source.name;
    Problem problem{.file = r.catalog().file_name(tensor), .tensor = tensor.name};
    if (!field.accepts(tensor.dtype)) {
        problem.code = Code::tensor_dtype;
        problem.what = what + " has the wrong element type";
        problem.expected = accepted_dtypes(field);
        problem.found = std::string(name(tensor.dtype)) + " " + to_string(tensor.shape);
        return r.problems.add(problem);
    }
    if (!field.accepts(tensor.shape)) {
        problem.code = Code::tensor_shape;
        problem.what = what + " has the wrong shape";
        problem.expected = accepted_shapes(field);
        problem.found = to_string(tensor.shape);
        problem.fix = "config and tensors contradict each other; take both from one download";
        return r.problems.add(problem);
    }
    const auto proof =
        quant::prove(field.layout, field.extent, field.stored_as(tensor.dtype).second, tensor.bytes * 8);
    if (!proof) r.problems.add(Error(proof.error()).in_tensor(tensor.name));
}

void add_obligations(Resolver& r, uint32_t id) {
    const Source& source = r.plan.sources[id];
    for (uint32_t f = 0; f < source.spec.fields.size(); ++f) {
        const quant::Field& field = source.spec.fields[f];
        if (source.tensors[f] == none) continue;
        const auto promise = [&](uint32_t flag, Promise kind, double value = 0) {
            if (field.has(flag)) r.plan.obligations.push_back({kind, source.tensors[f], id, f, value});
        };
        promise(MORTISE_FIELD_FINITE, Promise::finite);
        promise(MORTISE_FIELD_POSITIVE, Promise::positive);
        promise(MORTISE_FIELD_CONSTANT, Promise::constant, field.default_value);
        promise(MORTISE_FIELD_BELOW_GROUPS, Promise::below_groups,
                static_cast<double>(source.spec.column_groups()));
        promise(MORTISE_FIELD_DROP_IF_ZERO, Promise::zero);
        promise(MORTISE_FIELD_POWER_OF_TWO, Promise::power_of_two);
        if (field.role == MORTISE_ROLE_SHAPE)
            r.plan.obligations.push_back({Promise::equals_shape, source.tensors[f], id, f, 0});
    }
}

// Fields that no part will pull: stored shapes, unused companions, biases that must be zero.
void drop_fields(Resolver& r, uint32_t id) {
    const Source& source = r.plan.sources[id];
    for (uint32_t f = 0; f < source.spec.fields.size(); ++f) {
        const quant::Field& field = source.spec.fields[f];
        if (source.tensors[f] == none) continue;
        Drop drop{.tensor = source.tensors[f], .rule = field.drop_rule};
        if (field.role == MORTISE_ROLE_SHAPE) {
            drop.code = DropCode::stored_shape;
            drop.reason = "repeats the logical shape; checked against it";
        } else if (field.has(MORTISE_FIELD_DROP_IF_ZERO)) {
            drop.code = field.role == MORTISE_ROLE_BIAS ? DropCode::zero_bias : DropCode::scheme_role;
            drop.reason = "must be all zero";
        } else if (field.role == MORTISE_ROLE_UNUSED) {
            drop.code = DropCode::scheme_role;
            drop.reason = "declared unused by the scheme";
        } else {
            continue;
        }
        r.used[drop.tensor] = true;
        r.plan.drops.push_back(std::move(drop));
    }
}

}  // namespace

bool has_weights(const Resolver& r, const std::string& disk_module) {
    const std::string prefix = disk_module + ".";
    for (const checkpoint::TensorEntry& tensor : r.catalog().with_prefix(prefix))
        if (!r.of_cache.contains(&tensor)) return true;
    // A stack may be kept under the module's own name, without ".weight", and beside it with a suffix.
    return r.catalog().find(disk_module) || r.catalog().find(disk_module + "_blocks");
}

uint32_t find_source(Resolver& r, const ModuleQuery& query) {
    if (const auto known = r.source_ids.find(query.name); known != r.source_ids.end()) return known->second;
    r.source_ids[query.name] = none;
    auto source = r.scheme.ask(query);
    if (!source) {
        r.problems.add(source.error());
        // What lies there has been spoken of: it is no tensor that nobody knows.
        for (const char* end : {".", "_"})
            for (const checkpoint::TensorEntry& tensor : r.catalog().with_prefix(query.name + end))
                r.used[static_cast<size_t>(&tensor - r.catalog().tensors().data())] = true;
        return none;
    }
    const auto& tensors = r.catalog().tensors();
    for (quant::Field& field : source->spec.fields) {
        const checkpoint::TensorEntry* tensor = r.catalog().find(field.tensor);
        source->tensors.push_back(tensor ? static_cast<uint32_t>(tensor - tensors.data()) : none);
        if (tensor) {
            r.used[source->tensors.back()] = true;
            check_field(r, *source, field, *tensor);
            field.dtypes = {tensor->dtype};  // what is, of all that would be accepted: kernels may rely on it
        } else if (!field.has(MORTISE_FIELD_OPTIONAL) && !field.has(MORTISE_FIELD_DROP_IF_ZERO) &&
                   field.role != MORTISE_ROLE_UNUSED) {
            r.problems.add(Problem{.code = Code::tensor_missing,
                                   .what = "the " + std::string(quant::role_name(field.role)) + " of " +
                                           source->name + " is not in the checkpoint",
                                   .file = r.checkpoint.path,
                                   .tensor = field.tensor,
                                   .expected = accepted_dtypes(field) + " " + accepted_shapes(field),
                                   .found = "no such tensor",
                                   .fix = "the download is incomplete or the config names another format"});
        }
    }
    source->transposed = query.transposed;
    if (!source->note.empty()) r.plan.notes.push_back(source->name + ": " + source->note);
    const auto id = static_cast<uint32_t>(r.plan.sources.size());
    r.plan.sources.push_back(std::move(*source));
    add_obligations(r, id);
    drop_fields(r, id);
    return r.source_ids[query.name] = id;
}

}  // namespace mortise::plan
