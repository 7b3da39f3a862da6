#include "engine/text/pre_tokenizer.h"

#include "engine/text/byte_characters.h"
#include "engine/text/fields.h"
#include "engine/text/pattern.h"
#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

using Made = Result<std::unique_ptr<PreTokenizer>>;

// The expression of GPT-2's encoder.py.
constexpr const char* gpt2_expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

void append_pieces(std::vector<Piece>& out, const Piece& piece, const std::vector<Span>& spans) {
    for (const Span& span : spans)
        out.push_back(
            {piece.text.substr(span.begin, span.end - span.begin), piece.at_start && span.begin == 0});
}

class Sequence final : public PreTokenizer {
  public:
    explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
    Status apply(std::vector<Piece>& pieces) const override {
        for (const auto& step : steps_) MORTISE_CHECK(step->apply(pieces));
        return {};
    }

  private:
    std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

class PatternSplit final : public PreTokenizer {
  public:
    PatternSplit(Pattern pattern, Behavior behavior, bool invert)
        : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
    Status apply(std::vector<Piece>& pieces) const override {
        std::vector<Piece> out;
        for (const Piece& piece : pieces) {
            MORTISE_TRY(const auto matches, pattern_.find(piece.text));
            append_pieces(out, piece, split(piece.text, matches, behavior_, invert_));
        }
        pieces = std::move(out);
        return {};
    }

  private:
    Pattern pattern_;
    Behavior behavior_;
    bool invert_;
};

class CharacterSplit final : public PreTokenizer {
  public:
    CharacterSplit(bool (*is_match)(char32_t), Behavior behavior)
        : is_match_(is_match), behavior_(behavior) {}
    Status apply(std::vector<Piece>& pieces) const override {
        std::vector<Piece> out;
        for (const Piece& piece : pieces)
            append_pieces(out, piece,
                          split(piece.text, find_characters(piece.text, is_match_), behavior_, false));
        pieces = std::move(out);
        return {};
    }

  private:
    bool (*is_match_)(char32_t);
    Behavior behavior_;
};

class ByteLevel final : public PreTokenizer {
  public:
    ByteLevel(bool prefix_space, std::unique_ptr<PreTokenizer> words)
        : prefix_space_(prefix_space), words_(std::move(words)) {}
    Status apply(std::vector<Piece>& pieces) const override {
        if (prefix_space_)
            for (Piece& piece : pieces)
                if (!piece.text.starts_with(' ')) piece.text.insert(0, 1, ' ');
        if (words_) MORTISE_CHECK(words_->apply(pieces));
        for (Piece& piece : pieces) piece.text = bytes_to_characters(piece.text);
        return {};
    }

  private:
    bool prefix_space_;
    std::unique_ptr<PreTokenizer> words_;  // null: the text is cut already
};

class Metaspace final : public PreTokenizer {
  public:
    enum class Prepend : uint8_t { always, first, never };
    Metaspace(std::string mark, Prepend prepend, bool cut)
        : mark_(std::move(mark)), prepend_(prepend), cut_(cut) {}
    Status apply(std::vector<Piece>& pieces) const override {
        const Pattern pattern = Pattern::literal(mark_);
        std::vector<Piece> out;
        for (Piece& piece : pieces) {
            mark(piece);
            if (!cut_) {
                out.push_back(std::move(piece));
                continue;
            }
            MORTISE_TRY(const auto matches, pattern.find(piece.text));
            append_pieces(out, piece, split(piece.text, matches, Behavior::merged_with_next, false));
        }
        pieces = std::move(out);
        return {};
    }

  private:
    void mark(Piece& piece) const {
        std::string text;
        for (const char byte : piece.text) byte == ' ' ? text += mark_ : text += byte;
        const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.at_start);
        piece.text = wanted && !text.starts_with(mark_) ? mark_ + text : std::move(text);
    }
    std::string mark_;
    Prepend prepend_;
    bool cut_;
};

Made parse_sequence(const Fields& fields) {
    MORTISE_TRY(const auto* list, fields.member("pretokenizers"));
    MORTISE_CHECK(list->require(json::Kind::array));
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const auto& item : list->items()) {
        MORTISE_TRY(auto step, parse_pre_tokenizer(*item));
        steps.push_back(std::move(step));
    }
    return std::make_unique<Sequence>(std::move(steps));
}

