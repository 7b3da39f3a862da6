// Heads and embeddings that are, or may be, one table. Decided from what the checkpoint holds and from the
// governing config; what cannot be told is refused.

#include "plan/resolver.h"

namespace mortise::plan {
namespace {

const model::Tie* tie_of(const Resolver& r, uint32_t head) {
    for (const model::Tie& tie : r.plan.tree.ties)
        if (tie.head == head) return &tie;
    return nullptr;
}

void missing(Resolver& r, const std::string& name, const std::string& other, const std::string& fix) {
    r.problems.add(
        Problem{.code = Code::tensor_missing,
                .what = "module " + name + " has no tensors and the config does not tie it to " + other,
                .file = r.checkpoint.path,
                .tensor = name,
                .expected = r.names.on_disk(name).name + ".*",
                .found = "no such tensor",
                .fix = fix});
}

}  // namespace

bool drop_redundant_head(Resolver& r, uint32_t head) {
    const model::Tie* tie = tie_of(r, head);
    const auto embedding = tie ? r.parts_of_weight.find(tie->embedding) : r.parts_of_weight.end();
    if (!tie || !tie->tied || embedding == r.parts_of_weight.end()) return false;
    const auto& linear = std::get<model::Linear>(r.plan.tree.weights[head]);
    const std::string& name = linear.parts[0].name;
    if (!has_weights(r, r.names.on_disk(name).name)) return false;
    ModuleQuery query = query_of(r, name, linear, linear.parts[0].rows);
    query.part_names = {name};
    query.part_rows = {linear.parts[0].rows};
    const uint32_t id = find_source(r, query);
    const uint32_t table = r.plan.parts[embedding->second[0]].sources[0];
    if (id == none || table == none) return id == none;  // the problem is reported already
    if (r.plan.sources[id].plain || !r.plan.sources[table].plain) return false;
    r.plan.sources[id].dropped = true;
    for (uint32_t tensor : r.plan.sources[id].tensors)
        if (tensor != none)
            r.plan.drops.push_back(
                {tensor, DropCode::redundant_head, "redundant_head",
                 "the config ties the head to the float embedding; this quantized copy is redundant"});
    r.parts_of_weight[head] = embedding->second;
    return true;
}

void resolve_ties(Resolver& r) {
    for (const model::Tie& tie : r.plan.tree.ties) {
        const std::string& head = std::get<model::Linear>(r.plan.tree.weights[tie.head]).parts[0].name;
        const std::string& embedding = std::get<model::Embedding>(r.plan.tree.weights[tie.embedding]).name;
        auto& heads = r.parts_of_weight[tie.head];
        auto& embeddings = r.parts_of_weight[tie.embedding];
        if (heads.empty() && embeddings.empty()) {
            missing(r, embedding, head, "the download is incomplete");
        } else if (heads.empty()) {
            if (!tie.tied && !r.options.accept_missing_head) {
                missing(r, head, embedding,
                        "if the model is tied after all, say so with --accept-missing-head");
                continue;
            }
            if (!tie.tied)
                r.plan.notes.push_back(head +
                                       " is missing under an untied config; accepted as tied by request");
            heads = embeddings;
        } else if (embeddings.empty()) {
            if (!tie.tied) {
                missing(r, embedding, head, "the download is incomplete");
                continue;
            }
            embeddings = heads;
        } else if (tie.tied && heads != embeddings) {
            r.plan.notes.push_back("the config ties " + head + " to " + embedding +
                                   ", and both are present: planned as two");
        }
    }
    for (uint32_t w = 0; w < r.plan.tree.weights.size(); ++w) {
        const auto* table = std::get_if<model::Embedding>(&r.plan.tree.weights[w]);
        const auto* linear = std::get_if<model::Linear>(&r.plan.tree.weights[w]);
        bool tied = false;
        for (const model::Tie& tie : r.plan.tree.ties) tied |= tie.head == w || tie.embedding == w;
        if (tied || !r.parts_of_weight[w].empty()) continue;
        if (table) missing(r, table->name, "anything", "the download is incomplete");
        if (linear && linear->head)
            missing(r, linear->parts[0].name, "anything", "the download is incomplete");
    }
}

}  // namespace mortise::plan
