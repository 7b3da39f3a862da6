#include "engine/text/decoder.h"

#include <charconv>

#include "engine/text/byte_characters.h"
#include "engine/text/fields.h"
#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

using Made = Result<std::unique_ptr<Decoder>>;
using Tokens = std::vector<std::string>;

class Sequence final : public Decoder {
  public:
    explicit Sequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
    Status apply(Tokens& tokens) const override {
        for (const auto& step : steps_) MORTISE_CHECK(step->apply(tokens));
        return {};
    }

  private:
    std::vector<std::unique_ptr<Decoder>> steps_;
};

class ByteLevel final : public Decoder {
  public:
    Status apply(Tokens& tokens) const override {
        std::string bytes;
        for (const auto& token : tokens) bytes += characters_to_bytes(token).value_or(token);
        tokens = {lossy_utf8(bytes)};
        return {};
    }
};

class Replace final : public Decoder {
  public:
    explicit Replace(std::unique_ptr<Normalizer> replace) : replace_(std::move(replace)) {}
    Status apply(Tokens& tokens) const override {
        for (auto& token : tokens) MORTISE_CHECK(replace_->apply(token));
        return {};
    }

  private:
    std::unique_ptr<Normalizer> replace_;
};

// "<0x0A>" is the byte 0x0A. A run of bytes that is no UTF-8 becomes one U+FFFD for each byte.
class ByteFallback final : public Decoder {
  public:
    Status apply(Tokens& tokens) const override {
        Tokens out;
        std::string run;
        const auto flush = [&] {
            if (run.empty()) return;
            if (is_valid_utf8(run)) {
                out.push_back(run);
            } else {
                for (size_t i = 0; i < run.size(); ++i) out.emplace_back(replacement_utf8);
            }
            run.clear();
        };
        for (auto& token : tokens) {
            if (const int byte = byte_of(token); byte >= 0) {
                run += static_cast<char>(byte);
                continue;
            }
            flush();
            out.push_back(std::move(token));
        }
        flush();
        tokens = std::move(out);
        return {};
    }

  private:
    static int byte_of(const std::string& token) {
        if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
        int value = -1;
        const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
        return error == std::errc() && end == token.data() + 5 ? value : -1;
    }
};

class Fuse final : public Decoder {
  public:
    Status apply(Tokens& tokens) const override {
        std::string all;
        for (const auto& token : tokens) all += token;
        tokens = {std::move(all)};
        return {};
    }
};

class Strip final : public Decoder {
  public:
    Strip(std::string content, int64_t start, int64_t stop)
        : content_(std::move(content)), start_(start), stop_(stop) {}
    Status apply(Tokens& tokens) const override {
        for (auto& token : tokens) {
            for (int64_t i = 0; i < start_ && token.starts_with(content_); ++i)
                token.erase(0, content_.size());
            for (int64_t i = 0; i < stop_ && token.ends_with(content_); ++i)
                token.resize(token.size() - content_.size());
        }
        return {};
    }

  private:
    std::string content_;  // one character
    int64_t start_, stop_;
};

class Metaspace final : public Decoder {
  public:
    Metaspace(std::string mark, bool drops_first) : mark_(std::move(mark)), drops_first_(drops_first) {}
    Status apply(Tokens& tokens) const override {
        for (size_t i = 0; i < tokens.size(); ++i) {
            std::string out;
            for (size_t at = 0; at < tokens[i].size();) {
                if (tokens[i].compare(at, mark_.size(), mark_) == 0) {
                    if (i > 0 || !drops_first_) out += ' ';
                    at += mark_.size();
                } else {
                    out += tokens[i][at++];
                }
            }
            tokens[i] = std::move(out);
        }
        return {};
    }

  private:
    std::string mark_;
    bool drops_first_;
};

class WordSuffix final : public Decoder {
  public:
    explicit WordSuffix(std::string suffix) : suffix_(std::move(suffix)) {}
    Status apply(Tokens& tokens) const override {
        for (size_t i = 0; i < tokens.size() && !suffix_.empty(); ++i) {
            const std::string_view space = i + 1 == tokens.size() ? "" : " ";
            for (size_t at = tokens[i].find(suffix_); at != std::string::npos;
                 at = tokens[i].find(suffix_, at + space.size()))
                tokens[i].replace(at, suffix_.size(), space);
        }
        return {};
    }

  private:
    std::string suffix_;
};

Made parse_sequence(const Fields& fields) {
    MORTISE_TRY(const auto* list, fields.member("decoders"));
    MORTISE_CHECK(list->require(json::Kind::array));
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const auto& item : list->items()) {
        MORTISE_TRY(auto step, parse_decoder(*item));
        steps.push_back(std::move(step));
    }
    return std::make_unique<Sequence>(std::move(steps));
}

Made parse_strip(const Fields& fields) {
    MORTISE_TRY(const auto content, fields.character("content"));
    MORTISE_TRY(const auto start, fields.integer("start", 0, 1 << 20));
    MORTISE_TRY(const auto stop, fields.integer("stop", 0, 1 << 20));
    std::string text;
    append_utf8(text, content);
    return std::make_unique<Strip>(std::move(text), start, stop);
}

Made parse_metaspace(const Fields& fields) {
    for (const char* key : {"str_rep", "split"}) fields.ignore(key);
    MORTISE_TRY(const auto mark, fields.character("replacement"));
    MORTISE_TRY(const bool prefix, fields.flag("add_prefix_space", true));
    MORTISE_TRY(const auto scheme, fields.string_or("prepend_scheme", prefix ? "always" : "never"));
    std::string text;
    append_utf8(text, mark);
    return std::make_unique<Metaspace>(std::move(text), scheme != "never");
}

Made parse_kind(const std::string& type, const Fields& fields) {
    if (type == "Sequence") return parse_sequence(fields);
    if (type == "ByteFallback") return std::make_unique<ByteFallback>();
    if (type == "Fuse") return std::make_unique<Fuse>();
    if (type == "Strip") return parse_strip(fields);
    if (type == "Metaspace") return parse_metaspace(fields);
    if (type == "ByteLevel") {
        for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(key);
        return std::make_unique<ByteLevel>();
    }
    if (type == "Replace") {
        MORTISE_TRY(auto replace, parse_normalizer(fields.node()));
        return std::make_unique<Replace>(std::move(replace));
    }
    if (type == "BPEDecoder") {
        MORTISE_TRY(auto suffix, fields.string_or("suffix", "</w>"));
        return std::make_unique<WordSuffix>(std::move(suffix));
    }
    return fail(fields.unsupported("this kind is not implemented",
                                   "use a tokenizer.json of a BPE model without this decoder"));
}

}  // namespace

Made parse_decoder(const json::Node& node) {
    MORTISE_TRY(const auto type, component_type(node, "decoder"));
    const Fields fields(node, "decoder '" + type + "'");
    auto made = parse_kind(type, fields);
    if (made) MORTISE_CHECK(fields.finish());
    return made;
}

}  // namespace mortise::text
