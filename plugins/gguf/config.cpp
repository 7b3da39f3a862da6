// config.json from metadata. Source: docs/gguf.md of ggml; convert_hf_to_gguf.py of llama.cpp, read
// backwards.

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "json_object.h"
#include "virtual_files.h"

namespace gguf {
namespace {

using mortise::sdk::Refused;
using mortise::sdk::Source;
using mortise::sdk::Unsupported;

struct Family {
    std::string_view name;              // general.architecture
    std::string_view architecture;      // config.architectures[0]
    std::string_view model_type;        // of the config
    bool optional_biases = false;       // attention_bias and mlp_bias are keys of its config
    bool partial_rope = false;          // a part of each head may turn
    bool exact_ramp = false;            // between yarn's two frequencies, its ends not rounded
    std::string_view experts = {};      // the config's key of their number; "" = none
    std::string_view expert_rows = {};  // the config's key of their width; "" = intermediate_size
};
constexpr std::array families = {
    Family{
        .name = "llama", .architecture = "LlamaForCausalLM", .model_type = "llama", .optional_biases = true},
    Family{.name = "llama",
           .architecture = "MixtralForCausalLM",
           .model_type = "mixtral",
           .experts = "num_local_experts"},
    Family{.name = "qwen2", .architecture = "Qwen2ForCausalLM", .model_type = "qwen2"},
    Family{.name = "qwen3", .architecture = "Qwen3ForCausalLM", .model_type = "qwen3"},
    Family{.name = "qwen3moe",
           .architecture = "Qwen3MoeForCausalLM",
           .model_type = "qwen3_moe",
           .experts = "num_experts",
           .expert_rows = "moe_intermediate_size"},
    Family{.name = "phi3", .architecture = "Phi3ForCausalLM", .model_type = "phi3", .partial_rope = true},
    Family{.name = "gpt-oss",
           .architecture = "GptOssForCausalLM",
           .model_type = "gpt_oss",
           .exact_ramp = true,
           .experts = "num_local_experts"}};

// Keys of <arch>.* that repeat what other keys or tensors say, or do not touch the numbers.
constexpr std::array inert = {"vocab_size", "rope.scaling.finetuned", "attention.causal",
                              "tensor_data_layout"};

// Reads keys below <arch>. and remembers which.
class Keys {
  public:
    Keys(const File& file, std::string prefix) : file_(file), prefix_(std::move(prefix) + ".") {}

    std::string name(std::string_view key) const { return prefix_ + std::string(key); }
    std::optional<int64_t> integer(std::string_view key) { return file_.integer(take(key)); }
    std::optional<std::string> real(std::string_view key) { return file_.real(take(key)); }
    std::optional<std::string> text(std::string_view key) { return file_.text(take(key)); }
    // A count: a positive integer. Errors: Refused: absent, not positive; Unsupported: one for each layer.
    int64_t count(std::string_view key) {
        const std::string full = take(key);
        if (const Value* value = file_.find(full); value && std::holds_alternative<Integers>(value->data))
            throw Unsupported({.what = "the layers differ in size",
                               .subject = "metadata key '" + full + "'",
                               .expected = "one number",
                               .found = describe(*value)});
        const auto value = file_.integer(full);
        if (!value) refuse(full, "missing metadata key", "a positive integer", "none");
        if (*value <= 0) refuse(full, "impossible value", "a positive integer", std::to_string(*value));
        return *value;
    }
    bool has(std::string_view key) const { return file_.find(name(key)) != nullptr; }
    // Copies what nobody asked for.
    void copy_rest(JsonObject& out) const {
        for (const auto& [key, value] : file_.metadata) {
            if (!key.starts_with(prefix_) || taken_.contains(key)) continue;
            if (std::ranges::find(inert, std::string_view(key).substr(prefix_.size())) != inert.end())
                continue;
            const auto* number = std::get_if<int64_t>(&value.data);
            if (number && *number == 0) continue;  // switched off: expert_count = 0 of dense models
            out.text(key, describe(value));
        }
    }

