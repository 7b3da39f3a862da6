#include "engine/text/tokenizer.h"

#include "engine/text/added_tokens.h"
#include "engine/text/bpe.h"
#include "engine/text/decoder.h"
#include "engine/text/fields.h"
#include "engine/text/normalizer.h"
#include "engine/text/post_processor.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer_file.h"
#include "engine/text/unicode.h"

namespace mortise::text {

struct Tokenizer::Tables {
    Bpe bpe;
    AddedTokens added;
    std::unique_ptr<Normalizer> normalizer;       // null: none
    std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: the text is one piece
    PostProcessor post_processor;
    std::unique_ptr<Decoder> decoder;  // null: tokens with a space between
    size_t vocab_size = 0;
    uint32_t id_end = 0;
};

namespace {

constexpr size_t text_limit = size_t{256} << 20;

Status check_model_kind(const json::Node& model) {
    const Fields fields(model, "model");
    MORTISE_CHECK(model.require(json::Kind::object));
    const auto* merges = model.find("merges");
    MORTISE_TRY(const auto type, fields.string_or("type", merges ? "BPE" : "of unnamed type"));
    if (type == "BPE") return {};
    auto problem = fields.unsupported(
        "'" + type + "' is not implemented",
        "use a checkpoint whose tokenizer.json has a BPE model (byte-level or with byte fallback)");
    problem.what = "tokenizer model '" + type + "' is not implemented";
    problem.expected = "BPE";
    problem.found = type;
    return fail(std::move(problem));
}

Result<BpeOptions> parse_options(const json::Node& model) {
    const Fields fields(model, "model 'BPE'");
    for (const char* key : {"type", "vocab", "merges"}) fields.ignore(key);
    BpeOptions options;
    if (const auto* unknown = model.find_value("unk_token")) {
        MORTISE_TRY(options.unknown, unknown->as_string());
    }
    MORTISE_TRY(options.prefix, fields.string_or("continuing_subword_prefix", ""));
    MORTISE_TRY(options.suffix, fields.string_or("end_of_word_suffix", ""));
    MORTISE_TRY(options.fuse_unknown, fields.flag("fuse_unk", false));
    MORTISE_TRY(options.byte_fallback, fields.flag("byte_fallback", false));
    MORTISE_TRY(options.ignore_merges, fields.flag("ignore_merges", false));
    if (const auto* dropout = model.find_value("dropout")) {
        MORTISE_TRY(const auto rate, dropout->as_double());
        if (rate != 0) {
            auto problem = dropout->problem(Code::unsupported_tokenizer, "dropout makes the ids random");
            problem.fix = "set model.dropout to null";
            return fail(std::move(problem));
        }
    }
    MORTISE_CHECK(fields.finish());
    return options;
}

template <class Made>
Status parse_part(const json::Node& root, std::string_view key, Result<Made> (*parse)(const json::Node&),
                  Made& out) {
    const auto* node = root.find_value(key);
    if (!node) return {};
    MORTISE_TRY(out, parse(*node));
    return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::parse(std::string_view json, std::string name) {
    auto read = read_tokenizer_file(json, name);
    if (!read) return std::unexpected(std::move(read).error().in_file(name));
    const auto in_file = [&](auto result) {
        return result ? std::move(result)
                      : decltype(result)(std::unexpected(std::move(result).error().in_file(name)));
    };
    const json::Node& root = read->tree.root();
    MORTISE_TRY(const auto* model, Fields(root, "tokenizer").member("model"));
    MORTISE_CHECK(check_model_kind(*model));
    MORTISE_TRY(auto options, parse_options(*model));
    MORTISE_TRY(auto vocabulary, in_file(Vocabulary::make(std::move(read->tables.vocabulary))));
    MORTISE_TRY(auto bpe, in_file(Bpe::make(std::move(vocabulary), read->tables.merges, std::move(options))));
    auto tables = std::make_shared<Tables>(Tables{std::move(bpe), {}, {}, {}, {}, {}, 0, 0});
    MORTISE_CHECK(parse_part(root, "normalizer", parse_normalizer, tables->normalizer));
    MORTISE_CHECK(parse_part(root, "pre_tokenizer", parse_pre_tokenizer, tables->pre_tokenizer));
    MORTISE_CHECK(parse_part(root, "post_processor", parse_post_processor, tables->post_processor));
    MORTISE_CHECK(parse_part(root, "decoder", parse_decoder, tables->decoder));
    const Vocabulary& known = tables->bpe.vocabulary();
    MORTISE_TRY(tables->added, in_file(AddedTokens::parse(root.find_value("added_tokens"), known,
                                                          tables->normalizer.get())));
    tables->vocab_size = known.size();
    tables->id_end = known.id_end();
    for (const auto& [id, token] : tables->added.all()) {
        if (!known.token(id)) ++tables->vocab_size;
        tables->id_end = std::max(tables->id_end, id + 1);
    }
    return Tokenizer(std::move(tables));
}

Status Tokenizer::append(std::string_view text, std::vector<uint32_t>& ids) const {
    if (text.size() > text_limit)
        return fail(Problem{.code = Code::value_range,
                            .what = "text is too long",
                            .expected = "at most 256 MiB",
                            .found = std::to_string(text.size()) + " bytes"});
    std::string repaired;
    if (!is_valid_utf8(text)) text = repaired = lossy_utf8(text);
    for (const auto& outer : tables_->added.cut(text, false)) {
        if (outer.id) {
            ids.push_back(*outer.id);
            continue;
        }
        std::string part(text.substr(outer.span.begin, outer.span.end - outer.span.begin));
        if (tables_->normalizer) MORTISE_CHECK(tables_->normalizer->apply(part));
        for (const auto& inner : tables_->added.cut(part, true)) {
            if (inner.id) {
                ids.push_back(*inner.id);
                continue;
            }
            std::vector<Piece> pieces{{part.substr(inner.span.begin, inner.span.end - inner.span.begin),
                                       outer.span.begin == 0 && inner.span.begin == 0}};
            if (tables_->pre_tokenizer) MORTISE_CHECK(tables_->pre_tokenizer->apply(pieces));
            for (const Piece& piece : pieces) tables_->bpe.encode(piece.text, ids);
        }
    }
    return {};
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text, bool add_special) const {
    std::vector<uint32_t> ids;
    MORTISE_CHECK(append(text, ids));
    return tables_->post_processor.apply(ids, nullptr, add_special);
}

Result<std::vector<uint32_t>> Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                                     bool add_special) const {
    std::vector<uint32_t> first_ids, second_ids;
    MORTISE_CHECK(append(first, first_ids));
    MORTISE_CHECK(append(second, second_ids));
    return tables_->post_processor.apply(first_ids, &second_ids, add_special);
}

Result<std::string> Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special) const {
    std::vector<std::string> tokens;
    for (const uint32_t id : ids) {
        if (skip_special && is_special(id)) continue;
        if (auto text = token(id)) tokens.push_back(*std::move(text));
    }
    std::string out;
    if (tables_->decoder) {
        MORTISE_CHECK(tables_->decoder->apply(tokens));
        for (const auto& text : tokens) out += text;
        return out;
    }
    for (size_t i = 0; i < tokens.size(); ++i) out.append(i ? " " : "").append(tokens[i]);
    return out;
}

std::optional<std::string> Tokenizer::token(uint32_t id) const {
    if (const auto* added = tables_->added.find(id)) return added->text;
    if (const auto text = tables_->bpe.vocabulary().token(id)) return std::string(*text);
    return std::nullopt;
}

std::optional<uint32_t> Tokenizer::id_of(std::string_view token) const {
    if (const auto* added = tables_->added.find(token)) return added->id;
    return tables_->bpe.vocabulary().find(token);
}

bool Tokenizer::is_special(uint32_t id) const {
    const auto* added = tables_->added.find(id);
    return added && added->special;
}

std::vector<uint32_t> Tokenizer::special_ids() const {
    std::vector<uint32_t> ids;
    for (const auto& [id, token] : tables_->added.all())
        if (token.special) ids.push_back(id);
    return ids;
}

size_t Tokenizer::vocab_size() const { return tables_->vocab_size; }
uint32_t Tokenizer::id_end() const { return tables_->id_end; }

}  // namespace mortise::text
