// Records what an architecture writes down. The config is config.json of the fake host.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/fake_host.h"

namespace mortise::test {

struct Built {
    struct Linear {
        std::vector<std::string> parts, fusions;
        std::vector<uint64_t> rows, units;
        std::vector<bool> bias;
        uint64_t columns, experts;
        uint32_t partition;
        bool head;
    };
    struct Op {
        uint32_t kind;
        std::string name;
        std::map<uint32_t, mortise_attr> attrs;
        std::vector<float> frequencies;
        std::vector<uint32_t> inputs, weights, outputs;
    };
    struct Alias {
        std::string space, theirs;
        bool permuted;
    };
    std::map<uint32_t, Linear> linears;
    std::vector<std::string> embeddings, vectors, drops;
    std::vector<Op> ops;
    std::map<std::string, Alias> aliases;  // of each name the first
    uint32_t logits = MORTISE_NONE, weights = 0, values = 0;
    int ties = 0, tied = -1;
    std::string broken;  // a use of the border that the host would refuse

    const Linear* linear(const std::string& part) const {
        for (const auto& [id, each] : linears)
            for (const std::string& name : each.parts)
                if (name == part) return &each;
        return nullptr;
    }
    std::vector<const Op*> of(uint32_t kind) const {
        std::vector<const Op*> out;
        for (const Op& op : ops)
            if (op.kind == kind) out.push_back(&op);
        return out;
    }
};

inline Built& built(mortise_builder* b) { return *reinterpret_cast<Built*>(b); }

inline uint32_t record_linear(mortise_builder* b, const mortise_linear* l) {
    Built::Linear out{.columns = l->columns,
                      .experts = l->experts,
                      .partition = l->partition,
                      .head = l->head_of_model != 0};
    for (uint32_t p = 0; p < l->n_parts; ++p) {
        out.parts.push_back(copy(l->parts[p].name));
        out.rows.push_back(l->parts[p].rows);
        out.units.push_back(l->parts[p].units);
        out.bias.push_back(l->parts[p].bias != 0);
    }
    for (uint32_t f = 0; f < l->n_fusions; ++f) out.fusions.push_back(copy(l->fusions[f].name));
    const uint32_t id = built(b).weights++;
    built(b).linears[id] = std::move(out);
    return id;
}

inline mortise_status record_op(mortise_builder* b, const mortise_op* op, uint32_t* outputs) {
    Built::Op out{.kind = op->kind, .name = copy(op->name)};
    for (uint32_t a = 0; a < op->n_attrs; ++a) {
        if (!out.attrs.emplace(op->attrs[a].key, op->attrs[a]).second) built(b).broken += "attribute twice; ";
        if (op->attrs[a].key == MORTISE_ATTR_FREQUENCIES)
            out.frequencies.assign(op->attrs[a].array, op->attrs[a].array + op->attrs[a].n);
    }
    for (uint32_t i = 0; i < op->n_inputs; ++i) {
        if (op->inputs[i] >= built(b).values) built(b).broken += "input that does not exist; ";
        out.inputs.push_back(op->inputs[i]);
    }
    for (uint32_t w = 0; w < op->n_weights; ++w) {
        if (op->weights[w] >= built(b).weights) built(b).broken += "weight that does not exist; ";
        out.weights.push_back(op->weights[w]);
    }
    for (uint32_t o = 0; o < op->n_outputs; ++o) out.outputs.push_back(outputs[o] = built(b).values++);
    built(b).ops.push_back(std::move(out));
    return MORTISE_OK;
}

inline const mortise_builder_api& recorder() {
    static const mortise_builder_api api = [] {
        mortise_builder_api t{};
        t.head.size = sizeof t;
        t.config = [](mortise_builder*) {
            return FakeHost::instance().table()->checkpoint->document(nullptr, {"config.json", 11});
        };
        t.linear = record_linear;
        t.embedding = [](mortise_builder* b, const mortise_embedding* e) {
            return built(b).embeddings.push_back(copy(e->name)), built(b).weights++;
        };
        t.vector = [](mortise_builder* b, const mortise_vector* v) {
            return built(b).vectors.push_back(copy(v->name)), built(b).weights++;
        };
        t.op = record_op;
        t.logits = [](mortise_builder* b, uint32_t value) {
            if (built(b).logits != MORTISE_NONE) built(b).broken += "logits twice; ";
            built(b).logits = value;
        };
        t.tie = [](mortise_builder* b, uint32_t, uint32_t, uint8_t tied) {
            built(b).ties++, built(b).tied = tied;
        };
        t.alias = [](mortise_builder* b, const mortise_alias* a) {
            built(b).aliases.try_emplace(
                copy(a->canonical), Built::Alias{copy(a->name_space), copy(a->theirs), a->rows != nullptr});
        };
        t.root = [](mortise_builder*, mortise_str, mortise_str) {};
        t.drop = [](mortise_builder* b, uint32_t, mortise_str pattern, mortise_str rule, mortise_str reason) {
            if (rule.size == 0 || reason.size == 0) built(b).broken += "a drop without rule or reason; ";
            built(b).drops.push_back(copy(pattern));
        };
        t.limits = [](mortise_builder*, uint64_t, uint64_t, uint32_t) {};
        return t;
    }();
    return api;
}

}  // namespace mortise::test
