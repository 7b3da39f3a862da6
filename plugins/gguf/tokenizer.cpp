// tokenizer.json from tokenizer.ggml.*: byte-level BPE ("gpt2") and BPE of SentencePiece with bytes as last
// resort
// ("llama").
// Source of the pre-tokenizers: the tokenizer.json files of the models for which the names stand; of
// "default", llama.cpp's llama-vocab.cpp, which no other library has.

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <unordered_set>

#include "json_object.h"
#include "virtual_files.h"

namespace gguf {
namespace {

using mortise::sdk::Refused;

// tokenizer.ggml.token_type, enum llama_token_type.
enum : int64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

constexpr std::string_view gpt2_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view llama3_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view o200k_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// How text is cut before bytes are merged, by the name in tokenizer.ggml.pre.
struct Cutting {
    std::string_view name;
    bool digits;                               // each digit apart, before anything else
    std::array<std::string_view, 4> patterns;  // one after the other
    bool nfc, ignore_merges, adds_bos;         // adds_bos: where add_bos_token does not say
};
constexpr std::array<std::string_view, 4> default_words = {R"([\p{P}\$\+<=>\^~\|]+)", gpt2_words, R"(\p{N}+)",
                                                           "[0-9][0-9][0-9]"};
constexpr std::array cuttings = {
    Cutting{"default", false, default_words, false, false, false},
    Cutting{"gpt-2", false, {gpt2_words}, false, false, false},
    Cutting{"phi-2", false, {gpt2_words}, false, false, false},
    Cutting{"olmo", false, {gpt2_words}, true, false, false},
    // Digits are apart through the vocabulary, which has no token of two; cutting them first would change
    // blanks before a number. So does transformers when it reads such a file.
    Cutting{"smollm", false, {gpt2_words}, false, false, false},
    Cutting{"starcoder", true, {gpt2_words}, false, false, false},
    Cutting{"llama-bpe", false, {llama3_words}, false, true, true},
    Cutting{"llama3", false, {llama3_words}, false, true, true},
    Cutting{"llama-v3", false, {llama3_words}, false, true, true},
    Cutting{"qwen2", false, {qwen2_words}, true, false, false},
    Cutting{"deepseek-r1-qwen", false, {qwen2_words}, true, false, false},
    Cutting{"gpt-4o", false, {o200k_words}, false, false, false},
    Cutting{"llama4", false, {o200k_words}, false, false, true},
};

const Cutting* find_cutting(const File& file) {
    const auto at =
        std::ranges::find(cuttings, file.text("tokenizer.ggml.pre").value_or("default"), &Cutting::name);
    return at == cuttings.end() ? nullptr : &*at;
}

std::string pre_tokenizer_json(const Cutting& cutting) {
    std::string out = R"({"type": "Sequence", "pretokenizers": [)";
    if (cutting.digits) out += R"({"type": "Digits", "individual_digits": true}, )";
    for (const std::string_view pattern : cutting.patterns)
        if (!pattern.empty())
            out += R"({"type": "Split", "pattern": {"Regex": )" + quote(pattern) +
                   R"(}, "behavior": "Isolated", "invert": false}, )";
    return out +
           R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";
}

bool adds(const File& file, std::string_view role) {
    if (const auto said = file.flag("tokenizer.ggml.add_" + std::string(role) + "_token")) return *said;
    if (role != "bos") return false;
    if (file.text("tokenizer.ggml.model") == "llama") return true;
    const Cutting* cutting = find_cutting(file);
    return cutting && cutting->adds_bos;
}

std::string post_processor_json(const File& file, const Texts& tokens) {
    const auto bos = adds(file, "bos") ? special_token(file, "bos") : std::nullopt;
    const auto eos = adds(file, "eos") ? special_token(file, "eos") : std::nullopt;
    if (!bos && !eos)
        return R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true})";
    const auto special = [&](uint32_t id, int type) {
        return R"({"SpecialToken": {"id": )" + quote(tokens[id]) + R"(, "type_id": )" + std::to_string(type) +
               "}}";
    };
    const auto framed = [&](const char* sequence, int type) {
        std::string out = bos ? special(*bos, type) + ", " : "";
        out += R"({"Sequence": {"id": ")" + std::string(sequence) + R"(", "type_id": )" +
               std::to_string(type) + "}}";
        return eos ? out + ", " + special(*eos, type) : out;
    };
    std::string known;
    for (const auto& id : {bos, eos})
        if (id && (id != eos || id != bos || known.empty()))
            known += (known.empty() ? "" : ", ") + quote(tokens[*id]) + R"(: {"id": )" + quote(tokens[*id]) +
                     R"(, "ids": [)" + std::to_string(*id) + R"(], "tokens": [)" + quote(tokens[*id]) + "]}";
    return R"({"type": "TemplateProcessing", "single": [)" + framed("A", 0) + R"(], "pair": [)" +
           framed("A", 0) + ", " + framed("B", 1) + R"(], "special_tokens": {)" + known + "}}";
}

