#include "plan/patterns.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <re2/re2.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "mortise/abi_base.h"

namespace mortise::plan {
namespace {

constexpr size_t longest_pattern = 1024;
constexpr uint32_t match_limit = 100000;  // steps of the backtracking engine

// Either engine; RE2 first, PCRE2 for what RE2 refuses (look-around).
class Regex {
  public:
    static Result<std::shared_ptr<const Regex>> compile(std::string_view pattern) {
        auto regex = std::make_shared<Regex>();
        RE2::Options options;
        options.set_log_errors(false);
        regex->linear_ = std::make_unique<RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
        if (regex->linear_->ok()) return regex;
        const std::string why = regex->linear_->error();
        regex->linear_.reset();
        int code = 0;
        PCRE2_SIZE offset = 0;
        regex->backtracking_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                             PCRE2_UTF, &code, &offset, nullptr);
        if (regex->backtracking_) return regex;
        return fail(Problem{.code = Code::config_value,
                            .what = "regular expression does not compile",
                            .expected = "a regular expression",
                            .found = std::string(pattern) + " (" + why + ")"});
    }

    bool matches(std::string_view name) const {
        if (linear_)
            return linear_->Match(re2::StringPiece(name.data(), name.size()), 0, name.size(),
                                  RE2::ANCHOR_START, nullptr, 0);
        pcre2_match_context* limits = pcre2_match_context_create(nullptr);
        pcre2_set_match_limit(limits, match_limit);
        pcre2_match_data* data = pcre2_match_data_create_from_pattern(backtracking_, nullptr);
        const int found = pcre2_match(backtracking_, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(),
                                      0, PCRE2_ANCHORED, data, limits);
        pcre2_match_data_free(data);
        pcre2_match_context_free(limits);
        return found >= 0;
    }

    ~Regex() { pcre2_code_free(backtracking_); }

  private:
    std::unique_ptr<RE2> linear_;
    pcre2_code* backtracking_ = nullptr;
};

Result<std::shared_ptr<const Regex>> compiled(std::string_view pattern) {
    static std::mutex lock;
    static std::unordered_map<std::string, std::shared_ptr<const Regex>> cache;
    const std::scoped_lock guard(lock);
    if (const auto found = cache.find(std::string(pattern)); found != cache.end()) return found->second;
    MORTISE_TRY(auto regex, Regex::compile(pattern));
    cache.emplace(pattern, regex);
    return regex;
}

// Shell wildcards * and ?; * crosses dots. Linear with one point to return to.
bool glob(std::string_view pattern, std::string_view name) {
    size_t p = 0, n = 0, star = std::string_view::npos, back = 0;
    while (n < name.size()) {
        if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == name[n]))) {
            ++p;
            ++n;
        } else if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            back = n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++back;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

bool continues(std::string_view pattern, std::string_view name) {
    return name.starts_with(pattern) && (name.size() == pattern.size() || name[pattern.size()] == '.');
}

bool has_components(std::string_view pattern, std::string_view name) {
    for (size_t at = 0; at != std::string_view::npos && at < name.size();) {
        if (continues(pattern, name.substr(at))) return true;
        at = name.find('.', at);
        if (at != std::string_view::npos) ++at;
    }
    return false;
}

}  // namespace

Result<bool> matches(uint32_t kind, std::string_view pattern, std::string_view name) {
    if (pattern.empty() || pattern.size() > longest_pattern)
        return fail(Problem{.code = Code::config_value,
                            .what = "pattern is empty or too long",
                            .expected = "1 to " + std::to_string(longest_pattern) + " bytes",
                            .found = std::to_string(pattern.size()) + " bytes"});
    switch (kind) {
        case MORTISE_PATTERN_EXACT: return pattern == name;
        case MORTISE_PATTERN_PREFIX: return continues(pattern, name);
        case MORTISE_PATTERN_GLOB: return glob(pattern, name);
        case MORTISE_PATTERN_COMPONENT: return has_components(pattern, name);
        case MORTISE_PATTERN_REGEX: {
            MORTISE_TRY(const auto regex, compiled(pattern));
            return regex->matches(name);
        }
        default: return fail(Code::plugin_contract, "unknown kind of pattern " + std::to_string(kind));
    }
}

}  // namespace mortise::plan
