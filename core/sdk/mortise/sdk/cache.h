// The KV cache of an attention as a checkpoint describes it: how it is coded, and under which of the
// producers' spellings its scales, zero points and biases lie. The one place that knows the spellings.
//
// A scheme says how the config codes the cache (Scheme::cache_coding); what is there is found here. One
// thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mortise/sdk/config.h"
#include "mortise/sdk/json_text.h"
#include "mortise/sdk/quant.h"

namespace mortise::sdk {

// How a config says that the cache is coded; as it stands: it says nothing, and what lies there goes unused.
struct CacheCoding {
    uint32_t encoding = MORTISE_ENCODING_AS_DTYPE;
    uint32_t bits = 0;
    bool per_head = false;     // one scale per head instead of one for all
    bool zero_points = false;  // integer codes with zero points
    bool queries = false;      // q must have a scale as k and v have
    bool biases = false;       // float biases must be there; without this they may be
    bool may_lack = false;     // a checkpoint without any scale means a stored scale of 1
    double scale_divisor = 1;  // the scale that takes effect is the stored one over this
    std::string rule = "the config names no cache";

    bool named() const { return encoding != MORTISE_ENCODING_AS_DTYPE; }
};
// Effect: code = e4m3(x / scale).
inline CacheCoding float8_cache(std::string rule) {
    return {.encoding = MORTISE_ENCODING_E4M3, .bits = 8, .rule = std::move(rule)};
}
// Effect: code = int8(x / scale).
inline CacheCoding int8_cache(std::string rule) {
    return {.encoding = MORTISE_ENCODING_TWOS, .bits = 8, .rule = std::move(rule)};
}
// Effect: e2m1 codes with an e4m3 scale for each 16; the stored scale is the second level times 6, as a cache
// of 8-bit floats would have it (amax / 448).
inline CacheCoding float4_cache(std::string rule) {
    return {.encoding = MORTISE_ENCODING_E2M1, .bits = 4, .scale_divisor = 6, .rule = std::move(rule)};
}

// Effect: the name of a cache's coding as configs spell it, for cache_named(): a word, or an object of type
// and bits; "" = none.
inline std::string cache_word(const Config& config) {
    const Config scheme = config["kv_cache_scheme"], name = scheme ? scheme : config["kv_cache_quant_algo"];
    if (!scheme.is_object()) return name ? lower(name.as<std::string>()) : "";
    scheme.ignore({"dynamic"});
    const std::string coding = scheme.get("type", "") + std::to_string(scheme.get<int64_t>("num_bits"));
    return coding == "float8" ? "fp8" : coding;
}
// Effect: the coding of this name in lower case: "fp8", "int8" or `four_bits`, what the dialect calls floats
// of four bits, with "_affine" where biases stand beside the scales; "" and "none": not coded. Float codes
// without any scale in the checkpoint were made under a largest value of 448, by recipes that keep it
// constant and write no scale (the "cast" recipes of NVIDIA's Model Optimizer): a stored scale of 1. Errors:
// Unsupported for another.
inline CacheCoding cache_named(const std::string& name, const std::string& four_bits) {
    const std::string rule = "the cache is " + name;
    const std::string kind = name.substr(0, name.find("_affine"));
    if (name.empty() || name == "none") return {};
    CacheCoding out = kind == "fp8"    ? float8_cache(rule)
                      : kind == "int8" ? int8_cache(rule)
                                       : float4_cache(rule);
    out.biases = kind != name;
    out.may_lack = kind != "int8";
    if ((kind == "fp8" || kind == "int8" || kind == four_bits) && (!out.biases || name == kind + "_affine"))
        return out;
    throw Unsupported({.what = "this cache is not supported",
                       .expected = "fp8, int8 or " + four_bits + ", also with _affine",
                       .found = name});
}

// Effect: the name of a coding in upper case, as cache_named() reads it, `four_bits` included; "" = not
// coded. Biases beside codes of 8 bits show by themselves.
inline std::string cache_name(const mortise_cache_answer& cache, const std::string& four_bits) {
    if (cache.encoding == MORTISE_ENCODING_E4M3) return "FP8";
    if (cache.encoding == MORTISE_ENCODING_TWOS) return "INT8";
    if (cache.encoding != MORTISE_ENCODING_E2M1) return {};
    return cache.affine != 0 ? four_bits + "_AFFINE" : four_bits;
}
// Effect: what cache_word() reads, for a name of cache_name(): an object for codes of 8 bits; "" for none.
inline std::string cache_json(const std::string& name) {
    if (name != "FP8" && name != "INT8") return name.empty() ? "" : json_text(name);
    return json_object(
        {{"dynamic", "false"}, {"num_bits", "8"}, {"type", json_text(name == "INT8" ? "int" : "float")}});
}
// Effect: its codes have zero points that may be other than 0.
inline bool has_zero_points(const mortise_cache_answer& cache) {
    bool any = false;
    for (uint32_t f = 0; f < cache.n_fields; ++f)
        any = any || (cache.fields[f].role == MORTISE_ROLE_ZERO_POINT &&
                      (cache.fields[f].flags & MORTISE_FIELD_DROP_IF_ZERO) == 0);
    return any;
}
// Effect: what a number is called everywhere: "k_scale", "v_zero_point", "k_bias".
inline std::string cache_number(char letter, uint32_t role) {
    const char* number = role == MORTISE_ROLE_ADDEND       ? "_bias"
                         : role == MORTISE_ROLE_ZERO_POINT ? "_zero_point"
                                                           : "_scale";
    return lower(std::string(1, letter)) + number;
}

// Effect: every name that a number of the cache may have, the usual one first. `letter`: k, v or q; `number`:
// "scale", "zero_point" or "bias".
inline std::vector<std::string> cache_names(const std::string& attention, char letter,
                                            const std::string& number) {
    const std::string one(1, letter), own = one + "_" + number;
    std::vector<std::string> names = {
        attention + "." + own,                   // llm-compressor
        attention + ".attn." + own,              // renamed as engines do
        attention + "." + one + "_proj." + own,  // NVIDIA's exporter
        attention + ".qkv_proj." + own,          // the same beside a fused weight
        attention + ".qkqkv_proj." + own,        // an engine's doubled rewrite that was published
    };
    if (number != "scale") return names;
    // The letter of the scale counts, not that of the projection that it was stored under.
    if (letter != 'q') names.push_back(attention + (letter == 'k' ? ".v_proj." : ".k_proj.") + own);
    names.push_back(attention + "." + one + "_proj.output_scale");  // Quark, older llm-compressor
    names.push_back(attention + (letter == 'q' ? ".q.scale" : "." + one + "_cache.scale"));  // HunYuan
    if (letter != 'q') names.push_back(attention + ".kv_scale");  // AutoFP8: one for both
    return names;
}

// Fields of a cache answer; keeps what it borrows. One per scheme.
class CacheFields {
  public:
    // Effect: all numbers of this attention's cache that are in the checkpoint, and those that `coding`
    // needs. Errors: one number under two names.
    void answer(const Checkpoint& checkpoint, std::string_view attention, uint64_t kv_heads,
                uint64_t head_dim, const CacheCoding& coding, mortise_cache_answer& answer) {
        *this = CacheFields();
        const std::string owner(attention);
        const std::string probabilities = owner + ".prob_output_scale";
        auto scales = names_of(checkpoint, owner, "scale", coding.named() && !coding.may_lack);
        if (coding.queries && scales[2].empty()) scales[2] = cache_names(owner, 'q', "scale")[0];
        const auto zeros = names_of(checkpoint, owner, "zero_point", coding.zero_points);
        const auto biases = names_of(checkpoint, owner, "bias", coding.biases);
        bool per_head = coding.per_head;
        for (size_t i = 0; i < letters.size(); ++i) {
            // Where the config says nothing the tensor's size does.
            const auto tensor = scales[i].empty() ? std::nullopt : checkpoint.tensor(scales[i]);
            const uint64_t stored = tensor ? tensor->elements() : 1;
            const bool own = coding.named() ? coding.per_head : stored > 1 && stored % kv_heads == 0;
            const uint64_t rows = !own ? 1 : letters[i] == 'q' ? stored : kv_heads;
            per_head = per_head || own;
            if (!scales[i].empty()) scale(letters[i], scales[i], own ? rows : 0);
            if (!zeros[i].empty()) zero_point(letters[i], zeros[i], own ? rows : 0, coding.zero_points);
        }
        for (const size_t i : {0, 1}) {
            if (biases[i].empty()) continue;
            const auto tensor = checkpoint.tensor(biases[i]);
            const uint64_t stored = tensor ? tensor->elements() : 0;
            bias(i == 0 ? 'K' : 'V', biases[i], kv_heads,
                 i == 1 && stored % kv_heads == 0 && stored > 0 ? stored / kv_heads : head_dim);
        }
        if (checkpoint.has(probabilities)) scale('p', probabilities, 0).role = MORTISE_ROLE_UNUSED;
        answer.per_head = per_head ? 1 : 0;
        answer.affine = letters_.find('K') != std::string::npos ? 1 : 0;
        answer.scale_divisor = coding.scale_divisor;
        answer.rule = fields_.keep(coding.rule);
        answer.encoding = coding.encoding;
        answer.bits = coding.bits;
        answer.n_fields = fields_.abi().n_fields;
        answer.fields = fields_.abi().fields;
        answer.letters = letters_.data();
    }

