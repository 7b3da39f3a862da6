#include "engine/text/tokenizer_file.h"

namespace mortise::text {
namespace {

using Type = json::Event::Type;

// Follows the events; keeps what lies under model.vocab and model.merges.
class Recorder {
  public:
    explicit Recorder(TokenizerTables& tables) : tables_(tables) {}

    Status take(const json::Event& event) {
        switch (event.type) {
            case Type::key:
                if (depth_ == 1) section_ = event.text;
                if (depth_ == 2) member_ = event.text;
                if (in_vocabulary()) token_ = event.text;
                return {};
            case Type::begin_object:
            case Type::begin_array:
                ++depth_;
                if (depth_ == 3) object_ = event.type == Type::begin_object;
                if (in_merges() && depth_ == 4) pair_.clear();
                return {};
            case Type::end_object:
            case Type::end_array:
                if (in_merges() && depth_ == 4) MORTISE_CHECK(end_pair());
                --depth_;
                return {};
            default: return scalar(event);
        }
    }

  private:
    bool in_vocabulary() const { return depth_ == 3 && section_ == "model" && member_ == "vocab" && object_; }
    bool in_merges() const { return depth_ >= 3 && section_ == "model" && member_ == "merges" && !object_; }

    Status scalar(const json::Event& event) {
        if (in_vocabulary()) {
            if (event.type != Type::integer || event.negative || event.unsigned_value > UINT32_MAX)
                return fail(Problem{.code = Code::tokenizer_invalid,
                                    .what = "token without an id",
                                    .expected = "an integer from 0",
                                    .found = json::quote(token_) + ": " + std::string(event.text)});
            tables_.vocabulary.emplace_back(std::move(token_), static_cast<uint32_t>(event.unsigned_value));
            return {};
        }
        if (!in_merges()) return {};
        if (event.type != Type::string)
            return fail(Code::tokenizer_invalid, "a merge must be made of strings");
        if (depth_ == 4) {
            pair_.emplace_back(event.text);
            return {};
        }
        const size_t space = event.text.find(' ');  // old files: "left right"
        if (space == event.text.npos || event.text.find(' ', space + 1) != event.text.npos)
            return fail(Problem{.code = Code::tokenizer_invalid,
                                .what = "a merge must be two tokens with one space between",
                                .found = json::quote(event.text)});
        tables_.merges.emplace_back(event.text.substr(0, space), event.text.substr(space + 1));
        return {};
    }

    Status end_pair() {
        if (pair_.size() != 2) return fail(Code::tokenizer_invalid, "a merge must have two tokens");
        tables_.merges.emplace_back(std::move(pair_[0]), std::move(pair_[1]));
        return {};
    }

    TokenizerTables& tables_;
    int depth_ = 0;
    bool object_ = false;  // the container at depth 3 is an object
    std::string section_, member_, token_;
    std::vector<std::string> pair_;
};

size_t skip_string(std::string_view text, size_t at) {  // at = opening quote; returns the closing one
    for (++at; at < text.size() && text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
    return at;
}

size_t matching_close(std::string_view text, size_t at) {
    int depth = 0;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"') at = skip_string(text, at);
        if (c == '{' || c == '[') ++depth;
        if ((c == '}' || c == ']') && --depth == 0) return at;
    }
    return text.size();
}

// Effect: `text` with the contents of model.vocab and model.merges blanked; lines and columns stay.
// Requires: valid JSON.
std::string without_bulk(std::string_view text) {
    std::string out(text);
    int depth = 0;
    bool model = false;
    std::string_view last;  // last string read: the key when a value begins
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '"') {
            const size_t end = skip_string(text, i);
            last = text.substr(i + 1, end - i - 1);
            i = end;
        } else if (c == '{' || c == '[') {
            if (depth == 1) model = last == "model";
            if (depth == 2 && model && (last == "vocab" || last == "merges")) {
                const size_t close = matching_close(text, i);
                for (size_t k = i + 1; k < close; ++k)
                    if (out[k] != '\n') out[k] = ' ';
                i = close;
                continue;
            }
            ++depth;
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return out;
}

}  // namespace

Result<TokenizerFile> read_tokenizer_file(std::string_view text, const std::string& name) {
    TokenizerTables tables;
    Recorder recorder(tables);
    MORTISE_CHECK(
        json::parse_events(text, name, [&](const json::Event& event) { return recorder.take(event); }));
    MORTISE_TRY(auto tree, json::Document::parse(without_bulk(text), name));
    return TokenizerFile{std::move(tree), std::move(tables)};
}

}  // namespace mortise::text