  private:
    std::string take(std::string_view key) { return *taken_.insert(name(key)).first; }
    const File& file_;
    std::string prefix_;
    std::set<std::string> taken_;
};

std::string dtype_of(const File& file) {
    // Blocks have no dtype of their own: bfloat16 holds whatever a model was trained with.
    const Tensor* table = file.tensor("token_embd.weight");
    switch (table ? table->type->dtype : uint32_t{MORTISE_DTYPE_U8}) {
        case MORTISE_DTYPE_F32: return "float32";
        case MORTISE_DTYPE_F16: return "float16";
        default: return "bfloat16";
    }
}

int64_t vocabulary(const File& file, Keys& keys) {
    const auto said = keys.integer("vocab_size");
    const Tensor* table = file.tensor("token_embd.weight");
    const Texts* tokens = file.texts("tokenizer.ggml.tokens");
    if (!table || table->extent.size() != 2)
        throw Refused({.what = "no embedding table",
                       .subject = "token_embd.weight",
                       .expected = "a matrix",
                       .found = table ? "another shape" : "no such tensor"});
    const auto rows = static_cast<int64_t>(table->extent[1]);
    if (said && *said != rows)
        refuse(keys.name("vocab_size"), "contradicts the rows of token_embd.weight", std::to_string(rows),
               std::to_string(*said));
    if (tokens && static_cast<int64_t>(tokens->size()) > rows)
        refuse("tokenizer.ggml.tokens", "more tokens than rows of token_embd.weight",
               "at most " + std::to_string(rows), std::to_string(tokens->size()));
    return rows;
}

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

std::string decimal(double value) {
    char buffer[64];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

int64_t head_size(Keys& keys, const Family& family, int64_t hidden, int64_t heads, JsonObject& out) {
    const auto key = keys.integer("attention.key_length"), value = keys.integer("attention.value_length");
    const auto turned = keys.integer("rope.dimension_count");
    const int64_t size = key ? *key : hidden / heads;
    if (size <= 0 || size > hidden * 64)
        refuse(keys.name("attention.key_length"), "impossible value", "a positive integer",
               std::to_string(size));
    const auto differs = [&](std::optional<int64_t> other, std::string_view name) {
        if (!other || *other == size) return;
        throw Unsupported({.what = "differs from the size of a head",
                           .subject = "metadata key '" + keys.name(name) + "'",
                           .expected = std::to_string(size),
                           .found = std::to_string(*other)});
    };
    differs(value, "attention.value_length");
    if (family.partial_rope && turned && *turned > 0 && *turned < size)
        out.raw("partial_rotary_factor", decimal(static_cast<double>(*turned) / static_cast<double>(size)));
    else
        differs(turned, "rope.dimension_count");
    return size;
}

// The factors of a table, one for each turned pair of a head, as a list.
std::string factors_of(const Tensor& table, const Source& source, int64_t turned) {
    const auto count = static_cast<uint64_t>(turned) / 2;
    if (table.type->dtype != MORTISE_DTYPE_F32 || table.extent != std::vector<uint64_t>{count})
        throw Refused({.what = "the table of rope factors does not fit the heads",
                       .subject = table.name,
                       .expected = "F32 [" + std::to_string(count) + "]",
                       .found = std::to_string(table.extent[0]) + " elements"});
    std::vector<float> factors(count);
    source.read(table.offset, count * sizeof(float), factors.data());
    std::string list = "[";
    for (const float factor : factors) {
        if (!std::isfinite(factor) || factor <= 0)
            throw Refused({.what = "a rope factor is not positive",
                           .subject = table.name,
                           .found = decimal(double{factor})});
        list += (list.size() > 1 ? ", " : "") + decimal(double{factor});
    }
    return list + "]";
}

std::string longrope(const std::string& near, const std::string& far, const std::string& magnitude,
                     int64_t from) {
    return R"({"rope_type": "longrope", "short_factor": )" + near + R"(, "long_factor": )" + far +
           R"(, "attention_factor": )" + magnitude + R"(, "original_max_position_embeddings": )" +
           std::to_string(from) + "}";
}

// rope_freqs.weight divides each frequency whatever the length (Llama 3.1 and later are converted so);
// rope_factors_short and _long do up to the original length and beyond it.
std::optional<std::string> rope_tables(const File& file, const Source& source, Keys& keys, int64_t turned,
                                       std::optional<int64_t> original, int64_t context) {
    const Tensor *one = file.tensor("rope_freqs.weight"), *near = file.tensor("rope_factors_short.weight"),
                 *far = file.tensor("rope_factors_long.weight");
    if (one) {
        const std::string list = factors_of(*one, source, turned);
        return longrope(list, list, "1.0", context);
    }
    if (!near || !far) return std::nullopt;
    return longrope(factors_of(*near, source, turned), factors_of(*far, source, turned),
                    keys.real("rope.scaling.attn_factor").value_or("1.0"), original.value_or(context));
}

// yarn: llama.cpp multiplies attn_factor by 0.1 ln(factor) + 1; the config's attention_factor is the whole.
std::string yarn(Keys& keys, double factor, std::optional<int64_t> original, bool exact_ramp) {
    std::string out = "{\"rope_type\": \"yarn\", \"factor\": " + decimal(factor);
    if (original) out += ", \"original_max_position_embeddings\": " + std::to_string(*original);
    if (const auto given = keys.real("rope.scaling.attn_factor"); given && number(*given) != 1)
        out += ", \"attention_factor\": " +
               decimal(number(*given) * (factor > 1 ? 0.1 * std::log(factor) + 1 : 1));
    if (const auto fast = keys.real("rope.scaling.yarn_beta_fast")) out += ", \"beta_fast\": " + *fast;
    if (const auto slow = keys.real("rope.scaling.yarn_beta_slow")) out += ", \"beta_slow\": " + *slow;
    if (exact_ramp) out += ", \"truncate\": false";
    return out + "}";
}

void rope(const File& file, const Source& source, Keys& keys, const Family& family, int64_t turned,
          int64_t context, JsonObject& out) {
    out.raw("rope_theta", keys.real("rope.freq_base").value_or("10000.0"));
    const std::string type =
        keys.text("rope.scaling.type").value_or(keys.has("rope.scale_linear") ? "linear" : "none");
    const auto old = keys.real("rope.scale_linear"), given = keys.real("rope.scaling.factor");
    const double factor = number(given ? *given : old.value_or("1"));
    const auto original = keys.integer("rope.scaling.original_context_length");
    const auto table = rope_tables(file, source, keys, turned, original, context);
    if (type != "none" && type != "linear" && type != "yarn")
        throw Unsupported({.what = "unknown kind of rope scaling",
                           .subject = "metadata key '" + keys.name("rope.scaling.type") + "'",
                           .expected = "none, linear or yarn",
                           .found = printable(type)});
    if (factor <= 0)
        refuse(keys.name("rope.scaling.factor"), "impossible value", "a positive real", decimal(factor));
    const bool scaled = type != "none" && factor != 1;
    if (table && scaled)
        throw Unsupported({.what = "rope factors and rope scaling together", .found = "scaling " + type});
    if (table)
        out.raw("rope_scaling", *table);
    else if (!scaled)
        out.raw("rope_scaling", "null");
    else if (type == "linear")
        out.raw("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": " + decimal(factor) + "}");
    else
        out.raw("rope_scaling", yarn(keys, factor, original, family.exact_ramp));
}

void token_ids(const File& file, JsonObject& out) {
    for (const char* role : {"bos", "eos"})
        if (const auto id = special_token(file, role)) out.integer(std::string(role) + "_token_id", *id);
}

void experts(Keys& keys, const Family& family, int64_t rows, JsonObject& out) {
    const int64_t own =
        keys.has("expert_feed_forward_length") ? keys.count("expert_feed_forward_length") : rows;
    if (family.expert_rows.empty() && own != rows)
        refuse(keys.name("expert_feed_forward_length"), "contradicts feed_forward_length",
               std::to_string(rows), std::to_string(own));
    out.integer(std::string(family.experts), keys.count("expert_count"))
        .integer("num_experts_per_tok", keys.count("expert_used_count"));
    if (family.expert_rows.empty()) return;
    out.integer(std::string(family.expert_rows), own).flag("norm_topk_prob", true);
}

std::string known_config(const File& file, const Source& source, const Family& family) {
    Keys keys(file, std::string(family.name));
    JsonObject out;
    out.raw("architectures", "[" + quote(family.architecture) + "]").text("model_type", family.model_type);
    const int64_t hidden = keys.count("embedding_length"), heads = keys.count("attention.head_count");
    const int64_t context = keys.count("context_length");
    const int64_t kv_heads =
        keys.has("attention.head_count_kv") ? keys.count("attention.head_count_kv") : heads;
    const int64_t head_dim = head_size(keys, family, hidden, heads, out);
    out.integer("hidden_size", hidden).integer("num_hidden_layers", keys.count("block_count"));
    out.integer("num_attention_heads", heads)
        .integer("num_key_value_heads", kv_heads)
        .integer("head_dim", head_dim);
    const int64_t rows = keys.count("feed_forward_length");
    out.integer("intermediate_size", rows).integer("vocab_size", vocabulary(file, keys));
    if (!family.experts.empty()) experts(keys, family, rows, out);
    const auto eps = keys.real("attention.layer_norm_rms_epsilon");
    if (!eps) refuse(keys.name("attention.layer_norm_rms_epsilon"), "missing metadata key", "a real", "none");
    out.raw("rms_norm_eps", *eps).integer("max_position_embeddings", context).text("hidden_act", "silu");
    if (const auto window = keys.integer("attention.sliding_window"); window && *window > 0)
        out.integer("sliding_window", *window);
    rope(file, source, keys, family, keys.integer("rope.dimension_count").value_or(head_dim), context, out);
    out.flag("tie_word_embeddings", !file.tensor("output.weight")).text("torch_dtype", dtype_of(file));
    if (family.optional_biases) {
        out.flag("attention_bias", file.tensor("blk.0.attn_q.bias") != nullptr);
        out.flag("mlp_bias", file.tensor("blk.0.ffn_gate.bias") != nullptr);
    }
    token_ids(file, out);
    keys.copy_rest(out);
    return std::move(out).finish();
}

}  // namespace

std::string config_json(const File& file, const Source& source) {
    const auto name = file.text("general.architecture");
    if (!name) refuse("general.architecture", "missing metadata key", "the name of an architecture", "none");
    const bool mixed = file.integer(*name + ".expert_count").value_or(0) > 0;
    const auto family = std::ranges::find_if(
        families, [&](const Family& each) { return each.name == *name && each.experts.empty() != mixed; });
    if (family != families.end()) return known_config(file, source, *family);
    JsonObject out;
    out.text("model_type", *name);
    return std::move(out).finish();
}

}  // namespace gguf
