// Inputs that are multiplied by a block-diagonal matrix before a linear sees them, as a `transform_config` of
// a quantization config describes them. What is folded into stored weights needs no work and is passed over.
//
// Reads the config once; then one thread.
#pragma once

#include <cmath>
#include <map>
#include <utility>

#include "mortise/sdk/quant.h"
#include "mortise/sdk/rules.h"

namespace mortise::sdk {

class Rotations {
  public:
    // Errors: Unsupported for a place or a kind that would change what a linear's input cannot express.
    void read(const Config& transforms) {
        const Config schemes = transforms["config_groups"];
        for (uint64_t s = 0; s < schemes.size(); ++s) {
            const Config scheme = schemes.at(s);
            const std::string kind = scheme.one_of("type", {"hadamard", "random-hadamard", "random-matrix"});
            scheme.ignore({"precision", "requires_grad"});
            const bool shuffled = scheme.get<bool>("randomize", false);
            const auto block = scheme.get<uint64_t>("head_dim", 0);
            const Config places = scheme["apply"];
            for (uint64_t p = 0; p < places.size(); ++p) {
                const Config place = places.at(p);
                const std::string where =
                    place.one_of("location", {"input", "weight_input", "weight_output"});
                if (where != "input") {
                    place.ignore_all();
                    continue;
                }
                if (shuffled)
                    throw Unsupported(
                        {.what = "shuffled rotations are not supported", .node = scheme.node()});
                read(place, schemes.key(s), block, kind != "random-matrix");
            }
        }
    }

    // Effect: adds the rotation of this module's input, if it has one.
    // Errors: Refused if its matrix cannot be told; Unsupported for a second one.
    void rotate(Spec& spec, const Checkpoint& checkpoint, const mortise_module& module) {
        for (Each& each : all_) {
            const bool wanted = each.targets.find(module) != nullptr,
                       ignored = each.ignore.find(module) != nullptr;
            if (!wanted || ignored) continue;
            const std::string name(view(module.name));
            if (spec->rotation_block != 0 || module.kind == MORTISE_MODULE_EMBEDDING)
                throw Unsupported({.what = "this input cannot be rotated, or not twice",
                                   .subject = name,
                                   .node = each.node.node()});
            const uint64_t block = each.block != 0 ? each.block : module.columns;
            const Tensor matrix = matrix_of(each, checkpoint, block, name);
            spec->rotation_block = static_cast<uint32_t>(block);
            spec->rotation_factor = each.orthogonal ? 1 / std::sqrt(static_cast<double>(block)) : 1;
            mortise_field& field = spec.field(MORTISE_ROLE_ROTATION, matrix.name,
                                              {MORTISE_DTYPE_F64, MORTISE_DTYPE_F32, MORTISE_DTYPE_BF16},
                                              {shape_of({block, block})});
            for (uint32_t& dtype : field.dtypes)  // as it is stored, when it is written again
                if (dtype == matrix.dtype) std::swap(dtype, field.dtypes[0]);
            field.rows = field.columns = block;
            field.flags = MORTISE_FIELD_FINITE;
            if (!each.transposed) continue;
            field.bits = bits_of(matrix.dtype);
            field.layout = column_major(field.bits, block);
        }
    }

    void report(mortise_rule_visitor visit, void* context) const {
        for (const Each& each : all_) {
            each.targets.report(visit, context);
            each.ignore.report(visit, context);
        }
    }

  private:
    struct Each {
        Rules targets, ignore;
        std::string leaf;        // ".v_input.weight": what follows the module that keeps the matrix
        uint64_t block = 0;      // 0 = the whole width
        bool orthogonal = true;  // entries are +1 and -1; the inverse is the transpose
        bool transposed = false;
        Config node;
        std::map<uint64_t, std::vector<std::string>> matrices;  // of each size asked for
    };

    // Of matrices that are not orthogonal the file holds the inverse itself where that is meant.
    void read(const Config& place, const std::string& scheme, uint64_t block, bool orthogonal) {
        const std::string key = "transform_config." + scheme;
        all_.push_back({.targets = Rules(place["targets"], key + ".targets", exact_or_regex),
                        .ignore = Rules(place["ignore"], key + ".ignore", exact_or_regex),
                        .leaf = "." + scheme + "_input.weight",
                        .block = block,
                        .orthogonal = orthogonal,
                        .transposed = place.get<bool>("inverse", false) && orthogonal,
                        .node = place});
    }

    // The matrix is stored once for all modules that need its size, under one of them. A deterministic one is
    // read too: a file without it has lost a tensor.
    static Tensor matrix_of(Each& each, const Checkpoint& checkpoint, uint64_t block,
                            const std::string& name) {
        if (auto own = checkpoint.tensor(name + each.leaf)) return *own;
        const auto [found, first] = each.matrices.try_emplace(block);
        if (first)
            checkpoint.each_below("", [&, &names = found->second](const mortise_tensor& tensor) {
                if (view(tensor.name).ends_with(each.leaf) && tensor.rank == 2 &&
                    tensor.shape[0] == static_cast<int64_t>(block))
                    names.emplace_back(view(tensor.name));
            });
        if (found->second.size() == 1) return *checkpoint.tensor(found->second[0]);
        throw Refused({.what = "the matrix that rotates its input cannot be told",
                       .subject = name,
                       .expected = name + each.leaf + ", or one *" + each.leaf + " elsewhere, with " +
                                   std::to_string(block) + " rows",
                       .found = std::to_string(found->second.size()),
                       .node = each.node.node()});
    }

    std::vector<Each> all_;
};

}  // namespace mortise::sdk
