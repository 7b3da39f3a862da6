// The KV cache of each attention: how it is kept, and where the scales, zero points and biases go that the
// scheme found. What the cache has no use for is dropped by a named rule and checked all the same.

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "plan/resolver.h"

namespace mortise::plan {
namespace {

struct Kind {
    std::string_view name;
    uint32_t encoding, bits;
    bool biased;  // asks for biases
};
constexpr std::array<Kind, 10> kinds = {{{"f32", MORTISE_ENCODING_F32, 32, false},
                                         {"bf16", MORTISE_ENCODING_BF16, 16, false},
                                         {"f16", MORTISE_ENCODING_F16, 16, false},
                                         {"fp8_e4m3", MORTISE_ENCODING_E4M3, 8, false},
                                         {"fp8_e5m2", MORTISE_ENCODING_E5M2, 8, false},
                                         {"int8", MORTISE_ENCODING_TWOS, 8, false},
                                         {"nvfp4", MORTISE_ENCODING_E2M1, 4, false},
                                         {"fp8_e4m3_affine", MORTISE_ENCODING_E4M3, 8, true},
                                         {"int8_affine", MORTISE_ENCODING_TWOS, 8, true},
                                         {"nvfp4_affine", MORTISE_ENCODING_E2M1, 4, true}}};

bool is_float(uint32_t encoding) {
    return encoding == MORTISE_ENCODING_F32 || encoding == MORTISE_ENCODING_BF16 ||
           encoding == MORTISE_ENCODING_F16;
}

std::string_view kind_name(uint32_t encoding, bool biased) {
    for (const Kind& kind : kinds)
        if (kind.encoding == encoding && kind.biased == biased) return kind.name;
    return biased ? kind_name(encoding, false) : "?";
}

// How one cache is to be kept.
struct Wanted {
    uint32_t encoding = 0, bits = 0;
    bool biases = false;  // those of the checkpoint take effect
    bool must_biases = false;
};

Wanted of_model(const Resolver& r) {
    if (r.options.reference_kernels) return {MORTISE_ENCODING_F32, 32};
    switch (r.plan.tree.dtype) {
        case DType::bf16: return {MORTISE_ENCODING_BF16, 16};
        case DType::f16: return {MORTISE_ENCODING_F16, 16};
        default: return {MORTISE_ENCODING_F32, 32};
    }
}

std::optional<Wanted> wanted(const Resolver& r, const CacheAnswer& answer) {
    const std::string& want = r.options.cache_dtype;
    const bool coded = answer.encoding != MORTISE_ENCODING_AS_DTYPE;
    if (want == "auto" || (want == "checkpoint" && !coded)) return of_model(r);
    if (want == "checkpoint") return Wanted{answer.encoding, answer.bits, true, false};
    for (const Kind& kind : kinds)
        if (kind.name == want) return Wanted{kind.encoding, kind.bits, kind.biased, kind.biased};
    return std::nullopt;
}

Problem unknown_dtype(const std::string& want) {
    std::vector<std::string> names = {"auto", "checkpoint"};
    for (const Kind& kind : kinds) names.emplace_back(kind.name);
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    const auto close = nearest(want, names);
    return {.code = Code::usage,
            .what = "no such dtype of a KV cache",
            .expected = all,
            .found = "'" + want + "'",
            .fix = close.empty() ? "" : "did you mean " + std::string(close) + "?"};
}

// One attention's cache while it is resolved.
class CacheResolution {
  public:
    CacheResolution(Resolver& r, const CacheAnswer& answer, const Wanted& want, CachePlan& cache,
                    uint64_t query_heads)
        : r_(r),
          answer_(answer),
          want_(want),
          cache_(cache),
          query_heads_(query_heads),
          source_{.name = r.names.on_disk(cache.attention).name,
                  .canonical = cache.attention,
                  .kind = 0,
                  .rule = answer.rule} {}

    void resolve(const Range& heads) {
        for (const CacheField& each : answer_.fields) take(each, heads);
        source_.dropped = std::ranges::none_of(source_.tensors, [&](uint32_t t) { return used(t); });
        if (!source_.tensors.empty()) r_.plan.sources.push_back(std::move(source_));
    }