std::string vocabulary_json(const Texts& tokens) {
    std::string out = "{";
    for (size_t id = 0; id < tokens.size(); ++id)
        ((out += id ? ", " : "") += quote(tokens[id]) + ": ") += std::to_string(id);
    return out + "}";
}

using Merge = std::pair<std::string_view, std::string_view>;

std::vector<Merge> read_merges(const Texts& list) {
    std::vector<Merge> out;
    for (const std::string& text : list) {
        // The space between the two may not be the first byte: a token may begin with one in odd
        // vocabularies.
        const size_t space = text.find(' ', 1);
        if (space == std::string::npos || !is_utf8(text))
            refuse("tokenizer.ggml.merges", "item " + std::to_string(out.size()) + " is no merge",
                   "two tokens with a space between", printable(text));
        out.emplace_back(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
    }
    return out;
}

// SentencePiece keeps scores, no merges: of all pairs it joins the one whose piece has the highest score. So
// each way to cut a piece into two pieces is a merge, in the order of the scores; of one piece, the longer
// left side first. Source: bpe_model.cc of SentencePiece; equal to what transformers makes of its files.
std::vector<Merge> merges_of_pieces(const Texts& tokens, const Integers* types, const Reals& scores) {
    constexpr size_t longest = 96;  // bytes; trainers make pieces of 16 characters
    const auto joins = [&](size_t id) {
        return (!types || (*types)[id] == normal) && tokens[id].size() <= longest;
    };
    std::unordered_set<std::string_view> pieces;
    for (size_t id = 0; id < tokens.size(); ++id)
        if (joins(id)) pieces.insert(tokens[id]);
    std::vector<std::tuple<double, size_t, size_t>> cuts;  // score, token, place; sorted best first
    for (size_t id = 0; id < tokens.size(); ++id)
        for (size_t cut = 1; joins(id) && cut < tokens[id].size(); ++cut) {
            const std::string_view text = tokens[id];
            const bool inside = (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80;  // of a character
            if (!inside && pieces.contains(text.substr(0, cut)) && pieces.contains(text.substr(cut)))
                cuts.emplace_back(-scores[id], id, longest - cut);
        }
    std::ranges::sort(cuts);
    std::vector<Merge> out;
    for (const auto& [score, id, place] : cuts) {
        const std::string_view text = tokens[id];
        out.emplace_back(text.substr(0, longest - place), text.substr(longest - place));
    }
    return out;
}

std::string merges_json(const std::vector<Merge>& merges) {
    std::string out = "[";
    for (const auto& [left, right] : merges)
        out += (out.size() > 1 ? ", [" : "[") + quote(left) + ", " + quote(right) + "]";
    return out + "]";
}

std::string added_tokens_json(const Texts& tokens, const Integers* types) {
    std::string out = "[";
    for (size_t id = 0; types && id < tokens.size(); ++id) {
        const bool special = (*types)[id] == control || (*types)[id] == unknown;
        if ((!special && (*types)[id] != user_defined) || tokens[id].empty()) continue;
        out +=
            (out.size() > 1 ? ", " : "") + std::string(R"({"id": )") + std::to_string(id) +
            R"(, "content": )" + quote(tokens[id]) +
            R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": )" +
            (special ? "true}" : "false}");
    }
    return out + "]";
}

// Errors: tokens that are no text, twice the same, lists of different length.
void check_lists(const Texts& tokens, const Integers* types, const Reals* scores) {
    if (scores && scores->size() != tokens.size())
        refuse("tokenizer.ggml.scores", "does not fit the tokens", std::to_string(tokens.size()) + " scores",
               std::to_string(scores->size()));
    for (size_t id = 0; scores && id < scores->size(); ++id)
        if (!std::isfinite((*scores)[id]))
            refuse("tokenizer.ggml.scores", "a score is not finite", "finite scores",
                   "token " + std::to_string(id));
    if (types && types->size() != tokens.size())
        refuse("tokenizer.ggml.token_type", "does not fit the tokens",
               std::to_string(tokens.size()) + " types", std::to_string(types->size()));
    std::vector<std::string_view> sorted(tokens.begin(), tokens.end());
    for (const std::string_view token : sorted)
        if (!is_utf8(token))
            refuse("tokenizer.ggml.tokens", "a token is not UTF-8", "UTF-8", printable(token));
    std::ranges::sort(sorted);
    const auto twice = std::ranges::adjacent_find(sorted);
    if (twice != sorted.end())
        refuse("tokenizer.ggml.tokens", "a token occurs twice", "each token once", printable(*twice));
}

struct Lists {
    const Texts& tokens;
    const Integers* types;
};

std::string model_json(const Lists& lists, const std::string& unk, bool pieces, bool ignore_merges,
                       const std::vector<Merge>& merges) {
    JsonObject out;
    out.text("type", "BPE")
        .raw("dropout", "null")
        .raw("unk_token", unk)
        .raw("continuing_subword_prefix", "null");
    out.raw("end_of_word_suffix", "null")
        .flag("fuse_unk", pieces)
        .flag("byte_fallback", pieces)
        .flag("ignore_merges", ignore_merges);
    out.raw("vocab", vocabulary_json(lists.tokens)).raw("merges", merges_json(merges));
    return std::move(out).finish();
}

std::string byte_level_json(const File& file, const Lists& lists, const Cutting& cutting,
                            const Texts& merges) {
    JsonObject out;
    out.text("version", "1.0")
        .raw("truncation", "null")
        .raw("padding", "null")
        .raw("added_tokens", added_tokens_json(lists.tokens, lists.types));
    out.raw("normalizer", cutting.nfc ? R"({"type": "NFC"})" : "null")
        .raw("pre_tokenizer", pre_tokenizer_json(cutting));
    out.raw("post_processor", post_processor_json(file, lists.tokens));
    out.raw("decoder",
            R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})");
    out.raw("model", model_json(lists, "null", false, cutting.ignore_merges, read_merges(merges)));
    return std::move(out).finish();
}

// A blank is U+2581; one stands before the text unless the file says otherwise.
std::string pieces_json(const File& file, const Lists& lists, const Reals& scores) {
    const bool prefix = file.flag("tokenizer.ggml.add_space_prefix").value_or(true);
    const auto unk = special_token(file, "unknown");
    JsonObject out;
    out.text("version", "1.0")
        .raw("truncation", "null")
        .raw("padding", "null")
        .raw("added_tokens", added_tokens_json(lists.tokens, lists.types));
    const std::string blanks = R"({"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})";
    out.raw("normalizer", R"({"type": "Sequence", "normalizers": [)" +
                              std::string(prefix ? R"({"type": "Prepend", "prepend": "\u2581"}, )" : "") +
                              blanks + "]}");
    out.raw("pre_tokenizer", "null").raw("post_processor", post_processor_json(file, lists.tokens));
    out.raw(
        "decoder",
        std::string(
            R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, )") +
            R"({"type": "ByteFallback"}, {"type": "Fuse"})" +
            (prefix ? R"(, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})" : "]}"));
    out.raw("model", model_json(lists, unk ? quote(lists.tokens[*unk]) : "null", true, false,
                                merges_of_pieces(lists.tokens, lists.types, scores)));
    return std::move(out).finish();
}

}  // namespace

