// The proof. Reads moves, drops and the catalog; knows nothing of how the plan was made.

#include <algorithm>
#include <map>
#include <set>

#include "plan/plan.h"

namespace mortise::plan {
namespace {

uint64_t volume_of(const std::array<uint64_t, 3>& extent) { return extent[0] * extent[1] * extent[2]; }

bool inside(const Box& box, const std::array<uint64_t, 3>& extent) {
    for (int d = 0; d < 3; ++d)
        if (box.begin[d] > box.end[d] || box.end[d] > extent[d]) return false;
    return true;
}

bool overlap(const Box& a, const Box& b) {
    for (int d = 0; d < 3; ++d)
        if (a.end[d] <= b.begin[d] || b.end[d] <= a.begin[d]) return false;
    return true;
}

// Two boxes that overlap, or none. Sorted sweep along experts and rows keeps banks of experts quick.
const Box* first_overlap(std::vector<const Box*> boxes) {
    std::sort(boxes.begin(), boxes.end(), [](const Box* a, const Box* b) { return a->begin < b->begin; });
    for (size_t i = 0; i < boxes.size(); ++i)
        for (size_t j = i + 1; j < boxes.size() && boxes[j]->begin[0] < boxes[i]->end[0]; ++j)
            if (overlap(*boxes[i], *boxes[j])) return boxes[j];
    return nullptr;
}

// Elements covered by boxes that may overlap, counted on the grid of their own borders.
uint64_t covered(const std::vector<Box>& boxes) {
    std::array<std::vector<uint64_t>, 3> cuts;
    for (const Box& box : boxes)
        for (int d = 0; d < 3; ++d) {
            cuts[d].push_back(box.begin[d]);
            cuts[d].push_back(box.end[d]);
        }
    for (auto& axis : cuts) {
        std::sort(axis.begin(), axis.end());
        axis.erase(std::unique(axis.begin(), axis.end()), axis.end());
    }
    uint64_t sum = 0;
    for (size_t x = 0; x + 1 < cuts[0].size(); ++x)
        for (size_t y = 0; y + 1 < cuts[1].size(); ++y)
            for (size_t z = 0; z + 1 < cuts[2].size(); ++z) {
                const Box cell{{cuts[0][x], cuts[1][y], cuts[2][z]},
                               {cuts[0][x + 1], cuts[1][y + 1], cuts[2][z + 1]}};
                if (std::any_of(boxes.begin(), boxes.end(),
                                [&](const Box& box) { return overlap(box, cell); }))
                    sum += cell.volume();
            }
    return sum;
}

// Effect: adds the weights of this rank's part; banks of one layer share a name and hold experts of their
// own.
void add_weights(const PartPlan& part, std::vector<Box>& boxes) {
    const uint64_t pieces = part.members.empty() ? 1 : part.members.size(), experts = part.experts / pieces;
    for (uint64_t i = 0; i < pieces; ++i)
        boxes.push_back(
            {{part.number(i), part.first_row, part.first_column},
             {part.number(i) + experts, part.first_row + part.n_rows, part.first_column + part.n_columns}});
}

Problem broken(std::string what, std::string subject, std::string expected, std::string found) {
    return {.code = Code::plan_incomplete,
            .what = std::move(what),
            .tensor = std::move(subject),
            .expected = std::move(expected),
            .found = std::move(found),
            .fix = "the plan is wrong: report this with the checkpoint's config and headers"};
}

// I1: the boxes of each parameter tile it exactly.
void prove_parameters(const LoadPlan& plan, Problems& problems) {
    std::vector<std::vector<const Box*>> boxes(plan.parameters.size());
    for (const Move& move : plan.moves)
        if (move.parameter < boxes.size()) boxes[move.parameter].push_back(&move.destination);
    for (size_t p = 0; p < plan.parameters.size(); ++p) {
        const Parameter& parameter = plan.parameters[p];
        uint64_t sum = 0;
        bool fits = true;
        for (const Box* box : boxes[p]) {
            sum += box->volume();
            fits &= inside(*box, parameter.extent);
        }
        if (boxes[p].empty() && parameter.optional) continue;
        const Box* twice = first_overlap(boxes[p]);
        if (fits && !twice && sum == volume_of(parameter.extent)) continue;
        problems.add(broken("a parameter is not written exactly once",
                            parameter.owner + " role " + std::to_string(parameter.role),
                            std::to_string(volume_of(parameter.extent)) + " elements, each once",
                            twice ? "twice at " + to_string(*twice) : std::to_string(sum) + " elements"));
    }
}

// I2: each tensor is consumed or dropped, and not both.
void prove_tensors(const LoadPlan& plan, const checkpoint::Catalog& catalog, Problems& problems) {
    std::vector<uint8_t> state(catalog.size(), 0);  // 1 consumed, 2 dropped
    for (const Move& move : plan.moves) {
        if (move.tensor >= catalog.size() || move.parameter >= plan.parameters.size()) {
            problems.add(
                broken("a move names a tensor or parameter that does not exist", "", "an index", "none"));
            continue;
        }
        state[move.tensor] |= 1;
    }
    for (const Drop& drop : plan.drops) {
        if (drop.tensor < catalog.size()) state[drop.tensor] |= 2;
        if (name(drop.code) == "?")
            problems.add(
                broken("a drop has no coded rule", catalog.tensors()[drop.tensor].name, "a rule", "?"));
    }
    for (size_t t = 0; t < state.size(); ++t) {
        const checkpoint::TensorEntry& tensor = catalog.tensors()[t];
        if (state[t] == 1 || state[t] == 2) continue;
        Problem problem{.code = state[t] ? Code::plan_incomplete : Code::tensor_unexpected,
                        .file = catalog.file_name(tensor),
                        .tensor = tensor.name};
        problem.what = state[t] ? "a tensor is both consumed and dropped"
                                : "a tensor is neither consumed nor dropped by a rule";
        problem.expected = "exactly one of the two";
        problem.found = to_string(tensor.dtype, tensor.shape);
        problems.add(problem);
    }
}

// I3: boxes lie inside the fields they read and source and destination hold equally many elements, unless the
// move permutes rows out of a larger box or repeats one expert's field for all.
void prove_moves(const LoadPlan& plan, Problems& problems) {
    std::map<uint32_t, std::array<uint64_t, 3>> extents;
    for (const Source& source : plan.sources)
        for (size_t f = 0; f < source.spec.fields.size(); ++f)
            if (source.tensors[f] != none) {
                const auto& e = source.spec.fields[f].extent;
                auto& known = extents[source.tensors[f]];
                for (int d = 0; d < 3; ++d)
                    known[d] = std::max(known[d], std::array{e.experts, e.rows, e.columns}[d]);
            }
    for (const VectorPlan& vector : plan.vectors) extents[vector.tensor] = {1, vector.rows, vector.columns};
    for (const Move& move : plan.moves) {
        if (move.parameter >= plan.parameters.size()) continue;
        const bool permutes = std::find(move.transforms.begin(), move.transforms.end(),
                                        Transform::permute_rows) != move.transforms.end();
        const uint64_t from = move.source.volume(), to = move.destination.volume();
        const bool same =
            permutes ? from >= to
                     : from == to || from * (move.destination.end[0] - move.destination.begin[0]) == to;
        if (!inside(move.source, extents[move.tensor]) || !same || to == 0)
            problems.add(broken("a move does not fit", plan.parameters[move.parameter].owner,
                                to_string(move.destination), to_string(move.source)));
    }
}

}  // namespace

uint64_t Box::volume() const {
    uint64_t v = 1;
    for (int d = 0; d < 3; ++d) v *= end[d] - begin[d];
    return v;
}

std::string to_string(const Box& box) {
    std::string out = "[";
    for (int d = 0; d < 3; ++d)
        out += (d ? ", " : "") + std::to_string(box.begin[d]) + ":" + std::to_string(box.end[d]);
    return out + "]";
}

std::string_view name(Transform transform) {
    switch (transform) {
        case Transform::reshape: return "reshape";
        case Transform::slice: return "slice";
        case Transform::transpose: return "transpose";
        case Transform::relayout: return "relayout";
        case Transform::widen: return "widen";
        case Transform::permute_rows: return "permute_rows";
        case Transform::decode: return "decode";
        case Transform::quantize: return "quantize";
    }
    return "?";
}

Status prove(const LoadPlan& plan, const checkpoint::Catalog& catalog) {
    Problems problems;
    prove_parameters(plan, problems);
    prove_tensors(plan, catalog, problems);
    prove_moves(plan, problems);
    return std::move(problems).status();
}

Status prove_union(const std::vector<const LoadPlan*>& ranks, const LoadPlan& whole) {
    Problems problems;
    // Every element of a tensor that one rank alone reads is read by some rank.
    std::map<uint32_t, std::vector<Box>> one, all;
    for (const Move& move : whole.moves) one[move.tensor].push_back(move.source);
    for (const LoadPlan* rank : ranks)
        for (const Move& move : rank->moves) all[move.tensor].push_back(move.source);
    for (const auto& [tensor, boxes] : one) {
        const uint64_t want = covered(boxes), got = covered(all[tensor]);
        if (want != got)
            problems.add(broken("the ranks together do not read a tensor whole", std::to_string(tensor),
                                std::to_string(want) + " elements", std::to_string(got) + " elements"));
    }
    // Every weight of a part is on some rank.
    std::map<std::string, std::vector<Box>> want, got;
    for (const PartPlan& part : whole.parts) add_weights(part, want[part.name]);
    for (const LoadPlan* rank : ranks)
        for (const PartPlan& part : rank->parts) add_weights(part, got[part.name]);
    for (const auto& [name, boxes] : want)
        if (covered(boxes) != covered(got[name]))
            problems.add(broken("the ranks together do not hold a part whole", name,
                                std::to_string(covered(boxes)) + " weights",
                                std::to_string(covered(got[name])) + " weights"));
    return std::move(problems).status();
}

}  // namespace mortise::plan