  private:
    bool coded() const { return !is_float(want_.encoding); }
    // Scales were made for one kind of codes: those that the config names, else 8-bit floats.
    bool fits() const {
        const uint32_t made_for = answer_.encoding == MORTISE_ENCODING_AS_DTYPE
                                      ? uint32_t{MORTISE_ENCODING_E4M3}
                                      : answer_.encoding;
        return coded() && made_for == want_.encoding;
    }
    bool used(uint32_t tensor) const {
        return std::ranges::none_of(r_.plan.drops, [&](const Drop& drop) { return drop.tensor == tensor; });
    }
    // Why a number has no effect; "" when it has.
    std::string why_unused(const CacheField& each) const {
        if (!coded()) return "present, and unused while the KV cache has a float dtype";
        if (!fits())
            return "present, and unused: made for a KV cache of another kind than " +
                   std::string(kind_name(want_.encoding, false));
        if (each.letter == 'p') return "present, and unused: attention probabilities are not quantized";
        if (each.letter == 'q' && r_.options.activations == MORTISE_ACTIVATIONS_EXACT)
            return "present, and unused while activations are exact";
        if (each.field.role == MORTISE_ROLE_ADDEND && !want_.biases)
            return "present, and unused: a KV cache without biases is asked for";
        if (each.field.has(MORTISE_FIELD_DROP_IF_ZERO)) return "zero points of symmetric codes; must be zero";
        return {};
    }
    uint32_t* slot(const CacheField& each) const {
        const bool zero = each.field.role == MORTISE_ROLE_ZERO_POINT;
        switch (each.letter) {
            case 'k': return zero ? &cache_.k_zero : &cache_.k_scale;
            case 'v': return zero ? &cache_.v_zero : &cache_.v_scale;
            case 'q': return zero ? nullptr : &cache_.q_scale;
            case 'K': return &cache_.k_bias;
            case 'V': return &cache_.v_bias;
            default: return nullptr;
        }
    }

    void missing(const CacheField& each) {
        r_.problems.add(Problem{.code = Code::tensor_missing,
                                .what = "a number of the quantized KV cache is not in the checkpoint",
                                .file = r_.checkpoint.path,
                                .tensor = each.field.tensor,
                                .expected = "a tensor, as " + answer_.rule + " says",
                                .found = "no such tensor"});
    }
    // Elements that the attention needs of this number.
    uint64_t elements_of(const CacheField& each) const {
        if (each.letter == 'K') return cache_.head_dim * total_heads();
        if (each.letter == 'V') return cache_.v_head_dim * total_heads();
        if (!answer_.per_head) return 1;
        return each.letter == 'q' ? query_heads_ : total_heads();
    }
    uint64_t total_heads() const {
        return static_cast<uint64_t>(r_.plan.tree.ops[op_].integer(MORTISE_ATTR_KV_HEADS));
    }

    bool well_formed(const CacheField& each, const checkpoint::TensorEntry& tensor) {
        const bool dtype = each.field.accepts(tensor.dtype), shape = each.field.accepts(tensor.shape);
        const uint64_t stored = each.field.extent.rows * each.field.extent.columns;
        const bool size = each.letter == 'p' || stored == 1 || stored == elements_of(each);
        if (dtype && shape && size) return true;
        r_.problems.add(Problem{.code = dtype ? Code::tensor_shape : Code::tensor_dtype,
                                .what = "a number of the KV cache has the wrong shape or element type",
                                .file = r_.catalog().file_name(tensor),
                                .tensor = tensor.name,
                                .expected = to_string(each.field.shapes[0]),
                                .found = to_string(tensor.dtype, tensor.shape)});
        return false;
    }

    void take(const CacheField& each, const Range& heads) {
        const checkpoint::TensorEntry* tensor = r_.catalog().find(each.field.tensor);
        if (!tensor) {
            if (!each.field.has(MORTISE_FIELD_OPTIONAL)) missing(each);
            return;
        }
        const bool good = well_formed(each, *tensor);
        const auto index = static_cast<uint32_t>(tensor - r_.catalog().tensors().data());
        r_.used[index] = true;
        r_.of_cache.insert(tensor);
        promise(each, index);
        const std::string why = why_unused(each);
        if (!why.empty() || !good || !slot(each)) {
            r_.plan.drops.push_back({index, DropCode::cache_scale_unused, "cache_scale_unused", why});
        } else {
            *slot(each) = place(each, *tensor, index, heads);
        }
        source_.spec.fields.push_back(each.field);
        source_.tensors.push_back(index);
    }

