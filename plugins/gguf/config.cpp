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
    std::string_view name;          // general.architecture
    std::string_view architecture;  // config.architectures[0]
    bool optional_biases;           // attention_bias and mlp_bias are keys of its config
};
constexpr std::array families = {Family{"llama", "LlamaForCausalLM", true},
                                 Family{"qwen2", "Qwen2ForCausalLM", false}};

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

int64_t head_size(Keys& keys, int64_t hidden, int64_t heads) {
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
    differs(turned, "rope.dimension_count");
    return size;
}

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

std::string decimal(double value) {
    char buffer[64];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

// rope_freqs.weight divides each frequency (Llama 3.1 and later are converted so): a list of factors for any
// length.
std::string rope_table(const Tensor& table, const Source& source, int64_t head_dim, int64_t context) {
    const auto count = static_cast<uint64_t>(head_dim) / 2;
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
    list += "]";
    return "{\"rope_type\": \"longrope\", \"short_factor\": " + list + ", \"long_factor\": " + list +
           ", \"attention_factor\": 1.0, \"original_max_position_embeddings\": " + std::to_string(context) +
           "}";
}

// yarn: llama.cpp multiplies attn_factor by 0.1 ln(factor) + 1; the config's attention_factor is the whole.
std::string yarn(Keys& keys, double factor) {
    std::string out = "{\"rope_type\": \"yarn\", \"factor\": " + decimal(factor);
    if (const auto original = keys.integer("rope.scaling.original_context_length"))
        out += ", \"original_max_position_embeddings\": " + std::to_string(*original);
    if (const auto given = keys.real("rope.scaling.attn_factor"); given && number(*given) != 1)
        out += ", \"attention_factor\": " +
               decimal(number(*given) * (factor > 1 ? 0.1 * std::log(factor) + 1 : 1));
    if (const auto fast = keys.real("rope.scaling.yarn_beta_fast")) out += ", \"beta_fast\": " + *fast;
    if (const auto slow = keys.real("rope.scaling.yarn_beta_slow")) out += ", \"beta_slow\": " + *slow;
    return out + "}";
}

void rope(const File& file, const Source& source, Keys& keys, int64_t head_dim, int64_t context,
          JsonObject& out) {
    out.raw("rope_theta", keys.real("rope.freq_base").value_or("10000.0"));
    const std::string type =
        keys.text("rope.scaling.type").value_or(keys.has("rope.scale_linear") ? "linear" : "none");
    const auto old = keys.real("rope.scale_linear"), given = keys.real("rope.scaling.factor");
    const double factor = number(given ? *given : old.value_or("1"));
    const Tensor* table = file.tensor("rope_freqs.weight");
    if (type != "none" && type != "linear" && type != "yarn")
        throw Unsupported({.what = "unknown kind of rope scaling",
                           .subject = "metadata key '" + keys.name("rope.scaling.type") + "'",
                           .expected = "none, linear or yarn",
                           .found = printable(type)});
    if (factor <= 0)
        refuse(keys.name("rope.scaling.factor"), "impossible value", "a positive real", decimal(factor));
    const bool scaled = type != "none" && factor != 1;
    if (table && scaled)
        throw Unsupported({.what = "rope factors and rope scaling together",
                           .subject = table->name,
                           .found = "scaling " + type});
    if (table)
        out.raw("rope_scaling", rope_table(*table, source, head_dim, context));
    else if (!scaled)
        out.raw("rope_scaling", "null");
    else if (type == "linear")
        out.raw("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": " + decimal(factor) + "}");
    else
        out.raw("rope_scaling", yarn(keys, factor));
}

void token_ids(const File& file, JsonObject& out) {
    for (const char* role : {"bos", "eos"})
        if (const auto id = special_token(file, role)) out.integer(std::string(role) + "_token_id", *id);
}

std::string known_config(const File& file, const Source& source, const Family& family) {
    Keys keys(file, std::string(family.name));
    JsonObject out;
    out.raw("architectures", "[" + quote(family.architecture) + "]").text("model_type", family.name);
    const int64_t hidden = keys.count("embedding_length"), heads = keys.count("attention.head_count");
    const int64_t context = keys.count("context_length");
    const int64_t kv_heads =
        keys.has("attention.head_count_kv") ? keys.count("attention.head_count_kv") : heads;
    const int64_t head_dim = head_size(keys, hidden, heads);
    out.integer("hidden_size", hidden).integer("num_hidden_layers", keys.count("block_count"));
    out.integer("num_attention_heads", heads)
        .integer("num_key_value_heads", kv_heads)
        .integer("head_dim", head_dim);
    out.integer("intermediate_size", keys.count("feed_forward_length"))
        .integer("vocab_size", vocabulary(file, keys));
    const auto eps = keys.real("attention.layer_norm_rms_epsilon");
    if (!eps) refuse(keys.name("attention.layer_norm_rms_epsilon"), "missing metadata key", "a real", "none");
    out.raw("rms_norm_eps", *eps).integer("max_position_embeddings", context).text("hidden_act", "silu");
    rope(file, source, keys, head_dim, context, out);
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
    const auto family = std::ranges::find(families, *name, &Family::name);
    if (family != families.end()) return known_config(file, source, *family);
    JsonObject out;
    out.text("model_type", *name);
    return std::move(out).finish();
}

}  // namespace gguf