Made parse_byte_level(const Fields& fields) {
    fields.ignore("trim_offsets");  // positions in the source text, which ids do not depend on
    MORTISE_TRY(const bool prefix_space, fields.flag("add_prefix_space", true));
    MORTISE_TRY(const bool use_regex, fields.flag("use_regex", true));
    std::unique_ptr<PreTokenizer> words;
    if (use_regex) {
        MORTISE_TRY(auto pattern, Pattern::regex(gpt2_expression));
        words = std::make_unique<PatternSplit>(std::move(pattern), Behavior::isolated, false);
    }
    return std::make_unique<ByteLevel>(prefix_space, std::move(words));
}

Made parse_split(const Fields& fields) {
    MORTISE_TRY(const auto* pattern_node, fields.member("pattern"));
    MORTISE_TRY(auto pattern, Pattern::parse(*pattern_node));
    MORTISE_TRY(const auto* behavior_node, fields.member("behavior"));
    MORTISE_TRY(const auto behavior, parse_behavior(*behavior_node));
    MORTISE_TRY(const bool invert, fields.flag("invert", false));
    return std::make_unique<PatternSplit>(std::move(pattern), behavior, invert);
}

Made parse_metaspace(const Fields& fields) {
    fields.ignore("str_rep");  // a copy of the replacement in old files
    MORTISE_TRY(const auto mark, fields.character("replacement"));
    MORTISE_TRY(const bool prefix, fields.flag("add_prefix_space", true));
    MORTISE_TRY(const auto scheme, fields.string_or("prepend_scheme", prefix ? "always" : "never"));
    MORTISE_TRY(const bool cut, fields.flag("split", true));
    using Prepend = Metaspace::Prepend;
    if (scheme != "always" && scheme != "first" && scheme != "never")
        return fail(fields.invalid("prepend_scheme must be always, first or never"));
    std::string text;
    append_utf8(text, mark);
    return std::make_unique<Metaspace>(std::move(text),
                                       scheme == "always"  ? Prepend::always
                                       : scheme == "first" ? Prepend::first
                                                           : Prepend::never,
                                       cut);
}

Result<Behavior> optional_behavior(const Fields& fields, Behavior otherwise) {
    const auto* node = fields.node().find_value("behavior");
    return node ? parse_behavior(*node) : Result<Behavior>(otherwise);
}

Made parse_kind(const std::string& type, const Fields& fields) {
    if (type == "Sequence") return parse_sequence(fields);
    if (type == "ByteLevel") return parse_byte_level(fields);
    if (type == "Split") return parse_split(fields);
    if (type == "Metaspace") return parse_metaspace(fields);
    if (type == "WhitespaceSplit") return std::make_unique<CharacterSplit>(is_whitespace, Behavior::removed);
    if (type == "Digits") {
        MORTISE_TRY(const bool individual, fields.flag("individual_digits", false));
        return std::make_unique<CharacterSplit>(is_numeric,
                                                individual ? Behavior::isolated : Behavior::contiguous);
    }
    if (type == "Punctuation") {
        MORTISE_TRY(const auto behavior, optional_behavior(fields, Behavior::isolated));
        return std::make_unique<CharacterSplit>(is_punctuation, behavior);
    }
    if (type == "Whitespace") {
        MORTISE_TRY(auto pattern, Pattern::regex(R"(\w+|[^\w\s]+)"));
        return std::make_unique<PatternSplit>(std::move(pattern), Behavior::removed, true);
    }
    if (type == "CharDelimiterSplit") {
        MORTISE_TRY(const auto delimiter, fields.character("delimiter"));
        std::string text;
        append_utf8(text, delimiter);
        return std::make_unique<PatternSplit>(Pattern::literal(std::move(text)), Behavior::removed, false);
    }
    return fail(fields.unsupported("this kind is not implemented",
                                   "use a tokenizer.json of a BPE model without this pre-tokenizer"));
}

}  // namespace

Made parse_pre_tokenizer(const json::Node& node) {
    MORTISE_TRY(const auto type, component_type(node, "pre-tokenizer"));
    const Fields fields(node, "pre-tokenizer '" + type + "'");
    auto made = parse_kind(type, fields);
    if (made) MORTISE_CHECK(fields.finish());
    return made;
}

}  // namespace mortise::text