    void promise(const CacheField& each, uint32_t tensor) {
        const auto source = static_cast<uint32_t>(r_.plan.sources.size());
        const auto field = static_cast<uint32_t>(source_.spec.fields.size());
        r_.plan.obligations.push_back({Promise::finite, tensor, source, field, 0});
        if (each.field.has(MORTISE_FIELD_POSITIVE))
            r_.plan.obligations.push_back({Promise::positive, tensor, source, field, 0});
        if (each.field.has(MORTISE_FIELD_DROP_IF_ZERO))
            r_.plan.obligations.push_back({Promise::zero, tensor, source, field, 0});
    }

    // Effect: a vector of this rank's elements, and the move that fills it.
    uint32_t place(const CacheField& each, const checkpoint::TensorEntry& tensor, uint32_t index,
                   const Range& heads) {
        VectorPlan vector{.weight = none, .tensor = index};
        vector.columns = each.field.extent.rows * each.field.extent.columns;
        const uint64_t owners = each.letter == 'q' ? query_heads_ : total_heads();
        const bool split = vector.columns > 1;
        const uint64_t unit = split ? vector.columns / owners : 1;
        const uint64_t ratio = each.letter == 'q' ? query_heads_ / total_heads() : 1;
        vector.first_column = split ? heads.first * ratio * unit : 0;
        vector.n_columns = split ? heads.count * ratio * unit : vector.columns;
        vector.parameter = static_cast<uint32_t>(r_.plan.parameters.size());
        r_.plan.parameters.push_back({tensor.name, each.field.role, {1, 1, vector.n_columns}, false, 0});
        Move move{.tensor = index, .parameter = vector.parameter};
        move.source = {{0, 0, vector.first_column}, {1, 1, vector.first_column + vector.n_columns}};
        move.destination = {{0, 0, 0}, {1, 1, vector.n_columns}};
        if (each.field.shapes.size() > 1) move.transforms.push_back(Transform::reshape);
        if (vector.n_columns != vector.columns) move.transforms.push_back(Transform::slice);
        if (tensor.dtype != DType::f32) move.transforms.push_back(Transform::widen);
        r_.plan.moves.push_back(std::move(move));
        r_.plan.vectors.push_back(vector);
        return static_cast<uint32_t>(r_.plan.vectors.size() - 1);
    }

