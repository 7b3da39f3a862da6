// Values of settings: from text, checked, and to JSON.
#include <fmt/format.h>

#include <charconv>

#include "base/codes.h"
#include "base/json.h"
#include "base/text.h"
#include "deploy/setting.h"

namespace mortise::deploy {

namespace {

std::unexpected<Error> refuse(const Setting& setting, std::string_view found) {
    std::string name = setting.flag.empty() ? std::string(setting.key) : fmt::format("--{}", setting.flag);
    Problem problem{.code = Code::usage, .what = name + " has a value that does not fit"};
    problem.expected = expected(setting);
    problem.found = fmt::format("'{}'", found);
    if (setting.type == Type::text && !setting.rule.empty()) {
        problem.fix = did_you_mean(found, split(setting.rule, '|'));
    }
    return fail(std::move(problem));
}

template <class Number>
bool parse_number(std::string_view text, Number& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size();
}

template <class Number>
bool within(std::string_view rule, Number value) {
    if (rule.empty()) return true;
    size_t dots = rule.find("..");
    Number least{}, most{};
    parse_number(rule.substr(0, dots), least);
    parse_number(rule.substr(dots + 2), most);
    return value >= least && value <= most;
}

void write(json::Writer& out, const Data& data) {
    std::visit(
        [&out](const auto& value) {
            using T = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<T, std::monostate>) {
                out.null();
            } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
                out.begin_array();
                for (const std::string& item : value) out.value(item);
                out.end_array();
            } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
                out.begin_object();
                for (const auto& [key, item] : value) out.entry(key, item);
                out.end_object();
            } else if constexpr (std::is_same_v<T, std::map<std::string, Pin>>) {
                out.begin_object();
                for (const auto& [key, pin] : value) {
                    out.key(key).begin_object();
                    if (!pin.version.empty()) out.entry("version", pin.version);
                    if (!pin.sha256.empty()) out.entry("sha256", pin.sha256);
                    out.end_object();
                }
                out.end_object();
            } else {
                out.value(value);
            }
        },
        data);
}

}  // namespace

std::string expected(const Setting& setting) {
    size_t dots = setting.rule.find("..");
    std::string_view least = setting.rule.substr(0, dots);
    std::string_view most = dots == std::string_view::npos ? "" : setting.rule.substr(dots + 2);
    switch (setting.type) {
        case Type::boolean: return "true or false";
        case Type::integer: return fmt::format("an integer from {} to {}", least, most);
        case Type::real: return fmt::format("a number from {} to {}", least, most);
        case Type::text: {
            if (setting.rule.empty()) return "text";
            std::string choices(setting.rule);
            for (size_t bar; (bar = choices.find('|')) != std::string::npos;) choices.replace(bar, 1, ", ");
            return "one of " + choices;
        }
        case Type::path: return "a path";
        case Type::text_list: return "a list of texts";
        case Type::path_list: return "a list of paths";
        case Type::text_map: return "a map from names to texts";
        case Type::pin_map: return "a map from plugin ids to {version, sha256}";
    }
    return {};
}

Status check_rule(const Setting& setting, const Data& data) {
    bool good = true;
    if (const auto* number = std::get_if<int64_t>(&data)) good = within(setting.rule, *number);
    if (const auto* number = std::get_if<double>(&data)) good = within(setting.rule, *number);
    if (const auto* text = std::get_if<std::string>(&data)) {
        good = !text->empty();
        if (setting.type == Type::text && !setting.rule.empty()) {
            good = false;
            for (std::string_view choice : split(setting.rule, '|')) good = good || choice == *text;
        }
        if (!good) return refuse(setting, *text);
    }
    if (!good) return refuse(setting, to_json(data));
    return {};
}

Result<Data> parse_text(const Setting& setting, std::string_view text, char separator) {
    Data data;
    int64_t whole = 0;
    double number = 0;
    switch (setting.type) {
        case Type::boolean:
            if (text != "true" && text != "false" && text != "1" && text != "0") return refuse(setting, text);
            data = text == "true" || text == "1";
            break;
        case Type::integer:
            if (!parse_number(text, whole)) return refuse(setting, text);
            data = whole;
            break;
        case Type::real:
            if (!parse_number(text, number)) return refuse(setting, text);
            data = number;
            break;
        case Type::text:
        case Type::path: data = std::string(text); break;
        case Type::text_list:
        case Type::path_list: {
            std::vector<std::string> items;
            if (separator == '\0') {
                items.emplace_back(text);
            } else {
                for (std::string_view item : split(text, separator)) {
                    if (!item.empty()) items.emplace_back(item);
                }
            }
            data = std::move(items);
            break;
        }
        case Type::text_map:
        case Type::pin_map: return refuse(setting, text);
    }
    MORTISE_CHECK(check_rule(setting, data));
    return data;
}

std::string to_json(const Data& data) {
    json::Writer out;
    write(out, data);
    return out.take();
}

}  // namespace mortise::deploy