  private:
    static constexpr std::array letters = {'k', 'v', 'q'};

    // Effect: the names of a number for k, v and q; "" where there is none. needed: k and v must be there and
    // have a name in any case, the one that their sister's spelling suggests.
    static std::array<std::string, 3> names_of(const Checkpoint& checkpoint, const std::string& attention,
                                               const std::string& number, bool needed) {
        std::array<std::string, 3> found;
        std::optional<size_t> spelling;
        for (size_t i = 0; i < letters.size(); ++i) {
            const std::vector<std::string> names = cache_names(attention, letters[i], number);
            for (size_t n = 0; n < names.size(); ++n) {
                if (!checkpoint.has(names[n])) continue;
                if (!found[i].empty())
                    throw Refused({.what = "two tensors hold the same " + number + " of a KV cache",
                                   .subject = names[n],
                                   .found = found[i] + " and " + names[n],
                                   .fix = "remove the one that is not meant"});
                found[i] = names[n];
                if (!spelling) spelling = n;
            }
        }
        for (const size_t i : {0, 1})
            if (found[i].empty() && (needed || spelling)) {
                const std::vector<std::string> names = cache_names(attention, letters[i], number);
                found[i] = names[spelling.value_or(0) < names.size() ? spelling.value_or(0) : 0];
            }
        return found;
    }
    mortise_field& add(uint32_t role, char letter, std::string tensor, std::initializer_list<uint32_t> dtypes,
                       uint64_t per_head) {
        letters_.push_back(letter);
        const uint64_t rows = per_head == 0 ? 1 : per_head;
        mortise_field& field = fields_.field(role, std::move(tensor), dtypes, {shape_of({rows})});
        field.shapes[field.n_shapes++] = per_head == 0 ? shape_of({}) : shape_of({rows, 1, 1});
        field.rows = rows;
        field.flags = MORTISE_FIELD_FINITE;
        return field;
    }
    mortise_field& scale(char letter, std::string tensor, uint64_t per_head) {
        mortise_field& field = add(MORTISE_ROLE_SCALE, letter, std::move(tensor), float_dtypes, per_head);
        field.flags |= MORTISE_FIELD_POSITIVE;
        return field;
    }
    // Symmetric codes: some producers store zeros all the same.
    void zero_point(char letter, std::string tensor, uint64_t per_head, bool used) {
        mortise_field& field = add(MORTISE_ROLE_ZERO_POINT, letter, std::move(tensor),
                                   {MORTISE_DTYPE_I8, MORTISE_DTYPE_I32, MORTISE_DTYPE_F8_E4M3,
                                    MORTISE_DTYPE_F32, MORTISE_DTYPE_BF16},
                                   per_head);
        if (!used) field.flags |= MORTISE_FIELD_DROP_IF_ZERO;
    }
    void bias(char letter, std::string tensor, uint64_t kv_heads, uint64_t head_dim) {
        mortise_field& field = add(MORTISE_ROLE_ADDEND, letter, std::move(tensor), float_dtypes, kv_heads);
        field.shapes[0] = shape_of({1, kv_heads, 1, head_dim});
        field.shapes[1] = shape_of({kv_heads, head_dim});
        field.columns = head_dim;
    }

    Spec fields_{1, 1, 1};
    std::string letters_;
};

}  // namespace mortise::sdk