    Resolver& r_;
    const CacheAnswer& answer_;
    const Wanted& want_;
    CachePlan& cache_;
    uint64_t query_heads_;
    uint32_t op_ = cache_.op;
    Source source_;
};

// What the kernel will lack: an error where no default makes sense, else said aloud.
void check_scales(Resolver& r, const CachePlan& cache, const Wanted& want) {
    if (is_float(cache.encoding)) return;
    const std::string kind(kind_name(cache.encoding, false));
    if (want.must_biases && cache.k_bias == none)
        r.problems.add(Problem{.code = Code::tensor_missing,
                               .what = "the checkpoint has no biases for this KV cache",
                               .tensor = cache.attention,
                               .expected = "k_bias and v_bias",
                               .found = "none",
                               .fix = "take --kv-cache-dtype " + kind});
    if (cache.encoding == MORTISE_ENCODING_E2M1 && (cache.head_dim % 16 != 0 || cache.v_head_dim % 16 != 0))
        r.problems.add(
            Problem{.code = Code::unsupported_variant,
                    .what = "heads of this size do not split into blocks of 16",
                    .tensor = cache.attention,
                    .expected = "a multiple of 16",
                    .found = std::to_string(cache.head_dim) + " and " + std::to_string(cache.v_head_dim),
                    .fix = "take --kv-cache-dtype fp8_e4m3"});
    if (cache.k_scale != none) return;
    if (cache.encoding == MORTISE_ENCODING_TWOS)
        r.problems.add(Problem{.code = Code::tensor_missing,
                               .what = "an int8 KV cache needs scales, and the checkpoint has none for it",
                               .tensor = cache.attention,
                               .expected = "k_scale and v_scale of an int8 cache",
                               .found = "none",
                               .fix = "take --kv-cache-dtype fp8_e4m3 or auto"});
    else
        r.plan.cache_default = true;
}

constexpr std::array number_names = {"k_scale", "v_scale",      "q_scale",     "k_bias",
                                     "v_bias",  "k_zero_point", "v_zero_point"};

// Which of number_names the checkpoint has for an attention.
struct Present {
    std::string attention;
    std::array<bool, number_names.size()> has{};
};

Present present_of(const Resolver& r, const std::string& attention, const CacheAnswer& answer) {
    Present out{r.names.on_disk(attention).name};
    for (const CacheField& each : answer.fields) {
        const bool zero = each.field.role == MORTISE_ROLE_ZERO_POINT;
        const size_t at = std::string_view("kvqKV").find(each.letter);
        if (at == std::string_view::npos || (zero && at > 1)) continue;
        out.has[zero ? at + 5 : at] = true;
    }
    return out;
}

// A number that one attention has and another lacks was lost on the way, used or not.
void check_all_alike(Resolver& r, const std::vector<Present>& all) {
    for (size_t i = 0; i < number_names.size(); ++i) {
        const Present *with = nullptr, *without = nullptr;
        for (const Present& each : all) (each.has[i] ? with : without) = &each;
        if (!with || !without) continue;
        r.problems.add(Problem{.code = Code::companion_partial,
                               .what = "a number of the KV cache is present for some attentions only",
                               .tensor = without->attention + "." + number_names[i],
                               .expected = "as in " + with->attention,
                               .found = "no such tensor"});
    }
}

}  // namespace

std::string_view cache_name(const CachePlan& cache) {
    return kind_name(cache.encoding, cache.k_bias != none);
}

uint64_t CachePlan::row_bytes(uint64_t width) const {
    const uint64_t scales = encoding == MORTISE_ENCODING_E2M1 ? width / 16 : 0;
    return width * bits / 8 + scales;
}

void resolve_caches(Resolver& r) {
    std::vector<Present> present;
    for (uint32_t o = 0; o < r.plan.tree.ops.size(); ++o) {
        const model::Op& op = r.plan.tree.ops[o];
        if (op.kind != MORTISE_OP_ATTENTION) continue;
        const auto heads = static_cast<uint64_t>(op.integer(MORTISE_ATTR_KV_HEADS));
        const auto queries =
            static_cast<uint64_t>(op.integer(MORTISE_ATTR_HEADS, static_cast<int64_t>(heads)));
        const auto width = static_cast<uint64_t>(op.integer(MORTISE_ATTR_HEAD_DIM));
        auto answer = r.scheme.ask_cache(r.names.on_disk(op.name).name, heads, width);
        if (!answer) {
            r.problems.add(answer.error());
            continue;
        }
        present.push_back(present_of(r, op.name, *answer));
        const auto want = wanted(r, *answer);
        if (!want) return r.problems.add(unknown_dtype(r.options.cache_dtype));
        // What cannot be shared out is reported with the weights that cannot.
        const Range mine =
            share(heads, heads, queries, r.options.rank, r.options.size, op.name).value_or(Range{0, 1});
        CachePlan cache{.layer = static_cast<uint32_t>(op.integer(MORTISE_ATTR_LAYER)), .attention = op.name};
        cache.op = o;
        cache.kv_heads = mine.count;
        cache.head_dim = width;
        cache.v_head_dim =
            static_cast<uint64_t>(op.integer(MORTISE_ATTR_V_HEAD_DIM, static_cast<int64_t>(width)));
        cache.encoding = want->encoding;
        cache.bits = want->bits;
        cache.per_head = answer->per_head;
        if (answer->encoding == want->encoding) cache.scale_divisor = answer->scale_divisor;
        cache.rule = answer->rule;
        CacheResolution(r, *answer, *want, cache, queries).resolve(mine);
        check_scales(r, cache, *want);
        cache.stored = std::move(*answer);
        r.plan.caches.push_back(std::move(cache));
    }
    check_all_alike(r, present);
    if (r.plan.cache_default)
        r.plan.notes.push_back("the checkpoint has no scales for a KV cache of kind " +
                               std::string(kind_name(r.plan.caches.front().encoding, false)) +
                               ": keys and values are stored with a scale of 1");
}

}  // namespace mortise::plan
