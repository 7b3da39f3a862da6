// The order of precedence, and printing of the result.
#include "deploy/resolve.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/codes.h"
#include "base/json.h"

namespace mortise::deploy {

namespace {

void apply(std::map<std::string, Value, std::less<>>& values, const Setting& setting, Result<Data> data,
           const std::string& origin, Problems& problems) {
    if (!data) {
        for (Problem problem : data.error().problems()) {
            problem.what = fmt::format("{} ({})", problem.what, origin);
            problems.add(std::move(problem));
        }
        return;
    }
    values.insert_or_assign(std::string(setting.key), Value{std::move(*data), origin});
}

// Of a repeatable flag each text is one item; of any other the last one counts.
Result<Data> parse_flag(const Setting& setting, const std::vector<std::string>& texts) {
    if (setting.type == Type::text_list || setting.type == Type::path_list) return Data(texts);
    return parse_text(setting, texts.back());
}

template <class T>
T value_or_empty(const Value& value) {
    const T* held = std::get_if<T>(&value.data);
    return held ? *held : T{};
}

}  // namespace

std::optional<std::string> process_environment(std::string_view name) {
    const char* text = std::getenv(std::string(name).c_str());
    return text ? std::optional<std::string>(text) : std::nullopt;
}

Result<Resolved> resolve(const Inputs& inputs) {
    Resolved out;
    Problems problems;
    for (const Setting& setting : settings()) {
        Value value;
        if (!setting.fallback.empty()) {
            MORTISE_TRY(value.data, parse_text(setting, setting.fallback));
        }
        out.values_.emplace(setting.key, std::move(value));
    }
    if (!inputs.file.empty()) {
        auto from_file = read_deployment(inputs.file, inputs.environment);
        if (!from_file)
            problems.add(from_file.error());
        else
            for (auto& [key, value] : *from_file) out.values_.insert_or_assign(key, std::move(value));
        out.file_ = inputs.file;
    }
    for (const Setting& setting : settings()) {
        std::string variable = variable_of(setting);
        auto text = variable.empty() || !inputs.environment ? std::nullopt : inputs.environment(variable);
        if (!text || text->empty()) continue;
        char separator = setting.type == Type::path_list ? ':' : ',';
        apply(out.values_, setting, parse_text(setting, *text, separator), "environment " + variable,
              problems);
    }
    for (const Flag& flag : inputs.flags) {
        const Setting* setting = find_setting(flag.key);
        MORTISE_INVARIANT(setting != nullptr && !flag.texts.empty());
        apply(out.values_, *setting, parse_flag(*setting, flag.texts),
              fmt::format("flag --{}", setting->flag), problems);
    }
    MORTISE_CHECK(std::move(problems).status());
    return out;
}

const Value& Resolved::at(std::string_view key) const {
    auto found = values_.find(key);
    MORTISE_INVARIANT(found != values_.end());
    return found->second;
}

void Resolved::set(std::string_view key, Value value) {
    values_.insert_or_assign(std::string(key), std::move(value));
}

bool Resolved::flag(std::string_view key) const { return value_or_empty<bool>(at(key)); }
int64_t Resolved::integer(std::string_view key) const { return value_or_empty<int64_t>(at(key)); }
std::string Resolved::text(std::string_view key) const { return value_or_empty<std::string>(at(key)); }
std::vector<std::string> Resolved::list(std::string_view key) const {
    return value_or_empty<std::vector<std::string>>(at(key));
}
std::optional<double> Resolved::real(std::string_view key) const {
    const double* held = std::get_if<double>(&at(key).data);
    return held ? std::optional(*held) : std::nullopt;
}
std::optional<int64_t> Resolved::integer_if_set(std::string_view key) const {
    const int64_t* held = std::get_if<int64_t>(&at(key).data);
    return held ? std::optional(*held) : std::nullopt;
}

std::string print(const Resolved& resolved) {
    std::string out;
    for (const Setting& setting : settings()) {
        const Value& value = resolved.at(setting.key);
        bool unset = std::holds_alternative<std::monostate>(value.data);
        out += fmt::format("{:30} {:28} # {}\n", fmt::format("{}:", setting.key),
                           unset ? "-" : to_json(value.data), unset ? "not set" : value.origin);
    }
    return out;
}

std::string print_json(const Resolved& resolved) {
    json::Writer out(2);
    out.begin_object().entry("schema", "mortise.config/v1").key("settings").begin_array();
    for (const Setting& setting : settings()) {
        const Value& value = resolved.at(setting.key);
        out.begin_object().entry("key", setting.key).key("value").raw(to_json(value.data));
        out.entry("origin", value.origin).end_object();
    }
    out.end_array().end_object();
    return out.take() + "\n";
}

}  // namespace mortise::deploy
