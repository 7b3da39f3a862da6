#include "engine/text/normalizer.h"

#include <vector>

#include "engine/text/byte_characters.h"
#include "engine/text/fields.h"
#include "engine/text/pattern.h"
#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

using Made = Result<std::unique_ptr<Normalizer>>;

class Sequence final : public Normalizer {
  public:
    explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
    Status apply(std::string& text) const override {
        for (const auto& step : steps_) MORTISE_CHECK(step->apply(text));
        return {};
    }

  private:
    std::vector<std::unique_ptr<Normalizer>> steps_;
};

class NormalForm final : public Normalizer {
  public:
    explicit NormalForm(Form form) : form_(form) {}
    Status apply(std::string& text) const override {
        text = normalize(text, form_);
        return {};
    }

  private:
    Form form_;
};

class Lowercase final : public Normalizer {
  public:
    Status apply(std::string& text) const override {
        text = to_lower(text);
        return {};
    }
};

class Bytes final : public Normalizer {
  public:
    Status apply(std::string& text) const override {
        text = bytes_to_characters(text);
        return {};
    }
};

class StripAccents final : public Normalizer {
  public:
    Status apply(std::string& text) const override {
        std::string kept;
        for (size_t i = 0; i < text.size();)
            if (const char32_t c = next_code_point(text, i); !is_mark(c)) append_utf8(kept, c);
        text = std::move(kept);
        return {};
    }
};

class Strip final : public Normalizer {
  public:
    Strip(bool left, bool right) : left_(left), right_(right) {}
    Status apply(std::string& text) const override {
        size_t begin = text.size(), end = 0;
        for (size_t i = 0; i < text.size();) {
            const size_t at = i;
            if (is_whitespace(next_code_point(text, i))) continue;
            begin = std::min(begin, at);
            end = i;
        }
        if (begin == text.size()) {
            if (left_ || right_) text.clear();
            return {};
        }
        if (right_) text.resize(end);
        if (left_) text.erase(0, begin);
        return {};
    }

  private:
    bool left_, right_;
};

class Prepend final : public Normalizer {
  public:
    explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
    Status apply(std::string& text) const override {
        if (!text.empty()) text.insert(0, prefix_);
        return {};
    }

  private:
    std::string prefix_;
};

class Replace final : public Normalizer {
  public:
    Replace(Pattern pattern, std::string content)
        : pattern_(std::move(pattern)), content_(std::move(content)) {}
    Status apply(std::string& text) const override {
        MORTISE_TRY(const auto matches, pattern_.find(text));
        if (matches.empty()) return {};
        std::string out;
        size_t from = 0;
        for (const Span& match : matches) {
            out.append(text, from, match.begin - from).append(content_);
            from = match.end;
        }
        text = std::move(out.append(text, from, text.npos));
        return {};
    }

  private:
    Pattern pattern_;
    std::string content_;
};

Made parse_sequence(const Fields& fields) {
    MORTISE_TRY(const auto* list, fields.member("normalizers"));
    MORTISE_CHECK(list->require(json::Kind::array));
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const auto& item : list->items()) {
        MORTISE_TRY(auto step, parse_normalizer(*item));
        steps.push_back(std::move(step));
    }
    return std::make_unique<Sequence>(std::move(steps));
}

Made parse_replace(const Fields& fields) {
    MORTISE_TRY(const auto* node, fields.member("pattern"));
    MORTISE_TRY(auto pattern, Pattern::parse(*node));
    MORTISE_TRY(auto content, fields.string("content"));
    return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

Made parse_kind(const std::string& type, const Fields& fields) {
    if (type == "Sequence") return parse_sequence(fields);
    if (type == "NFC") return std::make_unique<NormalForm>(Form::nfc);
    if (type == "NFD") return std::make_unique<NormalForm>(Form::nfd);
    if (type == "NFKC") return std::make_unique<NormalForm>(Form::nfkc);
    if (type == "NFKD") return std::make_unique<NormalForm>(Form::nfkd);
    if (type == "Lowercase") return std::make_unique<Lowercase>();
    if (type == "ByteLevel") return std::make_unique<Bytes>();
    if (type == "StripAccents") return std::make_unique<StripAccents>();
    if (type == "Replace") return parse_replace(fields);
    if (type == "Strip") {
        MORTISE_TRY(const bool left, fields.flag("strip_left", true));
        MORTISE_TRY(const bool right, fields.flag("strip_right", true));
        return std::make_unique<Strip>(left, right);
    }
    if (type == "Prepend") {
        MORTISE_TRY(auto prefix, fields.string("prepend"));
        return std::make_unique<Prepend>(std::move(prefix));
    }
    return fail(fields.unsupported("this kind is not implemented",
                                   "use a tokenizer.json of a BPE model without this normalizer"));
}

}  // namespace

Made parse_normalizer(const json::Node& node) {
    MORTISE_TRY(const auto type, component_type(node, "normalizer"));
    const Fields fields(node, "normalizer '" + type + "'");
    auto made = parse_kind(type, fields);
    if (made) MORTISE_CHECK(fields.finish());
    return made;
}

}  // namespace mortise::text
