#include "engine/text/pattern.h"

#include <oniguruma.h>

#include <algorithm>
#include <mutex>

#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

// A pattern that needs more than this per text backtracks exponentially; a megabyte of one character needs a
// few million.
constexpr unsigned long retry_limit = 20'000'000;
constexpr unsigned int stack_limit = 16'000'000;  // entries, about 40 bytes each

const OnigUChar* bytes(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

std::string message(int code, OnigErrorInfo* info) {
    OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
    const int length = onig_error_code_to_str(text, code, info);
    return {reinterpret_cast<const char*>(text), static_cast<size_t>(std::max(length, 0))};
}

void initialize_once() {
    static std::once_flag once;
    std::call_once(once, [] {
        OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
        onig_initialize(encodings, 1);
    });
}

}  // namespace

struct Pattern::Compiled {
    regex_t* regex = nullptr;
    OnigMatchParam* limits = nullptr;
    Compiled() = default;
    Compiled(const Compiled&) = delete;
    Compiled& operator=(const Compiled&) = delete;
    ~Compiled() {
        if (limits) onig_free_match_param(limits);
        if (regex) onig_free(regex);
    }
};

Result<Pattern> Pattern::regex(const std::string& expression) {
    initialize_once();
    auto compiled = std::make_shared<Compiled>();
    OnigErrorInfo info{};
    const auto* begin = bytes(expression.data());
    const int code = onig_new(&compiled->regex, begin, begin + expression.size(), ONIG_OPTION_NONE,
                              ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
    if (code != ONIG_NORMAL)
        return fail(Problem{.code = Code::tokenizer_invalid,
                            .what = "regular expression does not compile: " + message(code, &info),
                            .found = json::quote(expression)});
    compiled->limits = onig_new_match_param();
    MORTISE_INVARIANT(compiled->limits != nullptr);
    onig_initialize_match_param(compiled->limits);
    onig_set_match_stack_limit_size_of_match_param(compiled->limits, stack_limit);
    onig_set_retry_limit_in_match_of_match_param(compiled->limits, retry_limit);
    onig_set_retry_limit_in_search_of_match_param(compiled->limits, retry_limit);
    Pattern pattern;
    pattern.compiled_ = std::move(compiled);
    return pattern;
}

Pattern Pattern::literal(std::string text) {
    Pattern pattern;
    pattern.literal_ = std::move(text);
    return pattern;
}

Result<Pattern> Pattern::parse(const json::Node& node) {
    MORTISE_CHECK(node.require(json::Kind::object));
    const auto* literal_text = node.find("String");
    const auto* expression = node.find("Regex");
    if (node.size() != 1 || (!literal_text && !expression))
        return fail(
            node.problem(Code::tokenizer_invalid, "a pattern must be {\"String\": ...} or {\"Regex\": ...}"));
    MORTISE_TRY(const auto text, (literal_text ? literal_text : expression)->as_string());
    if (literal_text) return literal(std::string(text));
    auto compiled = regex(std::string(text));
    if (compiled) return compiled;
    auto problem = expression->problem(Code::tokenizer_invalid, compiled.error().first().what);
    problem.found = compiled.error().first().found;
    return fail(std::move(problem));
}

Result<std::vector<Span>> Pattern::find(std::string_view text) const {
    std::vector<Span> matches;
    if (!compiled_) {
        if (literal_.empty()) return matches;
        for (size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, at + literal_.size()))
            matches.push_back({at, at + literal_.size()});
        return matches;
    }
    std::unique_ptr<OnigRegion, void (*)(OnigRegion*)> region(onig_region_new(),
                                                              [](OnigRegion* r) { onig_region_free(r, 1); });
    const auto* begin = bytes(text.data());
    const auto* end = begin + text.size();
    for (size_t from = 0; from <= text.size();) {
        const int code = onig_search_with_param(compiled_->regex, begin, end, begin + from, end, region.get(),
                                                ONIG_OPTION_NONE, compiled_->limits);
        if (code == ONIG_MISMATCH) break;
        if (code < 0)
            return fail(Code::value_range,
                        "the tokenizer's pattern gives up on this text: " + message(code, nullptr));
        const auto first = static_cast<size_t>(region->beg[0]), last = static_cast<size_t>(region->end[0]);
        if (first == last && !matches.empty() && matches.back().end == last) {
            if (from == text.size()) break;
            next_code_point(text, from);
            continue;
        }
        matches.push_back({first, last});
        from = last;
        if (first == last && from == text.size()) break;
    }
    return matches;
}

Result<Behavior> parse_behavior(const json::Node& node) {
    MORTISE_TRY(const auto name, node.as_string());
    if (name == "Removed") return Behavior::removed;
    if (name == "Isolated") return Behavior::isolated;
    if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
    if (name == "MergedWithNext") return Behavior::merged_with_next;
    if (name == "Contiguous") return Behavior::contiguous;
    auto problem = node.problem(Code::tokenizer_invalid, "unknown split behavior");
    problem.found = json::quote(name);
    return fail(std::move(problem));
}

std::vector<Span> split(std::string_view text, const std::vector<Span>& matches, Behavior behavior,
                        bool invert) {
    struct Part {
        Span span;
        bool match;
    };
    std::vector<Part> parts;
    size_t from = 0;
    for (const Span& match : matches) {
        if (match.begin != from) parts.push_back({{from, match.begin}, invert});
        parts.push_back({match, !invert});
        from = match.end;
    }
    if (from != text.size()) parts.push_back({{from, text.size()}, invert});

    std::vector<Span> out;
    if (behavior == Behavior::merged_with_next) std::reverse(parts.begin(), parts.end());
    bool previous = false, any = false;
    for (const Part& part : parts) {
        bool join = false;
        if (behavior == Behavior::removed && part.match) continue;
        if (behavior == Behavior::merged_with_previous || behavior == Behavior::merged_with_next)
            join = part.match && !previous;
        if (behavior == Behavior::contiguous) join = any && part.match == previous;
        if (join && !out.empty()) {
            out.back() = {std::min(out.back().begin, part.span.begin),
                          std::max(out.back().end, part.span.end)};
        } else {
            out.push_back(part.span);
        }
        previous = part.match;
        any = true;
    }
    if (behavior == Behavior::merged_with_next) std::reverse(out.begin(), out.end());
    std::erase_if(out, [](const Span& span) { return span.begin == span.end; });
    return out;
}

std::vector<Span> find_characters(std::string_view text, bool (*is_match)(char32_t)) {
    std::vector<Span> matches;
    for (size_t i = 0; i < text.size();) {
        const size_t begin = i;
        if (is_match(next_code_point(text, i))) matches.push_back({begin, i});
    }
    return matches;
}

}  // namespace mortise::text
