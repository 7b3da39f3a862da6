#include "mortise/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/json.h"

namespace mortise::tool {

namespace {

// Code points, which is good enough for tensor names and paths.
size_t width(std::string_view text) {
    return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
    cells.resize(alignment_.size());
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
    std::vector<size_t> widths(alignment_.size(), 0);
    for (const auto& row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string text;
        for (size_t i = 0; i < row.size(); ++i) {
            std::string padding(widths[i] - width(row[i]), ' ');
            text += (i ? "  " : "") + (alignment_[i] == 'r' ? padding + row[i] : row[i] + padding);
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + "\n";
    }
    return out;
}

bool wants_color(std::string_view choice, std::FILE* stream) {
    if (choice != "auto") return choice == "always";
    auto set = [](const char* name) {
        const char* text = std::getenv(name);
        return text != nullptr && *text != '\0';
    };
    if (set("NO_COLOR")) return false;
    if (set("CLICOLOR_FORCE")) return true;
    const char* terminal = std::getenv("TERM");
    return isatty(fileno(stream)) == 1 && !(terminal && std::string_view(terminal) == "dumb");
}

std::string paint(Color color, std::string_view text, bool enabled) {
    if (!enabled) return std::string(text);
    constexpr const char* codes[] = {"31", "32", "33", "1"};
    return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<size_t>(color)], text);
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void line(std::string_view text) {
    print(text);
    std::fputc('\n', stdout);
}

std::string error_json(const Error& error) {
    json::Writer out;
    out.begin_object().key("error").begin_object().entry("exit_code", error.exit_code());
    out.key("problems").begin_array();
    for (const Problem& problem : error.problems()) {
        out.begin_object().entry("code", fmt::format("E{}", static_cast<unsigned>(problem.code)));
        out.entry("what", problem.what);
        auto text = [&out](const char* key, const std::string& value) {
            if (!value.empty()) out.entry(key, value);
        };
        text("file", problem.file);
        if (problem.line > 0) out.entry("line", problem.line);
        if (problem.column > 0) out.entry("column", problem.column);
        text("tensor", problem.tensor);
        text("expected", problem.expected);
        text("found", problem.found);
        text("fix", problem.fix);
        out.end_object();
    }
    out.end_array().end_object().end_object();
    return out.take();
}

void print_error(const Error& error, bool json, bool color) {
    std::fflush(stdout);
    if (json) {
        fmt::print(stderr, "{}\n", error_json(error));
        return;
    }
    for (const Problem& problem : error.problems()) {
        std::string text = to_string(problem);
        size_t at = text.find("error[");
        if (color && at != std::string::npos) text.replace(at, 5, paint(Color::red, "error", true));
        fmt::print(stderr, "{}\n", text);
    }
}

std::string with_commas(uint64_t number) {
    std::string text = std::to_string(number);
    for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
}

}  // namespace mortise::tool
