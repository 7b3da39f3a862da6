// What becomes of tensors that no part pulls: the KV cache's scales, legal drops, and the rest, which is an
// error.

#include <array>

#include "plan/patterns.h"
#include "plan/resolver.h"

namespace mortise::plan {
namespace {

struct Named {
    DropCode code;
    std::string_view name;
};
constexpr std::array<Named, 11> drop_names = {{{DropCode::rotary_cache, "rotary_cache"},
                                               {DropCode::attention_mask, "attention_mask"},
                                               {DropCode::zero_bias, "zero_bias"},
                                               {DropCode::redundant_head, "redundant_head"},
                                               {DropCode::draft_layer, "draft_layer"},
                                               {DropCode::other_rank, "other_rank"},
                                               {DropCode::cache_scale_unused, "cache_scale_unused"},
                                               {DropCode::dynamic_input_scale, "dynamic_input_scale"},
                                               {DropCode::side_tower, "side_tower"},
                                               {DropCode::stored_shape, "stored_shape"},
                                               {DropCode::scheme_role, "scheme_role"}}};

const DropCode* drop_code(std::string_view rule) {
    for (const Named& named : drop_names)
        if (named.name == rule) return &named.code;
    return nullptr;
}

uint32_t cache_encoding(const Resolver& r, const CacheAnswer& answer) {
    const std::string& want = r.options.cache_dtype;
    if (want == "f32") return MORTISE_ENCODING_F32;
    if (want == "bf16") return MORTISE_ENCODING_BF16;
    if (want == "f16") return MORTISE_ENCODING_F16;
    if (want == "checkpoint" && answer.encoding != MORTISE_ENCODING_AS_DTYPE) return answer.encoding;
    if (r.options.reference_kernels) return MORTISE_ENCODING_F32;
    switch (r.plan.tree.dtype) {
        case DType::bf16: return MORTISE_ENCODING_BF16;
        case DType::f16: return MORTISE_ENCODING_F16;
        default: return MORTISE_ENCODING_F32;
    }
}

// The cache's scales become a source of their own, all of whose tensors are dropped as unused.
void drop_cache_scales(Resolver& r, const std::string& attention, const CacheAnswer& answer) {
    Source source{.name = attention, .canonical = attention, .kind = 0, .rule = answer.rule, .dropped = true};
    for (const CacheField& each : answer.fields) {
        const checkpoint::TensorEntry* tensor = r.catalog().find(each.field.tensor);
        if (!tensor) {
            if (!each.field.has(MORTISE_FIELD_OPTIONAL))
                r.problems.add(Problem{.code = Code::tensor_missing,
                                       .what = "a scale of the quantized KV cache is not in the checkpoint",
                                       .file = r.checkpoint.path,
                                       .tensor = each.field.tensor,
                                       .expected = "a tensor, as " + answer.rule + " says",
                                       .found = "no such tensor"});
            continue;
        }
        Problem problem{.file = r.catalog().file_name(*tensor), .tensor = tensor->name};
        if (!each.field.accepts(tensor->dtype) || !each.field.accepts(tensor->shape)) {
            problem.code = each.field.accepts(tensor->dtype) ? Code::tensor_shape : Code::tensor_dtype;
            problem.what = "a scale of the KV cache has the wrong shape or element type";
            problem.expected = each.field.shapes.empty() ? "" : to_string(each.field.shapes[0]);
            problem.found = to_string(tensor->dtype, tensor->shape);
            r.problems.add(problem);
        }
        const auto index = static_cast<uint32_t>(tensor - r.catalog().tensors().data());
        r.used[index] = true;
        const auto id = static_cast<uint32_t>(r.plan.sources.size());
        const auto field = static_cast<uint32_t>(source.spec.fields.size());
        r.plan.obligations.push_back({Promise::finite, index, id, field, 0});
        if (each.field.has(MORTISE_FIELD_DROP_IF_ZERO)) r.plan.obligations.push_back({Promise::zero, index, id, field, 0});
        if (each.field.has(MORTISE_FIELD_POSITIVE)) r.plan.obligations.push_back({Promise::positive, index, id, field, 0});
        r.plan.drops.push_back({index, DropCode::cache_scale_unused, "cache_scale_unused",
                                "present, and unused while the KV cache has a float dtype"});
        source.spec.fields.push_back(each.field);
        source.tensors.push_back(index);
    }
    if (!source.tensors.empty()) r.plan.sources.push_back(std::move(source));
}

}  // namespace

std::string_view name(DropCode code) {
    for (const Named& named : drop_names)
        if (named.code == code) return named.name;
    return "?";
}

void resolve_caches(Resolver& r) {
    const uint64_t size = r.options.size;
    for (const model::Op& op : r.plan.tree.ops) {
        if (op.kind != MORTISE_OP_ATTENTION) continue;
        const auto heads = static_cast<uint64_t>(op.integer(MORTISE_ATTR_KV_HEADS));
        const auto width = static_cast<uint64_t>(op.integer(MORTISE_ATTR_HEAD_DIM));
        auto answer = r.scheme.ask_cache(r.names.on_disk(op.name).name, heads, width);
        if (!answer) {
            r.problems.add(answer.error());
            continue;
        }
        drop_cache_scales(r, r.names.on_disk(op.name).name, *answer);
        CachePlan cache{.layer = static_cast<uint32_t>(op.integer(MORTISE_ATTR_LAYER)), .attention = op.name};
        cache.kv_heads = heads % size == 0 ? heads / size : 1;
        cache.head_dim = width;
        cache.v_head_dim = static_cast<uint64_t>(op.integer(MORTISE_ATTR_V_HEAD_DIM, static_cast<int64_t>(width)));
        cache.encoding = cache_encoding(r, *answer);
        cache.bits = cache.encoding == MORTISE_ENCODING_F32 ? 32 : cache.encoding == answer->encoding && answer->bits ? answer->bits : 16;
        r.plan.caches.push_back(std::move(cache));
    }
}

void resolve_leftovers(Resolver& r) {
    const auto& tensors = r.catalog().tensors();
    for (uint32_t t = 0; t < tensors.size(); ++t) {
        if (r.used[t]) continue;
        const model::DropRule* rule = nullptr;
        for (const model::DropRule& each : r.plan.tree.drops) {
            const auto matched = matches(each.pattern_kind, each.pattern, tensors[t].name);
            if (!matched) r.problems.add(matched.error());
            if (matched && *matched) rule = &each;
        }
        const DropCode* code = rule ? drop_code(rule->rule) : nullptr;
        if (code) {
            r.used[t] = true;
            r.plan.drops.push_back({t, *code, rule->rule, rule->reason});
        } else if (rule) {
            r.problems.add(Problem{.code = Code::plugin_contract,
                                   .what = "architecture drops by a rule that is not in the closed list",
                                   .tensor = tensors[t].name,
                                   .found = rule->rule});
        } else {
            r.problems.add(Problem{.code = Code::tensor_unexpected,
                                   .what = "nothing in the model uses this tensor",
                                   .file = r.catalog().file_name(tensors[t]),
                                   .tensor = tensors[t].name,
                                   .expected = "every tensor to be used or dropped by a named rule",
                                   .found = to_string(tensors[t].dtype, tensors[t].shape),
                                   .fix = "config.json may describe another model or format than the weights"});
        }
    }
}

}  // namespace mortise::plan