std::optional<uint32_t> special_token(const File& file, std::string_view role) {
    const std::string key = "tokenizer.ggml." + std::string(role) + "_token_id";
    const auto id = file.integer(key);
    if (!id) return std::nullopt;
    const Texts* tokens = file.texts("tokenizer.ggml.tokens");
    const auto end = tokens ? static_cast<int64_t>(tokens->size()) : int64_t{1} << 31;
    if (*id < 0 || *id >= end)
        refuse(key, "no such token", "below " + std::to_string(end), std::to_string(*id));
    return static_cast<uint32_t>(*id);
}

std::optional<std::string> tokenizer_json(const File& file, std::string& why) {
    const Texts* tokens = file.texts("tokenizer.ggml.tokens");
    const std::string model = file.text("tokenizer.ggml.model").value_or("none");
    const bool pieces = model == "llama";
    const Texts* merges = file.texts("tokenizer.ggml.merges");
    const Reals* scores = file.reals("tokenizer.ggml.scores");
    const Cutting* cutting = find_cutting(file);
    if (!tokens)
        why = "no tokenizer.ggml.tokens";
    else if (model != "gpt2" && !pieces)
        why = "tokenizer.ggml.model '" + printable(model) + "' is not supported";
    else if (pieces && !scores)
        why = "no tokenizer.ggml.scores";
    else if (!pieces && !merges)
        why = "no tokenizer.ggml.merges";
    else if (!pieces && !cutting)
        why = "tokenizer.ggml.pre '" + printable(*file.text("tokenizer.ggml.pre")) + "' is not known";
    if (!why.empty()) return std::nullopt;
    const Lists lists{*tokens, file.integers("tokenizer.ggml.token_type")};
    check_lists(lists.tokens, lists.types, scores);
    return pieces ? pieces_json(file, lists, *scores) : byte_level_json(file, lists, *cutting, *merges);
}

}  // namespace gguf
